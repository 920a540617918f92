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

A *block*, a part of a network that may be many kernels (a residual block, a stem, a head), is timed as a kernel is,
but beside *ballast*: a tensor of about as many bytes as a network's weights, which every run reads once, before the
stretch. A block in a network finds its weights driven out of the caches by those of all others; in a short stretch it
would find them where the last run left them, and look cheaper than it is. The ballast too cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from profiler.fleet.plugins import rules_of
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.fusion import Kernel, absorbs, cut, single
from profiler.workloads.graph import BYTES_PER_VALUE, Workload
from profiler.workloads.stretches import Surroundings, chain, fan, mixer

__all__ = [
    "Isolation",
    "KernelPlan",
    "Mode",
    "Surroundings",
    "block_jobs",
    "isolate",
    "isolate_in_pairs",
    "kernel_jobs",
    "rough_s",
]

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

_MOST_BALLAST_BYTES = 8 << 20
"""What reads more leaves nothing in the caches of a board's cores in any case, and only takes time."""
_BALLAST_BYTES_A_VALUE: dict[tuple[Runtime, Precision], int] = {("onnxruntime", "int8"): 5}
"""Where an input's values are not of the size of weights: these come in as floats and are written as bytes."""

_MERGEABLE = frozenset({"relu", "relu6", "batch_norm", "hswish", "hsigmoid", "sigmoid"})
"""Elementwise kinds that a runtime may merge into the kernel before them when nothing else reads that one."""

_NOT_CHAINED = frozenset({"mul", "div", "exp", "matmul", "reshape", "transpose"})
"""Kinds of which a chain would end in values that are no numbers, or too small to be computed with at full speed; or of
which a runtime makes one out of several."""

_BLOCK = "block"
"""The kind of a kernel that is a block."""

