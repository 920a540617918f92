"""How a kernel is timed: in stretches of m and 2m, whose difference is free of everything that a run pays once.

    marginal cost = (T(2m) - T(m)) / m - the marginal costs of the companions

A kernel alone in a model file pays for entering and leaving the runtime, for converting layouts at both ends, and
for cold buffers; inside a network it does not. A *chain* feeds each kernel's output to the next and is used where
shapes allow it. A *fan* lets m kernels with weights of their own read one tensor and adds their outputs up.

A stretch must show the runtime what a network shows it, or the runtime will do something else: merge equal
branches, draw an activation into the kernel before it, draw an addition into a convolution, or change layouts.
What is put beside every kernel to prevent that are *companions*, kernels with marginal costs of their own:
additions, and a *mixer*, a 1x1 convolution (or linear layer) that keeps the shape.

Every stretch starts with a 1x1 convolution where its tensor is an image, so that the first kernel already reads
the runtime's own layout; as everything that occurs once, it cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from profiler.fleet.plugins import rules_of
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import Kernel, absorbs, single
from profiler.workloads.graph import BYTES_PER_VALUE, Ref, Workload
from profiler.workloads.ops import AttrValue, Shape

__all__ = ["Isolation", "KernelPlan", "Mode", "Surroundings", "isolate", "kernel_jobs"]

Mode = Literal["chain", "fan"]

_MIN_REPEATS, _MAX_REPEATS = 4, 24
_CACHE_BYTES = 512 * 1024
"""What a stretch of m may touch. Twice of it then still fits into a core's own cache: where a stretch fits and twice
of it does not, the slope is steeper than either."""
_TARGET_S = 0.5e-3
"""What a stretch of m should take, roughly, on the machine that the next figures describe."""
_MACS_PER_S = 4e10
_TAPS_PER_S = 5e9  # of pooling windows
_BYTES_PER_S = 2e10
_DISPATCH_S = 2e-6

_MERGEABLE = frozenset({"relu", "relu6", "batch_norm", "hswish", "hsigmoid", "sigmoid"})
"""Elementwise kinds that a runtime may merge into the kernel before them when nothing else reads that one."""

_LAYOUT_OF_NEIGHBOURS: frozenset[tuple[Runtime, Precision]] = frozenset({("onnxruntime", "int8")})
"""Where pooling runs in the layout of the convolutions around it, at another cost than in its own."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands beside every kernel of a stretch.

    Attributes:
        mixed: a mixer before the kernel's first input.
        mixed_after: a mixer behind its output.
        residual: chain only: the kernel's input is added to its output, so that both are read twice.
        additions: how often each output is added: 0 in a plain chain and where the kernel itself adds; 2 where a
            runtime would draw a single addition into the kernel.
    """

    mixed: bool = False
    mixed_after: bool = False
    residual: bool = False
    additions: int = 0


@dataclass(frozen=True, slots=True)
class Isolation:
    """A kernel and how it is timed.

    Attributes:
        kernel: what is timed.
        mode: "chain" or "fan".
        companions: kernels that occur beside each kernel, named as often as they do; their marginal costs are
            subtracted.
        repeats: m; the stretches timed are m and 2m.
        surroundings: where the companions stand.
    """

    kernel: Kernel
    mode: Mode
    companions: tuple[Kernel, ...]
    repeats: int
    surroundings: Surroundings

    def workload(self, m: int) -> Workload:
        """A stretch of m kernels; m = 1 is the kernel alone, without companions: the isolated figure.

        Raises:
            ValueError: for m < 1.
        """
        if m < 1:
            raise ValueError(f"a stretch holds at least one kernel, not {m}")
        if m == 1:
            return self.kernel.workload
        return _chain(self, m) if self.mode == "chain" else _fan(self, m)


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """All that has to be run for one kernel's row of a table.

    Attributes:
        kernel: the kernel.
        isolation: how it is timed.
        jobs: (number of kernels, workload) of every job: 1, m, 2m.
    """

    kernel: Kernel
    isolation: Isolation
    jobs: tuple[tuple[int, Workload], ...]

    @property
    def key(self) -> str:
        """The kernel's key."""
        return self.kernel.key

    @property
    def companion_keys(self) -> tuple[str, ...]:
        """Keys of the kernels whose marginal costs are subtracted, as often as they occur."""
        return tuple(companion.key for companion in self.isolation.companions)


def isolate(kernel: Kernel, runtime: Runtime, precision: Precision) -> Isolation:
    """How a kernel is timed on a runtime."""
    work = kernel.workload
    shapes = [work.shapes[i][0] for i in work.inputs]
    outs = [work.shape(ref) for ref in work.outputs]
    kinds = [work.ops[i].kind for i in work.compute_ops]
    pools = kinds[0] in ("avg_pool", "max_pool") and (rules_of(runtime), precision) in _LAYOUT_OF_NEIGHBOURS
    additions = 2 if absorbs(kernel, "add", runtime, precision) else 1
    mode: Mode = "fan"
    if len(outs) == 1 and kinds[0] != "mul" and all(shape == outs[0] for shape in shapes):
        mode = "chain"
        merges = len(kinds) == 1 and kinds[0] in _MERGEABLE
        around = Surroundings(mixed=merges or pools, residual=merges, additions=additions if merges else 0)
    elif _accumulates(work):
        around = Surroundings()
    else:
        around = Surroundings(mixed=not _has_weights(work), mixed_after=pools, additions=additions)
    companions = [single("add", (shape, shape), {}) for shape in outs for _ in range(around.additions)]
    companions += [_mixer(shapes[0])] * around.mixed
    companions += [_mixer(outs[0])] * around.mixed_after
    return Isolation(kernel, mode, tuple(companions), _repeats(kernel, mode, companions), around)


