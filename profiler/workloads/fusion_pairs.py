"""Pairs of operators, the second directly behind the first: what is asked of a runtime is whether it runs them as one.

Two workloads a pair: `in_context` shows a runtime the pair once, so that its own optimised graph can be asked;
`trial` repeats it m times, so that a clock can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.ops import Shape
from profiler.workloads.stretches import mix

__all__ = [
    "KINDS",
    "REPEATABLE",
    "TRIAL_SHAPES",
    "Context",
    "Pair",
    "Unit",
    "in_context",
    "pairs_of",
    "parse_pairs",
    "trial",
    "trial_shapes",
]

Pair = tuple[str, str]
"""Kinds of the first operator and of the one behind it."""

Unit = tuple[str, ...]
"""What a trial repeats: both operators of a pair, one of them alone, or nothing."""

_Write = Callable[[WorkloadBuilder, Ref, Ref, Shape], Ref]
"""(builder, what is read, another tensor of that shape, the shape) -> what is written."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of operator is written down, what it takes ("image" or "vector"), and whether the shape stays."""

    write: _Write
    takes: frozenset[str]
    repeatable: bool = True


_IMAGE, _VECTOR, _BOTH = frozenset({"image"}), frozenset({"vector"}), frozenset({"image", "vector"})
_GROUPS = 4


def _conv(groups: int | None, kernel: int) -> _Write:
    """A convolution that keeps the shape; groups None: one a channel."""

    def write(b: WorkloadBuilder, x: Ref, other: Ref, shape: Shape) -> Ref:
        return b.conv2d(x, shape[1], kernel, groups=shape[1] if groups is None else groups, bias=True)

    return write


def _plain(method: str) -> _Write:
    return lambda b, x, other, shape: getattr(b, method)(x)


def _of_two(method: str) -> _Write:
    return lambda b, x, other, shape: getattr(b, method)(x, other)


def _pool(method: str) -> _Write:
    return lambda b, x, other, shape: getattr(b, method)(x, 3, 1, 1)


