"""The stretches that a kernel is timed in: m of it in a chain or in a fan, and what is put beside each.

Which of the two, and what stands beside the kernel, says `isolation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import Kernel, single
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.ops import AttrValue, Shape

__all__ = ["Surroundings", "chain", "fan", "mix", "mixer"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands beside every kernel of a stretch.

    Attributes:
        mixed: a mixer before the kernel's first input.
        mixed_after: a mixer behind its output.
        residual: chain only: the kernel's input is added to its output, so that both are read twice.
        additions: how often each output is added: 0 in a plain chain and where the kernel itself adds; 2 where a
            runtime would draw a single addition into the kernel.
        back: chain only: behind the kernel stands a mixer that brings the channels back to those of the first input.
        ballast: values of a further input, which is averaged and added to the first one before the stretch; 0 is none.
    """

    mixed: bool = False
    mixed_after: bool = False
    residual: bool = False
    additions: int = 0
    back: bool = False
    ballast: int = 0


def chain(kernel: Kernel, around: Surroundings, m: int) -> Workload:
    """Each kernel's output is the next one's first input; further inputs are what went into the kernel before.

    So every tensor is fresh, and the last use of the further input is here: a runtime may write the sum into its
    buffer, as it may for most sums in a network.
    """
    work = kernel.workload
    b = WorkloadBuilder(f"{kernel.label} x{m}")
    shape = work.shapes[work.inputs[0]][0]
    x = before = _entrance(b, shape, around.ballast)
    for _ in range(m):
        if around.mixed:
            x = mix(b, x, shape)
        (y,) = b.append(work, x, *[before] * (len(work.inputs) - 1))
        if around.back:
            y = mix(b, y, shape)
        out = x
        for _ in range(around.additions):
            out = b.add(out, y)
        before, x = x, out if around.residual else y
    return b.build(x)


def fan(kernel: Kernel, around: Surroundings, m: int) -> Workload:
    """m kernels on one set of inputs; every output port is summed up over the kernels."""
    work = kernel.workload
    b = WorkloadBuilder(f"{kernel.label} x{m}")
    shapes = [work.shapes[i][0] for i in work.inputs]
    starts = [_entrance(b, shape, 0 if place else around.ballast) for place, shape in enumerate(shapes)]
    sums: list[Ref] = [] if around.additions else [starts[1]]
    for _ in range(m):
        first = mix(b, starts[0], shapes[0]) if around.mixed else starts[0]
        if not around.additions:
            sums = list(b.append(work, first, sums[0]))
            continue
        for port, out in enumerate(b.append(work, first, *starts[1:])):
            y = mix(b, out, work.shape(work.outputs[port])) if around.mixed_after else out
            if port == len(sums):
                sums.append(y)
                continue
            for _ in range(around.additions):
                sums[port] = b.add(sums[port], y)
    return b.build(*sums)


def _entrance(b: WorkloadBuilder, shape: Shape, ballast: int) -> Ref:
    x = b.input(shape)
    if len(shape) != 4:
        return x
    if ballast:
        side = max(1, isqrt(ballast // prod(shape[:2])))
        x = b.add(x, b.global_avg_pool(b.input((*shape[:2], side, side))))
    return mix(b, x, shape)


def _mixer_attrs(shape: Shape) -> tuple[str, dict[str, AttrValue]]:
    """Kind and attributes of the layer with weights that keeps a shape at the least cost."""
    if len(shape) != 4:
        return "linear", {"out_features": shape[-1], "bias": True}
    attrs: dict[str, AttrValue] = {"out_channels": shape[1], "groups": 1, "bias": True}
    attrs |= {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
    return "conv2d", attrs


def mix(b: WorkloadBuilder, x: Ref, shape: Shape) -> Ref:
    """Write the layer down that makes a shape at the least cost, of the same shape or one of other channels."""
    kind, attrs = _mixer_attrs(shape)
    return b.op(kind, x, name="", **attrs)


def mixer(shape: Shape, made_of: Shape | None = None) -> Kernel:
    """The layer with weights that makes a shape at the least cost, as the kernel that it is.

    Args:
        shape: what it makes.
        made_of: what it reads, of other channels at most; by default the same.
    """
    kind, attrs = _mixer_attrs(shape)
    return single(kind, (made_of or shape,), attrs)
