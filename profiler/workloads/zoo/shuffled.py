"""ShuffleNet V2: half of the channels pass a block by, and then all of them change places."""

from __future__ import annotations

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import classifier, conv_bn, depth_text, divisible, image

__all__ = ["shufflenet_v2"]

_DEPTHS = (4, 8, 4)
_STEM = 24
_FIRST = {0.5: 48, 1.0: 116, 1.5: 176, 2.0: 244}
"""Channels of the first stage at the published widths; every further one has twice as many."""
_LAST = 1024
_RELU = WorkloadBuilder.relu


def shufflenet_v2(
    width: float = 1.0, resolution: int = 224, num_classes: int = 1000, depths: tuple[int, ...] = _DEPTHS
) -> Workload:
    """ShuffleNet V2 [Ma et al. 2018]: of its four published widths the published channels, of others multiples of 4 in
    proportion; the stem has 24 channels at any, the last convolution 1024, and 2048 from width 2 on. `depths` are the
    blocks of every stage."""
    b = WorkloadBuilder(f"shufflenet_v2{depth_text(depths, _DEPTHS)} x{width:g} @{resolution}")
    wide = _FIRST.get(width, divisible(_FIRST[1.0] * width, 4))
    x, channels = b.max_pool(conv_bn(b, image(b, resolution), _STEM, 3, 2, act=_RELU), 3, 2, 1), _STEM
    size = _halved(_halved(resolution))
    for depth in depths:
        size = _halved(size)
        for place in range(depth):
            half = wide // 2
            if place:
                left, right = b.split(x, (half, half))
                right = _branch(b, right, half, 1)
            else:
                left = conv_bn(b, conv_bn(b, x, channels, 3, 2, groups=channels), half, act=_RELU)
                right = _branch(b, x, half, 2)
            x, channels = _shuffled(b, b.concat(left, right), wide, size), wide
        wide *= 2
    return b.build(classifier(b, conv_bn(b, x, _LAST if width < 2 else 2 * _LAST, act=_RELU), num_classes))


def _branch(b: WorkloadBuilder, x: Ref, half: int, stride: int) -> Ref:
    y = conv_bn(b, x, half, act=_RELU)
    return conv_bn(b, conv_bn(b, y, half, 3, stride, groups=half), half, act=_RELU)


def _shuffled(b: WorkloadBuilder, x: Ref, channels: int, size: int) -> Ref:
    """The channels of both halves by turns."""
    y = b.op("reshape", x, shape=(1, 2, channels // 2, size, size))
    y = b.op("transpose", y, perm=(0, 2, 1, 3, 4))
    return b.op("reshape", y, shape=(1, channels, size, size))


def _halved(size: int) -> int:
    return (size + 1) // 2