def kernel_jobs(kernels: Iterable[Kernel], runtime: Runtime, precision: Precision) -> tuple[KernelPlan, ...]:
    """What to run so that every one of the kernels gets its marginal cost: the kernels and the companions that they
    need, each once, companions before those that need them."""
    plans: dict[str, KernelPlan] = {}

    def plan(kernel: Kernel) -> None:
        if kernel.key in plans:
            return
        isolation = isolate(kernel, runtime, precision)
        for companion in isolation.companions:
            plan(companion)
        m = isolation.repeats
        jobs = tuple((n, isolation.workload(n)) for n in (1, m, 2 * m))
        plans[kernel.key] = KernelPlan(kernel, isolation, jobs)

    for kernel in kernels:
        plan(kernel)
    return tuple(plans.values())


# -------------------------------------------------------------------- stretches


def _chain(isolation: Isolation, m: int) -> Workload:
    """Each kernel's output is the next one's first input; further inputs are what went into the kernel before.

    So every tensor is fresh, and the last use of the further input is here: a runtime may write the sum into its
    buffer, as it may for most sums in a network.
    """
    work, around = isolation.kernel.workload, isolation.surroundings
    b = WorkloadBuilder(f"{isolation.kernel.label} x{m}")
    shape = work.shapes[work.inputs[0]][0]
    x = before = _entrance(b, shape)
    for _ in range(m):
        if around.mixed:
            x = _mix(b, x, shape)
        (y,) = b.append(work, x, *[before] * (len(work.inputs) - 1))
        out = x
        for _ in range(around.additions):
            out = b.add(out, y)
        before, x = x, out if around.residual else y
    return b.build(x)


def _fan(isolation: Isolation, m: int) -> Workload:
    """m kernels on one set of inputs; every output port is summed up over the kernels."""
    work, around = isolation.kernel.workload, isolation.surroundings
    b = WorkloadBuilder(f"{isolation.kernel.label} x{m}")
    shapes = [work.shapes[i][0] for i in work.inputs]
    starts = [_entrance(b, shape) for shape in shapes]
    sums: list[Ref] = [] if around.additions else [starts[1]]
    for _ in range(m):
        first = _mix(b, starts[0], shapes[0]) if around.mixed else starts[0]
        if not around.additions:
            sums = list(b.append(work, first, sums[0]))
            continue
        for port, out in enumerate(b.append(work, first, *starts[1:])):
            y = _mix(b, out, work.shape(work.outputs[port])) if around.mixed_after else out
            if port == len(sums):
                sums.append(y)
                continue
            for _ in range(around.additions):
                sums[port] = b.add(sums[port], y)
    return b.build(*sums)


def _entrance(b: WorkloadBuilder, shape: Shape) -> Ref:
    x = b.input(shape)
    return _mix(b, x, shape) if len(shape) == 4 else x


# -------------------------------------------------------------------- companions and length


def _mixer_attrs(shape: Shape) -> tuple[str, dict[str, AttrValue]]:
    """Kind and attributes of the layer with weights that keeps a shape at the least cost."""
    if len(shape) == 2:
        return "linear", {"out_features": shape[1], "bias": True}
    attrs: dict[str, AttrValue] = {"out_channels": shape[1], "groups": 1, "bias": True}
    attrs |= {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
    return "conv2d", attrs


def _mix(b: WorkloadBuilder, x: Ref, shape: Shape) -> Ref:
    kind, attrs = _mixer_attrs(shape)
    return b.op(kind, x, name="", **attrs)


def _mixer(shape: Shape) -> Kernel:
    kind, attrs = _mixer_attrs(shape)
    return single(kind, (shape,), attrs)


def _accumulates(workload: Workload) -> bool:
    """Whether the kernel adds a tensor of its output's shape itself, so that sums need no companion."""
    shapes = [workload.shapes[i][0] for i in workload.inputs]
    kinds = [workload.ops[i].kind for i in workload.compute_ops]
    return len(shapes) == 2 and "add" in kinds[1:] and shapes[1] == workload.shape(workload.outputs[0])


def _has_weights(workload: Workload) -> bool:
    return any(workload.param_shapes(i) for i in workload.compute_ops)


def _repeats(kernel: Kernel, mode: Mode, companions: Sequence[Kernel]) -> int:
    """m: as many as take the time aimed at, as far as what they touch fits."""
    parts = [part.workload for part in (kernel, *companions)]
    touched = sum(part.params for part in parts) * BYTES_PER_VALUE["float32"]
    if mode == "fan":
        touched += kernel.workload.bytes_written  # a runtime may keep every branch until it adds them up
    fitting = min(_TARGET_S / sum(_rough_s(part) for part in parts), _CACHE_BYTES / max(touched, 1))
    return min(max(round(fitting), _MIN_REPEATS), _MAX_REPEATS)


def _rough_s(workload: Workload) -> float:
    """A guess at the duration, good enough to choose m."""
    moved = workload.bytes_read + workload.bytes_written
    pools = [i for i in workload.compute_ops if workload.ops[i].kind in ("avg_pool", "max_pool")]
    taps = sum(prod(workload.shapes[i][0]) * prod(workload.ops[i].ints("kernel")) for i in pools)
    return workload.macs / _MACS_PER_S + taps / _TAPS_PER_S + moved / _BYTES_PER_S + _DISPATCH_S