KINDS: dict[str, _Kind] = {
    "conv2d": _Kind(_conv(1, 1), _IMAGE),
    "depthwise": _Kind(_conv(None, 3), _IMAGE),
    "grouped": _Kind(_conv(_GROUPS, 3), _IMAGE),
    "linear": _Kind(lambda b, x, other, shape: b.linear(x, shape[1]), _VECTOR),
    "batch_norm": _Kind(_plain("batch_norm"), _IMAGE),
    "relu": _Kind(_plain("relu"), _BOTH),
    "relu6": _Kind(_plain("relu6"), _BOTH),
    "hswish": _Kind(_plain("hswish"), _BOTH),
    "hsigmoid": _Kind(_plain("hsigmoid"), _BOTH),
    "sigmoid": _Kind(_plain("sigmoid"), _BOTH),
    "softmax": _Kind(_plain("softmax"), _VECTOR),
    "add": _Kind(_of_two("add"), _BOTH),
    "mul": _Kind(_of_two("mul"), _BOTH),
    "avg_pool": _Kind(_pool("avg_pool"), _IMAGE),
    "max_pool": _Kind(_pool("max_pool"), _IMAGE),
    "concat": _Kind(_of_two("concat"), _IMAGE, repeatable=False),
    "split": _Kind(lambda b, x, o, shape: b.split(x, (shape[1] // 2, shape[1] // 2))[0], _IMAGE, repeatable=False),
    "global_avg_pool": _Kind(_plain("global_avg_pool"), _IMAGE, repeatable=False),
    "flatten": _Kind(_plain("flatten"), _IMAGE, repeatable=False),
}
"""Kinds of operators, convolutions told apart as `fusion_rules` does."""

REPEATABLE = tuple(kind for kind, how in KINDS.items() if how.repeatable)
"""Kinds that keep the shape, so that m of a pair can be chained."""

TRIAL_SHAPES: dict[str, tuple[Shape, ...]] = {
    "image": ((1, 16, 32, 32), (1, 16, 56, 56), (1, 24, 28, 28), (1, 32, 20, 20), (1, 32, 40, 40), (1, 48, 16, 16)),
    "vector": ((1024, 16), (512, 32), (640, 24), (256, 48), (384, 32), (1536, 16)),
}
"""Shapes of trials: many values and few channels, so that the operator behind is no small part of both. For the same
reason vectors come in batches: behind a layer of one vector nothing can be resolved, and nothing depends on it."""


_FLATTENED: Shape = (1, 16, 4, 4)
"""An image that may become a vector: a layer on one of the others would have weights of a gigabyte."""


def _domain(pair: Pair) -> str:
    """What a pair is shown: an image where both take one."""
    takes = KINDS[pair[0]].takes
    shared = takes if pair[0] == "flatten" else takes & KINDS[pair[1]].takes
    return "image" if "image" in shared else "vector"


def _fits(pair: Pair) -> bool:
    first, second = (KINDS[kind] for kind in pair)
    if pair[0] == "flatten":
        return "vector" in second.takes
    return bool(first.takes & second.takes)


def pairs_of(firsts: Iterable[str] = KINDS, seconds: Iterable[str] = KINDS) -> tuple[Pair, ...]:
    """All pairs that shapes allow."""
    behind = tuple(seconds)
    return tuple((a, b) for a in firsts for b in behind if _fits((a, b)))


def parse_pairs(texts: Iterable[str]) -> tuple[Pair, ...]:
    """Pairs as people write them: "conv2d+relu", or "conv2d+*" for all that may stand behind it, or "*+relu".

    Raises:
        ConfigError: for a kind that there is not, or a pair that cannot be repeated.
    """
    found: dict[Pair, None] = {}
    for text in texts:
        parts = [part.strip() for part in text.split("+")]
        unknown = [part for part in parts if part not in (*REPEATABLE, "*")]
        if len(parts) != 2 or unknown:
            raise ConfigError(
                f"{text!r} is no pair that can be tried: write one as conv2d+relu, with kinds out of "
                f"{', '.join(REPEATABLE)}, or * for all of them"
            )
        some = pairs_of(*(REPEATABLE if part == "*" else (part,) for part in parts))
        if not some:
            raise ConfigError(f"{text!r} cannot be: what {parts[0]} makes is nothing that {parts[1]} reads")
        found.update(dict.fromkeys(some))
    return tuple(found)


# -------------------------------------------------------------------- asking the graph


@dataclass(frozen=True, slots=True)
class Context:
    """A pair as part of a small network: the workload, and where the two operators are in it."""

    workload: Workload
    first: int
    second: int


def in_context(pair: Pair, shape: Shape | None = None) -> Context:
    """The pair behind operators that draw nothing in, and before one that is drawn into nothing.

    Raises:
        ConfigError: for a pair whose shapes do not fit.
    """
    if not _fits(pair):
        raise ConfigError(f"{'+'.join(pair)} cannot be: what {pair[0]} makes is nothing that {pair[1]} reads")
    b = WorkloadBuilder("+".join(pair))
    shape = shape or (_FLATTENED if pair[0] == "flatten" else TRIAL_SHAPES[_domain(pair)][0])
    x = mix(b, b.input(shape), shape)
    x, other = (b.max_pool(x, 3, 1, 1), b.avg_pool(x, 3, 1, 1)) if len(shape) == 4 else (b.softmax(x), b.hswish(x))
    y = KINDS[pair[0]].write(b, x, other, shape)
    shape, other = _after(pair[0], b, other, shape)
    z = KINDS[pair[1]].write(b, y, other, shape)
    shape, _ = _after(pair[1], b, other, shape)
    # not the network's output: what leaves it is treated otherwise (ONNX Runtime draws no h-swish in there)
    end = b.max_pool(z, 3, 1, 1) if len(shape) == 4 else b.softmax(z)
    return Context(b.build(end), y[0], z[0])


def _after(kind: str, b: WorkloadBuilder, other: Ref, shape: Shape) -> tuple[Shape, Ref]:
    """The shape behind an operator, and another tensor of that shape."""
    match kind:
        case "concat":
            return (shape[0], 2 * shape[1], *shape[2:]), b.concat(other, other)
        case "split":
            return (shape[0], shape[1] // 2, *shape[2:]), b.split(other, (shape[1] // 2,) * 2)[1]
        case "global_avg_pool":
            return (*shape[:2], 1, 1), b.global_avg_pool(other)
        case "flatten":
            return (shape[0], shape[1] * shape[2] * shape[3]), b.flatten(other)
    return shape, other


# -------------------------------------------------------------------- asking the clock


def trial_shapes(pair: Pair) -> tuple[Shape, ...]:
    """The shapes at which a pair is tried."""
    return TRIAL_SHAPES[_domain(pair)]


def trial(unit: Unit, shape: Shape, m: int) -> Workload:
    """m repetitions of: a mixer, the unit, and two sums that read what the unit makes.

        x -> mixer -> x' -> unit -> y;   next x = (x' + y) + y        (without a unit: (x + x') + x')

    Whatever the unit is, the same stands around it, so that it cancels: a mixer whose output is read twice draws
    nothing in, and neither does a unit whose output is, while inside the unit the second operator alone reads what the
    first makes. Second inputs come from one further input of the graph, mixed once.

    Raises:
        ValueError: for m < 1.
    """
    if m < 1:
        raise ValueError(f"a trial holds at least one repetition, not {m}")
    b = WorkloadBuilder(f"{'+'.join(unit) or 'nothing'} x{m}")
    x = mix(b, b.input(shape), shape)
    other = mix(b, b.input(shape), shape) if any(_reads_two(kind) for kind in unit) else x
    for _ in range(m):
        inner = mix(b, x, shape)
        y = inner
        for kind in unit:
            y = KINDS[kind].write(b, y, other, shape)
        x = b.add(b.add(inner, y), y) if unit else b.add(b.add(x, inner), inner)
    return b.build(x)


def _reads_two(kind: str) -> bool:
    return kind in ("add", "mul")