_LAYOUT_OF_NEIGHBOURS: frozenset[tuple[Runtime, Precision]] = frozenset({("onnxruntime", "int8")})
"""Where pooling runs in the layout of the convolutions around it, at another cost than in its own."""


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
        write = chain if self.mode == "chain" else fan
        return write(self.kernel, self.surroundings, m)


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """All that has to be run for the row of one kernel, or of one block, in a table.

    Attributes:
        kernel: the kernel; a block is one of kind "block".
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
    def is_block(self) -> bool:
        """Whether it is about a block."""
        return self.kernel.kind == _BLOCK

    @property
    def label(self) -> str:
        """For people: what a kernel is, or how a block was named by who wrote it down."""
        return (self.kernel.workload.name if self.is_block else "") or self.kernel.label

    @property
    def companion_keys(self) -> tuple[str, ...]:
        """Keys of the kernels whose marginal costs are subtracted, as often as they occur."""
        return tuple(companion.key for companion in self.isolation.companions)


def isolate(kernel: Kernel, runtime: Runtime, precision: Precision) -> Isolation:
    """How a kernel, or a block as a kernel, is timed on a runtime."""
    work = kernel.workload
    shapes = [work.shapes[i][0] for i in work.inputs]
    outs = [work.shape(ref) for ref in work.outputs]
    kinds = [work.ops[i].kind for i in work.compute_ops if work.ops[i].kind != "constant"]
    pools = kinds[0] in ("avg_pool", "max_pool") and (rules_of(runtime), precision) in _LAYOUT_OF_NEIGHBOURS
    additions = 2 if absorbs(_last(kernel, runtime, precision), "add", runtime, precision) else 1
    mode: Mode = "fan"
    if len(outs) == 1 and kinds[0] not in _NOT_CHAINED and all(shape == outs[0] for shape in shapes):
        mode = "chain"
        merges = len(kinds) == 1 and kinds[0] in _MERGEABLE
        around = Surroundings(mixed=merges or pools, residual=merges, additions=additions if merges else 0)
    elif _accumulates(work):
        around = Surroundings()
    else:
        around = Surroundings(mixed=not _has_weights(work), mixed_after=pools, additions=additions)
    companions = [single("add", (shape, shape), {}) for shape in outs for _ in range(around.additions)]
    companions += [mixer(shapes[0])] * around.mixed
    companions += [mixer(outs[0])] * around.mixed_after
    return Isolation(kernel, mode, tuple(companions), _repeats(kernel, mode, companions), around)


def isolate_in_pairs(kernel: Kernel, runtime: Runtime, precision: Precision) -> Isolation | None:
    """The kernel in a chain with a partner that brings the channels back; None where it needs none, or none can.

    The partner is a mixer and a companion. No operator brings pixels back, so what changes these is not chained.
    """
    work = kernel.workload
    if len(work.inputs) != 1 or len(work.outputs) != 1 or not _has_weights(work):
        return None
    read, made = work.shapes[work.inputs[0]][0], work.shape(work.outputs[0])
    if len(read) not in (2, 4) or len(read) != len(made) or read == made or read[2:] != made[2:]:
        return None
    companions = (mixer(read, made),)
    return Isolation(kernel, "chain", companions, _repeats(kernel, "chain", companions), Surroundings(back=True))


def kernel_jobs(
    kernels: Iterable[Kernel], runtime: Runtime, precision: Precision, paired: bool = False
) -> tuple[KernelPlan, ...]:
    """What to run so that every one of the kernels gets its marginal cost: the kernels and the companions that they
    need, each once, companions before those that need them.

    Args:
        kernels: what is measured.
        runtime, precision: on what.
        paired: only those that can be chained in pairs, in pairs; their companions as ever, but where one is among the
            kernels itself it is measured as a companion.
    """
    plans: dict[str, KernelPlan] = {}

    def plan(kernel: Kernel, isolation: Isolation) -> None:
        if kernel.key in plans:
            return
        for companion in isolation.companions:
            plan(companion, isolate(companion, runtime, precision))
        plans[kernel.key] = _plan(isolation)

    for kernel in kernels:
        isolation = isolate_in_pairs(kernel, runtime, precision) if paired else isolate(kernel, runtime, precision)
        if isolation is not None:
            plan(kernel, isolation)
    return tuple(plans.values())


def block_jobs(
    blocks: Iterable[Workload], runtime: Runtime, precision: Precision, network_params: int = 0
) -> tuple[KernelPlan, ...]:
    """What to run so that every one of the blocks gets its marginal cost inside a network: the kernels that are
    companions, each once, and then the blocks, each once.

    Args:
        blocks: parts of networks, each with one output, such as a block with its residual addition, a stem or a head.
        runtime, precision: what they are timed on.
        network_params: parameters of a typical network that the blocks are parts of, for the ballast; 0 for none.
    """
    ballast = _ballast_values(network_params, runtime, precision)
    plans: dict[str, KernelPlan] = {}
    for block in blocks:
        if block.key not in plans:
            isolation = isolate(Kernel(block, block.compute_ops, _BLOCK), runtime, precision)
            around = replace(isolation.surroundings, ballast=ballast)
            plans[block.key] = _plan(replace(isolation, surroundings=around))
    companions = [kernel for plan in plans.values() for kernel in plan.isolation.companions]
    return (*kernel_jobs(companions, runtime, precision), *plans.values())


def _plan(isolation: Isolation) -> KernelPlan:
    m = isolation.repeats
    return KernelPlan(isolation.kernel, isolation, tuple((n, isolation.workload(n)) for n in (1, m, 2 * m)))


# -------------------------------------------------------------------- companions and length


def _ballast_values(network_params: int, runtime: Runtime, precision: Precision) -> int:
    """How many values move as many bytes as the weights of a network, as far as there is any use in more."""
    size = BYTES_PER_VALUE["float32"] if precision == "fp32" else 1
    moved = _BALLAST_BYTES_A_VALUE.get((rules_of(runtime), precision), size)
    return min(network_params * size, _MOST_BALLAST_BYTES) // moved


def _last(kernel: Kernel, runtime: Runtime, precision: Precision) -> Kernel:
    """The kernel whose output leaves: of a block the one that ends it, of a kernel itself."""
    source = kernel.workload.outputs[0][0]
    return next((part for part in cut(kernel.workload, runtime, precision) if source in part.ops), kernel)


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
    fitting = min(_TARGET_S / sum(rough_s(part) for part in parts), _CACHE_BYTES / max(touched, 1))
    return min(max(round(fitting), _MIN_REPEATS), _MAX_REPEATS)


def rough_s(workload: Workload) -> float:
    """A guess at the duration, good enough to choose m."""
    moved = workload.bytes_read + workload.bytes_written
    pools = [i for i in workload.compute_ops if workload.ops[i].kind in ("avg_pool", "max_pool")]
    taps = sum(prod(workload.shapes[i][0]) * prod(workload.ops[i].ints("kernel")) for i in pools)
    return workload.macs / _MACS_PER_S + taps / _TAPS_PER_S + moved / _BYTES_PER_S + _DISPATCH_S
