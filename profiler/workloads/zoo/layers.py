"""Layers that classic networks share."""

from __future__ import annotations

from collections.abc import Callable

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref

__all__ = ["Activation", "classifier", "conv_bn", "depth_text", "divisible", "excite", "halving_pool", "image", "silu"]

Activation = Callable[[WorkloadBuilder, Ref], Ref]


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple, at least one and never less than nine tenths: how mobile networks round their widths."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def depth_text(depths: tuple[int, ...], published: tuple[int, ...]) -> str:
    """How the name of a network says that it is of other depth than the published one; "" where it is that."""
    return "" if depths == published else f"-{','.join(map(str, depths))}"


def image(b: WorkloadBuilder, resolution: int) -> Ref:
    """The input: one picture (1, 3, resolution, resolution)."""
    return b.input((1, 3, resolution, resolution))


def silu(b: WorkloadBuilder, x: Ref) -> Ref:
    """x * sigmoid(x)."""
    return b.mul(x, b.sigmoid(x))


def conv_bn(
    b: WorkloadBuilder,
    x: Ref,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: Activation | None = None,
    padding: int | None = None,
    eps: float = 1e-5,
) -> Ref:
    """Convolution without bias, batch norm and, where there is one, an activation."""
    y = b.batch_norm(b.conv2d(x, channels, kernel, stride, padding, groups=groups), eps=eps)
    return y if act is None else act(b, y)


def excite(
    b: WorkloadBuilder, x: Ref, channels: int, narrow: int, gate: Activation, act: Activation = WorkloadBuilder.relu
) -> Ref:
    """Squeeze-and-excitation of a tensor of `channels` over `narrow` ones."""
    inner = act(b, b.conv2d(b.global_avg_pool(x), narrow, bias=True))
    return b.mul(x, gate(b, b.conv2d(inner, channels, bias=True)))


def halving_pool(b: WorkloadBuilder, x: Ref, size: int, kernel: int = 3) -> tuple[Ref, int]:
    """Maximum over windows at stride 2 of a tensor of `size` pixels a side, the last window over the edge where it has
    to be so that every pixel is in one; returns the tensor and its size."""
    out = -(-(size - kernel) // 2) + 1
    over = (out - 1) * 2 + kernel - size
    return b.op("max_pool", x, kernel=(kernel, kernel), stride=(2, 2), padding=(0, 0, over, over)), out


def classifier(b: WorkloadBuilder, x: Ref, num_classes: int) -> Ref:
    """Global average, flattened, one linear layer: the logits."""
    return b.linear(b.flatten(b.global_avg_pool(x)), num_classes)
