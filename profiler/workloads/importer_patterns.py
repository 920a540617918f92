"""Operators that exporters write as several nodes: GELU and layer normalisation, found where they begin."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import Array, GraphReader, Node

__all__ = ["gelu_at", "layer_norm_at"]

_CLOSE = 1e-4
"""Constants such as the root of two are written with as many digits as people like."""


def gelu_at(reader: GraphReader, node: Node) -> Ref | None:
    """The GELU that begins with dividing by the root of two: x (1 + erf(x / sqrt 2)) / 2, in any order of factors.

    Returns:
        the GELU, under the name of its last node too; None where this node begins none.
    """
    x, constant = _split_constant(reader, node)
    scale = {"Div": sqrt(2.0), "Mul": 1.0 / sqrt(2.0)}.get(node.kind)
    if constant is None or scale is None or not _is(constant, scale) or (node.kind == "Div" and node.input(0) != x):
        return None
    curve = _follow(reader, node, "Erf")
    raised = _follow(reader, curve, "Add", 1.0)
    inner: list[Node] = []
    if raised is None or curve is None:
        return None
    last: Node | None = raised
    missing = {"x", "half"}
    while missing:
        after = _follow(reader, last, "Mul")
        if after is None or last is None:
            return None
        inner.append(last)
        other, value = _split_constant(reader, after)
        factors = set(after.inputs) - {last.outputs[0]}
        if value is not None and _is(value, 0.5) and other == last.outputs[0]:
            missing -= {"half"}
        elif factors == {x}:
            missing -= {"x"}
        elif missing == {"x", "half"} and len(factors) == 1 and _is_half_of(reader, next(iter(factors)), x):
            missing = set()
        else:
            return None
        last = after
    if last is None:
        return None
    ref = reader.emit("gelu", (reader.tensor(x),), node.name)
    _absorb(reader, [curve, *inner], last, ref)
    return ref


def layer_norm_at(reader: GraphReader, node: Node, x: Ref, axes: Sequence[int]) -> Ref | None:
    """The layer normalisation that begins with the mean over the last axes.

        d = x - mean(x);   d / sqrt(mean(d^2) + eps) * weight + bias

    Returns:
        the normalisation, under the name of its last node too; None where this node begins none.
    """
    shape = reader.shape(x)
    if list(axes) != list(range(axes[0], len(shape))) or not node.attrs.get("keepdims", 1):
        return None
    centred = _follow(reader, node, "Sub")
    if centred is None or centred.inputs != (node.input(0), node.outputs[0]):
        return None
    chain = _deviation(reader, centred)
    if chain is None:
        return None
    *before, scaled = chain
    ends = [scaled]
    weight = bias = None
    factor = _follow(reader, scaled, "Mul")
    if factor is not None:
        weight = _vector(reader, factor, shape[axes[0] :])
    if factor is not None and weight is not None:
        ends.append(factor)
        shift = _follow(reader, factor, "Add")
        bias = _vector(reader, shift, shape[axes[0] :]) if shift is not None else None
        if shift is not None and bias is not None:
            ends.append(shift)
    weights: dict[str, Array | None] = {
        "weight": np.ones(shape[axes[0] :], np.float32) if weight is None else weight,
        "bias": np.zeros(shape[axes[0] :], np.float32) if bias is None else bias,
    }
    axis = {} if len(axes) == 1 else {"axis": axes[0]}
    ref = reader.emit_weighted("layer_norm", x, node.name, weights, eps=_epsilon(reader, before), **axis)
    _absorb(reader, [centred, *before, *ends[:-1]], ends[-1], ref)
    return ref


def _deviation(reader: GraphReader, centred: Node) -> list[Node] | None:
    """The nodes from the square of what is centred to its division by the deviation; None where they are others."""
    d = centred.outputs[0]
    readers = reader.readers.get(d, [])
    squares = [n for n in readers if n.kind == "Pow" or (n.kind == "Mul" and n.inputs == (d, d))]
    ends = [n for n in readers if n.kind == "Div" and n.input(0) == d]
    if len(squares) not in (1, 2) or len({id(n) for n in squares}) != 1 or len(ends) != 1:
        return None
    if len(readers) != len(squares) + 1 or d in reader.graph_outputs:
        return None
    square = squares[0]
    if square.kind == "Pow" and not _is(reader.constants.get(square.input(1)), 2.0):
        return None
    variance = _follow(reader, square, "ReduceMean")
    safe = _follow(reader, variance, "Add")
    root = _follow(reader, safe, "Sqrt")
    if variance is None or safe is None or root is None or _split_constant(reader, safe)[1] is None:
        return None
    end = _follow(reader, root, "Div")
    return None if end is not ends[0] else [square, variance, safe, root, end]


def _epsilon(reader: GraphReader, chain: Sequence[Node]) -> float:
    added = next(_split_constant(reader, n)[1] for n in chain if n.kind == "Add")
    return round(float(np.asarray(added).reshape(())), 12)


def _follow(reader: GraphReader, node: Node | None, kind: str, constant: float | None = None) -> Node | None:
    """The node of a kind that alone reads what `node` makes, and reads that constant besides."""
    after = reader.only_reader(node.outputs[0]) if node is not None else None
    if after is None or after.kind != kind:
        return None
    return after if constant is None or _is(_split_constant(reader, after)[1], constant) else None


def _split_constant(reader: GraphReader, node: Node) -> tuple[str, Array | None]:
    """(the name of what is computed, the constant beside it) of a node with two inputs, one of them a constant."""
    if len(node.inputs) == 2:
        for name, other in (node.inputs, node.inputs[::-1]):
            if other in reader.constants and name not in reader.constants:
                return name, reader.constants[other]
    return node.input(0), None


def _vector(reader: GraphReader, node: Node, shape: tuple[int, ...]) -> Array | None:
    """The constant of a node, where it has one value for each of `shape`."""
    value = _split_constant(reader, node)[1]
    if value is None or value.shape[-len(shape) :] != shape or value.size != np.prod(shape):
        return None
    return value.reshape(shape)


def _is(value: Array | None, number: float) -> bool:
    return value is not None and value.size == 1 and abs(float(value.reshape(())) - number) <= _CLOSE * abs(number)


def _is_half_of(reader: GraphReader, name: str, x: str) -> bool:
    for node in reader.readers.get(x, []):
        if node.outputs[0] == name and node.kind == "Mul":
            return _is(_split_constant(reader, node)[1], 0.5) and reader.only_reader(name) is not None
    return False


def _absorb(reader: GraphReader, inner: Sequence[Node], last: Node, ref: Ref) -> None:
    for node in inner:
        reader.done.add(node.outputs[0])
    reader.absorb(last.outputs[0], ref)
