"""Reading Einsum of two tensors: the matrix product that it is, between the transpositions that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import Array, GraphReader, Node, Unreadable

__all__ = ["einsum"]


def einsum(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """A sum of products over the labels that both operands have and the result lacks.

    Runtimes compute it so: labels of both, those of the first, those of the sum; likewise the second; one product;
    axes put in the order that was asked for. With a constant second operand it is a linear layer.

    Raises:
        Unreadable: for other numbers of operands, diagonals, ellipses, and sums over a label of one operand alone.
    """
    first, second, made = _labels(node)
    names = (node.input(0), node.input(1))
    shared = [label for label in made if label in first and label in second]
    own = [[label for label in made if label in labels and label not in shared] for labels in (first, second)]
    summed = [label for label in first if label in second and label not in made]
    if set(first) | set(second) != {*shared, *own[0], *own[1], *summed} or not summed:
        raise Unreadable(f"{first},{second}->{made} is no product of matrices")
    sizes = {**_sizes(reader, names[0], first), **_sizes(reader, names[1], second)}
    left = _turned(reader, node, names[0], first, [*shared, *own[0], *summed])
    rows = [sizes[label] for label in (*shared, *own[0])]
    depth, columns = _count(sizes, summed), [sizes[label] for label in own[1]]
    if names[1] in reader.constants and not shared and own[0]:
        left = _reshaped(reader, node, left, (*rows, depth))
        weight = reader.constants[names[1]].transpose([second.index(label) for label in (*own[1], *summed)])
        weights: dict[str, Array | None] = {"weight": weight.reshape(-1, depth)}
        product = reader.emit_weighted("linear", left, node.name, weights, out_features=prod(columns), bias=False)
    else:
        batch = tuple(sizes[label] for label in shared)
        right = _turned(reader, node, names[1], second, [*shared, *summed, *own[1]])
        left = _reshaped(reader, node, left, (*batch, _count(sizes, own[0]), depth))
        right = _reshaped(reader, node, right, (*batch, depth, prod(columns)))
        product = reader.emit("matmul", (left, right), node.name)
    order = [*shared, *own[0], *own[1]]
    out = _reshaped(reader, node, product, (*rows, *columns))
    return [_ordered(reader, node, out, [order.index(label) for label in made])]


def _labels(node: Node) -> tuple[str, str, str]:
    """Those of both operands and of the result."""
    equation = node.attrs.get("equation", b"")
    text = (equation.decode() if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    operands, arrow, made = text.partition("->")
    terms = operands.split(",")
    repeated = any(len(set(term)) != len(term) for term in (*terms, made))
    if len(terms) != 2 or len(node.inputs) != 2 or not arrow or repeated or "." in text:
        raise Unreadable(f"{text!r} is no product of two tensors with every axis named once")
    return terms[0], terms[1], made


def _sizes(reader: GraphReader, name: str, labels: str) -> dict[str, int]:
    constant = reader.constants.get(name)
    shape = reader.shape(reader.tensor(name)) if constant is None else constant.shape
    if len(shape) != len(labels):
        raise Unreadable(f"its operand of shape {tuple(shape)} has not the axes {labels}")
    return dict(zip(labels, map(int, shape), strict=True))


def _count(sizes: Mapping[str, int], labels: Sequence[str]) -> int:
    return prod(sizes[label] for label in labels)


def _turned(reader: GraphReader, node: Node, name: str, labels: str, wanted: Sequence[str]) -> Ref:
    """An operand with its axes in another order; a constant is turned here and now."""
    perm = [labels.index(label) for label in wanted]
    if name not in reader.constants:
        return _ordered(reader, node, reader.tensor(name), perm)
    return reader.emit_constant(name, reader.constants[name].transpose(perm))


def _ordered(reader: GraphReader, node: Node, ref: Ref, perm: Sequence[int]) -> Ref:
    if list(perm) == list(range(len(perm))):
        return ref
    return reader.emit("transpose", (ref,), node.name, perm=tuple(perm))


def _reshaped(reader: GraphReader, node: Node, ref: Ref, shape: tuple[int, ...]) -> Ref:
    return ref if reader.shape(ref) == shape else reader.emit("reshape", (ref,), node.name, shape=shape)
