"""One operator of a Workload, and the shapes that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.errors import ConfigError
from profiler.workloads.ops import OP_SPECS, AttrValue, Shape

__all__ = ["Op", "Ref", "infer_shapes"]

Ref = tuple[int, int]
"""(index of the producing op, output port)."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator: its kind, attributes and where its inputs come from.

    Attributes:
        kind: a key of `OP_SPECS`.
        inputs: references to the outputs of earlier ops.
        attrs: (name, value) pairs sorted by name.
        name: a label for people; it never enters a key.
    """

    kind: str
    inputs: tuple[Ref, ...] = ()
    attrs: tuple[tuple[str, AttrValue], ...] = ()
    name: str = ""

    def attr(self, name: str) -> AttrValue:
        """The value of one attribute, given or meant (KeyError when the kind has none of that name)."""
        for given, value in self.attrs:
            if given == name:
                return value
        return OP_SPECS[self.kind].optional[name]

    def ints(self, name: str) -> tuple[int, ...]:
        """A tuple-valued attribute."""
        value = self.attr(name)
        if not isinstance(value, tuple):
            raise TypeError(f"{self.kind}.{name} is {value!r}, not a tuple")
        return value

    def int(self, name: str) -> int:
        """An integer attribute."""
        value = self.attr(name)
        if not isinstance(value, int):
            raise TypeError(f"{self.kind}.{name} is {value!r}, not an integer")
        return value

    def float(self, name: str) -> float:
        """A real-valued attribute."""
        value = self.attr(name)
        if not isinstance(value, int | float):
            raise TypeError(f"{self.kind}.{name} is {value!r}, not a number")
        return float(value)


def infer_shapes(op: Op, index: int, shapes: Sequence[tuple[Shape, ...]]) -> tuple[Shape, ...]:
    """The output shapes of an op at place `index`, given the output shapes of all ops before it.

    Raises:
        ConfigError: where its kind, attributes, references or input shapes do not fit.
    """
    spec = OP_SPECS.get(op.kind)
    if spec is None:
        raise ConfigError(f"op {index}: unknown operator kind {op.kind!r}")
    attrs = dict(op.attrs)
    try:
        spec.check_attrs(attrs)
    except ConfigError as error:
        raise ConfigError(f"op {index} ({op.kind}): {error}") from None
    if (spec.arity is not None and len(op.inputs) != spec.arity) or (spec.arity is None and not op.inputs):
        wanted = ">= 1" if spec.arity is None else spec.arity
        raise ConfigError(f"op {index} ({op.kind}): {len(op.inputs)} inputs, expected {wanted}")
    for source, port in op.inputs:
        if not (0 <= source < index and 0 <= port < len(shapes[source])):
            raise ConfigError(f"op {index} ({op.kind}) refers to ({source}, {port}), which is not an earlier op")
    try:
        return spec.shapes(attrs, tuple(shapes[s][p] for s, p in op.inputs))
    except ConfigError as error:
        raise ConfigError(f"op {index} ({op.name or op.kind}): {error}") from None
