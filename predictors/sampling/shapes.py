"""A kernel at other sizes, and a sampler of such sizes that covers the range of kernels that it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from predictors.features import is_depthwise
from profiler.errors import ConfigError
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Op, Workload
from profiler.workloads.op import infer_shapes
from profiler.workloads.ops import AttrValue, Shape

__all__ = ["Dims", "ShapeSampler", "dims_of", "resized"]

_NEAR = 0.5
"""Share of the candidates that lie near a kernel shown; the others lie anywhere in the range of its kind."""

_NEAR_FACTOR = 1.6
"""By at most so much such a candidate differs from it in each size."""

_ROUNDED = ((8, 0.6), (4, 0.2), (1, 0.2))
"""Channels are multiples of each with this probability: runtimes prefer 8 and 16, and what that is worth has to be
seen; designers prefer them too."""

_TRIES = 40

_SHARED = 0.8
"""Share of the candidates whose output has the shape of others': what is timed beside kernels (sums, 1x1 convolutions)
depends on that shape alone, is measured once for all of them, and would else take half of the time."""

_SHARED_SHAPES = 96
_SHARED_WITHIN = 0.5
"""How far, as a logarithm, a shape may be moved for that."""


@dataclass(frozen=True, slots=True)
class Dims:
    """The sizes of a kernel: channels (or features) in and out, and pixels along one side; c_out is 0 where it
    follows from c_in, size is 0 where there are no pixels."""

    c_in: int
    c_out: int
    size: int


def _main(workload: Workload) -> int | None:
    """The operator whose outputs may be as many as one likes; None where there is none."""
    for index in workload.compute_ops:
        op = workload.ops[index]
        if op.kind == "linear" or (op.kind == "conv2d" and not is_depthwise(workload, index)):
            return index
    return None


def dims_of(kernel: Kernel) -> Dims | None:
    """The sizes of a kernel; None where its first input is neither an image nor a vector."""
    work = kernel.workload
    shape, main = work.shapes[work.inputs[0]][0], _main(work)
    if len(shape) not in (2, 4):
        return None
    return Dims(shape[1], work.shapes[main][0][1] if main is not None else 0, shape[2] if len(shape) == 4 else 0)


def resized(kernel: Kernel, dims: Dims, runtime: Runtime, precision: Precision) -> Kernel | None:
    """The same operators at other sizes.

    None where the sizes cannot be (a window larger than its image, a split that does not divide), or where they make
    another kind of kernel of it.
    """
    try:
        workload = _rebuilt(kernel.workload, dims)
        found = cut(workload, runtime, precision)
    except ConfigError:
        return None
    return found[0] if len(found) == 1 and found[0].kind == kernel.kind else None


def _rebuilt(work: Workload, dims: Dims) -> Workload:
    old = work.shapes[work.inputs[0]][0]
    first: Shape = (old[0], dims.c_in, *(max(1, round(s * dims.size / old[2])) for s in old[2:]))
    start = work.compute_ops[0]
    head = _resized_op(work, start, dims)
    made = infer_shapes(
        Op(head.kind, ((0, 0),) * len(head.inputs), head.attrs), 1, [(first,)]
    ) if len(set(work.input_shapes_of(start))) == 1 else (first,)  # fmt: skip
    ops: list[Op] = []
    for index, op in enumerate(work.ops):
        if op.kind == "input":
            shape = (
                first
                if index == work.inputs[0]
                else _input(work.shapes[index][0], old, first, work.shapes[start][0], made[0])
            )
            ops.append(Op("input", (), (("position", op.int("position")), ("shape", shape))))
        else:
            ops.append(_resized_op(work, index, dims))
    return Workload(tuple(ops), work.outputs)


def _input(shape: Shape, old: Shape, first: Shape, old_made: Shape, made: Shape) -> Shape:
    """Another input's new shape, from what its old one was equal to: what the first operator makes, to which it is
    added then, or the first input."""
    pairs = ((old_made, made), (old, first))
    for before, after in pairs:
        if shape == before:
            return after
    for before, after in pairs:
        if len(shape) == len(before) == 4 and shape[:2] == before[:2] and shape[2:] == (1, 1):
            return (*after[:2], 1, 1)
        if len(shape) == len(before) and shape[2:] == before[2:]:  # another width of the same picture
            return (shape[0], max(1, round(shape[1] * after[1] / before[1])), *after[2:])
    raise ConfigError(f"an input of shape {shape} has nothing to do with {old}")


def _resized_op(work: Workload, index: int, dims: Dims) -> Op:
    op = work.ops[index]
    attrs: dict[str, AttrValue] = dict(op.attrs)
    if op.kind == "conv2d":
        groups, channels = op.int("groups"), work.input_shapes_of(index)[0][1]
        if is_depthwise(work, index):
            attrs.update(groups=dims.c_in, out_channels=dims.c_in * (op.int("out_channels") // channels))
        else:
            attrs["out_channels"] = dims.c_out
            if groups > 1:  # the width of a group stays
                attrs["groups"] = max(1, dims.c_in // (channels // groups))
    elif op.kind == "linear":
        attrs["out_features"] = dims.c_out
    elif op.kind == "split":
        sizes = op.ints("sizes")
        parts = [size * dims.c_in // sum(sizes) for size in sizes]
        attrs["sizes"] = (*parts[:-1], dims.c_in - sum(parts[:-1]))
    return Op(op.kind, op.inputs, tuple(sorted(attrs.items())))


def _moved(kernel: Kernel) -> int:
    return kernel.workload.bytes_read + kernel.workload.bytes_written


class ShapeSampler:
    """Draws kernels of the kinds that it is shown, at sizes within their range.

    Candidates of a kind are spread over the range of each of its sizes (a Latin hypercube in their logarithms), and
    half of them lie near kernels that were shown; none has more multiply-accumulates or moves more bytes than the
    largest that was shown, nor less than half of the smallest.

    Args:
        references: kernels to cover, of one runtime and precision.
        runtime, precision: by whose fusion rules they were cut.

    Attributes:
        kinds: of them, those that can be drawn, each with its references.
    """

    def __init__(self, references: Iterable[Kernel], runtime: Runtime, precision: Precision) -> None:
        self._runtime = runtime
        self._precision = precision
        found: dict[str, list[Kernel]] = {}
        for kernel in references:
            dims = dims_of(kernel)
            # what cannot be rebuilt at its own sizes cannot be at others
            if dims is not None and resized(kernel, dims, runtime, precision) is not None:
                found.setdefault(kernel.kind, []).append(kernel)
        self.kinds: Mapping[str, tuple[Kernel, ...]] = {kind: tuple(of) for kind, of in sorted(found.items())}
        self._shared = _shared_shapes([kernel for of in self.kinds.values() for kernel in of])

    def draw(self, kind: str, n: int, rng: np.random.Generator) -> list[Kernel]:
        """About n distinct kernels of one kind; fewer where its range holds no more.

        Raises:
            KeyError: a kind that was not shown.
        """
        references = self.kinds[kind]
        dims = [d for d in map(dims_of, references) if d is not None]
        logs = np.log([[max(1, d.c_in), max(1, d.c_out), max(1, d.size)] for d in dims])
        low, high = logs.min(axis=0), logs.max(axis=0)
        macs = [k.workload.macs for k in references]
        moved = [_moved(k) for k in references]
        found: dict[str, Kernel] = {}
        for _ in range(_TRIES):
            unit = _hypercube(n, 3, rng)
            for point in unit:
                place = int(rng.integers(len(references)))
                spread = log(_NEAR_FACTOR)
                near = np.clip(logs[place] + spread * (2 * point - 1), low, high)
                anywhere = low + (high - low) * point
                wanted = np.exp(near if rng.random() < _NEAR else anywhere)
                kernel = self._made(references[place], dims[place], wanted, rng)
                if kernel is None or kernel.key in found:
                    continue
                inside = 0.5 * min(macs) <= kernel.workload.macs <= max(macs)
                if inside and 0.5 * min(moved) <= _moved(kernel) <= max(moved):
                    found[kernel.key] = kernel
                if len(found) == n:
                    return list(found.values())
        return list(found.values())

    def _made(
        self, template: Kernel, dims: Dims, wanted: NDArray[np.float64], rng: np.random.Generator
    ) -> Kernel | None:
        stride = _stride(template)
        channels, size = float(wanted[1] if dims.c_out else wanted[0]), float(wanted[2])
        shared = self._near(channels, size / stride) if dims.size and rng.random() < _SHARED else None
        made = shared[0] if shared else _rounded(channels, rng)
        if dims.size:
            size = float(shared[1] * stride) if shared else size
        # three channels are a picture's, and stay
        c_in = dims.c_in if dims.c_in <= 3 else _rounded(float(wanted[0]), rng) if dims.c_out else made
        c_out = made if dims.c_out else 0
        width = _width(template)
        if width:
            c_in = max(1, round(c_in / width)) * width
            c_out = c_in * max(1, round(c_out / c_in))
        elif dims.c_out == dims.c_in > 3 and rng.random() < 0.5:
            c_in = c_out  # networks keep the channels more often than chance would
        return resized(
            template, Dims(c_in, c_out, max(1, round(size)) if dims.size else 0), self._runtime, self._precision
        )

    def _near(self, channels: float, size: float) -> tuple[int, int] | None:
        """The shared shape next to one; None where none is near."""
        far = np.abs(np.log(self._shared) - np.log([max(1.0, channels), max(1.0, size)])).max(axis=1)
        place = int(np.argmin(far))
        return (int(self._shared[place, 0]), int(self._shared[place, 1])) if far[place] < _SHARED_WITHIN else None


def _shared_shapes(kernels: Iterable[Kernel]) -> NDArray[np.int64]:
    """(channels, pixels along a side) in which kernels' outputs may meet, spread over those of the references: (n, 2).

    Half of them have other channels than any network, since what is no multiple of eight must be seen as well.
    """
    made = {
        (shape[1], shape[2]) for k in kernels for shape in [k.workload.shape(k.workload.outputs[0])] if len(shape) == 4
    }
    if not made:
        return np.ones((1, 2), dtype=np.int64)
    all_ = np.array(sorted(made), dtype=np.int64)
    rng = np.random.default_rng(0)  # the same for every run and seed: these are places to meet
    chosen = [int(rng.integers(len(all_)))]
    gap = np.full(len(all_), np.inf)
    while len(chosen) < min(_SHARED_SHAPES // 2, len(all_)):
        gap = np.minimum(gap, np.abs(np.log(all_) - np.log(all_[chosen[-1]])).max(axis=1))
        chosen.append(int(np.argmax(gap)))
    moved = [
        (_rounded(c * rng.uniform(0.75, 1.3), rng), max(1, round(size * rng.uniform(0.8, 1.2))))
        for c, size in all_[chosen]
    ]
    return np.array(sorted({*map(tuple, all_[chosen].tolist()), *moved}), dtype=np.int64)


def _stride(kernel: Kernel) -> int:
    """Of its first operator; 1 where that has none."""
    attrs = dict(kernel.workload.ops[kernel.workload.compute_ops[0]].attrs)
    found = attrs.get("stride", (1, 1))
    return max(found) if isinstance(found, tuple) else 1


def _width(kernel: Kernel) -> int:
    """Channels in a group of a grouped convolution; 0 of anything else."""
    for index in kernel.workload.compute_ops:
        op = kernel.workload.ops[index]
        if op.kind == "conv2d" and op.int("groups") > 1 and not is_depthwise(kernel.workload, index):
            return kernel.workload.input_shapes_of(index)[0][1] // op.int("groups")
    return 0


def _rounded(value: float, rng: np.random.Generator) -> int:
    step = int(rng.choice([step for step, _ in _ROUNDED], p=[share for _, share in _ROUNDED]))
    return max(step, round(value / step) * step)


def _hypercube(n: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A Latin hypercube (n, width) in [0, 1)."""
    places = np.column_stack([rng.permutation(n) for _ in range(width)])
    return np.asarray((places + rng.random((n, width))) / n, dtype=np.float64)
