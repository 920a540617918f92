"""Rewriting a Workload into what a runtime is given: nothing dead, nothing that does nothing, norms folded.

`drop_noops` is structural and needs no weights; `simplify` also folds every batch norm that can be folded, with its
numbers. Both leave the function that the workload computes unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.graph import Op, Ref, Workload
from profiler.workloads.weights import Weights, check_weights

__all__ = ["drop_noops", "foldable_norms", "simplify"]

_KEEPS_ZERO = frozenset(
    {
        "add",
        "avg_pool",
        "concat",
        "elu",
        "erf",
        "flatten",
        "gather",
        "gelu",
        "global_avg_pool",
        "hswish",
        "identity",
        "leaky_relu",
        "max_pool",
        "mean",
        "relu",
        "relu6",
        "reshape",
        "resize",
        "slice",
        "split",
        "sqrt",
        "sub",
        "tanh",
        "transpose",
    }
)
"""Kinds that make zeros of nothing but zeros."""


def simplify(workload: Workload, weights: Weights) -> tuple[Workload, Weights]:
    """The same function in fewer ops: dead ops pruned, identities and additions of zero dropped, norms folded.

    A batch norm is folded into a convolution or linear layer before it that nothing else reads. Folding is done in
    float64 and rounded once.

    Raises:
        ArtefactError: where `weights` do not fit the workload.
    """
    check_weights(workload, weights)
    lean, origin = drop_noops(workload)
    arrays = {new: dict(weights[old]) for new, old in enumerate(origin) if old in weights}
    folds = foldable_norms(lean)
    ops = list(lean.ops)
    alias: dict[Ref, Ref] = {}
    for norm, layer in folds.items():
        arrays[layer] = _fold(arrays[layer], arrays.pop(norm), lean.ops[norm].float("eps"))
        attrs = tuple((name, True if name == "bias" else value) for name, value in ops[layer].attrs)
        ops[layer] = Op(ops[layer].kind, ops[layer].inputs, attrs, ops[layer].name)
        alias[(norm, 0)] = (layer, 0)
    folded, origin = _rebuild(lean, ops, alias, (i for i in range(len(ops)) if i not in folds))
    return folded, {new: arrays[old] for new, old in enumerate(origin) if old in arrays}


def drop_noops(workload: Workload) -> tuple[Workload, tuple[int, ...]]:
    """The workload without dead ops, identities and additions of zero; graph inputs stay.

    One identity stays where an output would otherwise be a graph input, since a model must compute its outputs.

    Returns:
        the smaller workload, and for each of its ops the index it had before.
    """
    alias: dict[Ref, Ref] = {}
    zeros: set[Ref] = set()
    for index, op in enumerate(workload.ops):
        out: Ref = (index, 0)
        sources = [alias.get(ref, ref) for ref in op.inputs]
        if op.kind == "identity":
            passed = sources[:1]
        elif op.kind == "add":
            passed = [kept for kept, other in (sources, sources[::-1]) if other in zeros]
        else:
            passed = []
        for ref in passed:
            bare = workload.ops[ref[0]].kind == "input" and out in workload.outputs
            if workload.shape(ref) == workload.shape(out) and not bare:
                alias[out] = ref
                break
        if _is_zero(op.kind, [ref in zeros for ref in sources]):
            zeros.update((index, port) for port in range(len(workload.shapes[index])))
    lean, origin = _rebuild(workload, list(workload.ops), alias, range(len(workload.ops)))
    return _pruned(lean, origin)


def _is_zero(kind: str, sources_zero: list[bool]) -> bool:
    if kind in ("mul", "matmul"):
        return any(sources_zero)
    return kind == "zero" or (kind in _KEEPS_ZERO and all(sources_zero))


def foldable_norms(workload: Workload) -> dict[int, int]:
    """Which batch norms can be folded, and into which op: norm index -> index of the convolution or linear layer.

    Expects a workload without dead ops and identities (see `drop_noops`).
    """
    leaving = {index for index, _ in workload.outputs}
    folds: dict[int, int] = {}
    for index, op in enumerate(workload.ops):
        if op.kind != "batch_norm":
            continue
        source = op.inputs[0][0]
        layer = folds.get(source, source)
        alone = workload.users[source] == (index,) and source not in leaving
        # the channels of a norm are those of a linear layer only on (N, features)
        channels = workload.ops[layer].kind == "conv2d" or len(workload.shapes[layer][0]) == 2
        if alone and channels and workload.ops[layer].kind in ("conv2d", "linear"):
            folds[index] = layer
    return folds


def _fold(
    layer: Mapping[str, NDArray[np.float32]], norm: Mapping[str, NDArray[np.float32]], eps: float
) -> dict[str, NDArray[np.float32]]:
    """y = gamma * (Wx + b - mean) / sqrt(var + eps) + beta, as W'x + b'."""
    double = {name: array.astype(np.float64) for name, array in norm.items()}
    weight = layer["weight"].astype(np.float64)
    bias = layer["bias"].astype(np.float64) if "bias" in layer else np.zeros(len(weight))
    scale = double["weight"] / np.sqrt(double["running_var"] + eps)
    scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    shifted = (bias - double["running_mean"]) * scale + double["bias"]
    return {"weight": scaled.astype(np.float32), "bias": shifted.astype(np.float32)}


def _rebuild(
    workload: Workload, ops: list[Op], alias: Mapping[Ref, Ref], keep: Iterable[int]
) -> tuple[Workload, tuple[int, ...]]:
    """A workload of the kept ops, reading through `alias`; and where each op came from."""
    kept = tuple(keep)
    new = {old: position for position, old in enumerate(kept)}

    def moved(ref: Ref) -> Ref:
        source, port = alias.get(ref, ref)
        # an aliased op that stays in the list until it is pruned still reads what it read
        return new[source], port

    rebuilt = tuple(
        Op(ops[old].kind, tuple(moved(ref) for ref in ops[old].inputs), ops[old].attrs, ops[old].name) for old in kept
    )
    outputs = tuple(moved(ref) for ref in workload.outputs)
    return Workload(rebuilt, outputs, workload.name, workload.dtype, workload.seed), kept


def _pruned(workload: Workload, origin: tuple[int, ...]) -> tuple[Workload, tuple[int, ...]]:
    """`Workload.pruned` with the origins kept in step."""
    keep = workload.live_ops
    if len(keep) == len(workload.ops):
        return workload, origin
    return workload.pruned(), tuple(origin[i] for i in keep)
