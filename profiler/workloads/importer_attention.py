"""Reading Attention of opset 23: the products, the softmax and the changes of layout that it is made of.

Runtimes that have a kernel for it compute the same products; what they save of the scaling and of the transpositions is
not taken off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import GraphReader, Node, Unreadable, widened
from profiler.workloads.ops_tensors import FLOAT32_MAX

__all__ = ["attention"]

_PAST = (4, 5, 6)
"""Inputs that say what came before: keys, values, and how many of the keys count."""

_PARTED = ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
"""How heads are put before places; of keys, these come last."""


def attention(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """softmax(scale x Q K^T + mask) V, of tensors (batch, heads, places, width) or (batch, places, heads x width).

    Raises:
        Unreadable: with keys and values of former calls, capped scores, more query than key heads, a mask that is
            computed as truth values, or where scores or former keys are asked for.
    """
    if any(node.input(place) for place in _PAST) or len(node.outputs) > 1:
        raise Unreadable("it goes on from keys and values of former calls, or hands its scores on")
    if node.attrs.get("softcap", 0.0):
        raise Unreadable("its scores are capped")
    refs = [reader.tensor(node.input(place)) for place in range(3)]
    packed = len(reader.shape(refs[0])) == 3
    if packed:
        shared = int(node.attrs.get("kv_num_heads", 0))
        heads = (int(node.attrs.get("q_num_heads", 0)), shared, shared)
        refs = [_parted(reader, node, ref, n, perm) for ref, n, perm in zip(refs, heads, _PARTED, strict=True)]
    else:
        refs[1] = reader.emit("transpose", (refs[1],), node.name, perm=(0, 1, 3, 2))
    query, turned, value = (reader.shape(ref) for ref in refs)
    if query[1] != turned[1]:
        raise Unreadable(f"{query[1]} heads of queries share {turned[1]} of keys")
    scale = float(node.attrs.get("scale", 0.0)) or query[3] ** -0.5
    factor = reader.emit_constant(f"{node.name} scale", np.full((1, 1, 1, 1), scale))
    scaled = reader.emit("mul", (refs[0], factor), node.name)
    scores = reader.emit("matmul", (scaled, refs[1]), node.name)
    for mask in _masks(reader, node, query[2], turned[3]):
        scores = reader.emit("add", (scores, mask), node.name)
    weights = reader.emit("softmax", (scores,), node.name, axis=3)
    made = reader.emit("matmul", (weights, refs[2]), node.name)
    if not packed:
        return [made]
    together = reader.emit("transpose", (made,), node.name, perm=(0, 2, 1, 3))
    return [reader.emit("reshape", (together,), node.name, shape=(query[0], query[2], query[1] * value[3]))]


def _parted(reader: GraphReader, node: Node, ref: Ref, heads: int, perm: tuple[int, ...]) -> Ref:
    """(batch, places, heads x width) -> (batch, places, heads, width), its axes in another order."""
    batch, places, width = reader.shape(ref)
    if heads < 1 or width % heads:
        raise Unreadable(f"{width} values a place are not those of {heads} heads")
    apart = reader.emit("reshape", (ref,), node.name, shape=(batch, places, heads, width // heads))
    return reader.emit("transpose", (apart,), node.name, perm=perm)


def _masks(reader: GraphReader, node: Node, queries: int, keys: int) -> list[Ref]:
    """What is added to the scores."""
    name = node.input(3)
    allowed = np.tri(queries, keys, dtype=bool) if node.attrs.get("is_causal", 0) else np.ones((queries, keys), bool)
    masks: list[Ref] = []
    if name and (array := reader.constants.get(name)) is not None and array.dtype == bool:
        allowed = allowed & array
    elif name:
        known = name in reader.constants
        tensor = reader.constant_operand(name, 4) if known else widened(reader, reader.tensor(name), 4, node.name)
        masks.append(tensor)
    if not allowed.all():
        added = np.where(allowed, 0.0, -FLOAT32_MAX)
        masks.append(reader.emit_constant(f"{node.name} mask", added.reshape((1,) * (4 - added.ndim) + added.shape)))
    return masks
