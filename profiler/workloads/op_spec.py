"""What holds for every operator of one kind, and the pieces that the kinds' entries in `ops` are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from profiler.errors import ConfigError

__all__ = ["AttrValue", "Attrs", "OpSpec", "Shape", "axis_of", "broadcast", "integer", "ints", "number", "same"]

AttrValue = int | float | bool | str | tuple[int, ...]
Attrs = Mapping[str, AttrValue]
Shape = tuple[int, ...]


def ints(attrs: Attrs, name: str) -> tuple[int, ...]:
    """The tuple of integers stored under `name`."""
    value = attrs[name]
    if not isinstance(value, tuple):
        raise ConfigError(f"attribute {name!r} must be a tuple of integers, not {value!r}")
    return value


def integer(attrs: Attrs, name: str) -> int:
    """The integer stored under `name`."""
    value = attrs[name]
    if not isinstance(value, int):
        raise ConfigError(f"attribute {name!r} must be an integer, not {value!r}")
    return value


def number(attrs: Attrs, name: str) -> float:
    """The number stored under `name`."""
    value = attrs[name]
    if not isinstance(value, int | float):
        raise ConfigError(f"attribute {name!r} must be a number, not {value!r}")
    return float(value)


def axis_of(attrs: Attrs, shape: Shape, default: int | None = None) -> int:
    """The attribute "axis", counted from the front, and checked against a shape."""
    axis = default if default is not None and "axis" not in attrs else integer(attrs, "axis")
    if not 0 <= axis < len(shape):
        raise ConfigError(f"there is no axis {axis} in the shape {shape}; axes count from 0")
    return axis


def same(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """The shape of the first input."""
    return (inputs[0],)


def broadcast(attrs: Attrs, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Two shapes of one rank, axes of size 1 being stretched."""
    first, second = inputs
    if len(first) != len(second):
        raise ConfigError(f"cannot combine shapes {first} and {second}")
    for a, b in zip(first, second, strict=True):
        if a != b and 1 not in (a, b):
            raise ConfigError(f"cannot combine shapes {first} and {second}")
    return (tuple(max(a, b) for a, b in zip(first, second, strict=True)),)


def _no_params(attrs: Attrs, inputs: tuple[Shape, ...]) -> dict[str, Shape]:
    return {}


def _no_macs(attrs: Attrs, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class OpSpec:
    """What holds for every operator of one kind.

    Attributes:
        shapes: (attrs, input shapes) -> output shapes; raises ConfigError where they do not fit.
        attrs: the names of the attributes that are required.
        arity: the number of inputs, or None for one or more.
        params: (attrs, input shapes) -> shape of every weight by name.
        buffers: the weights that are statistics rather than trained parameters.
        macs: multiply-accumulate operations; activations, pooling and additions count as none.
        commutative: the order of the inputs does not matter.
        optional: attributes that may be left out, with the value that this means. They are never written with that
            value, so that an operator has one spelling and one key.
    """

    shapes: Callable[[Attrs, tuple[Shape, ...]], tuple[Shape, ...]]
    attrs: tuple[str, ...] = ()
    arity: int | None = 1
    params: Callable[[Attrs, tuple[Shape, ...]], dict[str, Shape]] = _no_params
    buffers: frozenset[str] = field(default_factory=frozenset)
    macs: Callable[[Attrs, tuple[Shape, ...], tuple[Shape, ...]], int] = _no_macs
    commutative: bool = False
    optional: Attrs = field(default_factory=dict)

    def check_attrs(self, attrs: Attrs) -> None:
        """Make sure that all attributes are there, none besides, and none spelt out that could be left out.

        Raises:
            ConfigError: saying which.
        """
        given, required = set(attrs), set(self.attrs)
        if not required <= given <= required | set(self.optional):
            besides = f" and perhaps {sorted(self.optional)}" if self.optional else ""
            raise ConfigError(f"attributes {sorted(given)}, expected {sorted(required)}{besides}")
        for name, default in self.optional.items():
            if name in attrs and attrs[name] == default:
                raise ConfigError(f"attribute {name!r} is {default!r} already where it is left out; leave it out")
