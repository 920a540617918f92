"""Networks whose layers join the channels of several: GoogLeNet, DenseNet-121."""

from __future__ import annotations

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import classifier, conv_bn, depth_text, divisible, halving_pool, image

__all__ = ["densenet121", "googlenet"]

_RELU = WorkloadBuilder.relu

_INCEPTION = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
     (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip
"""Channels of every module of every stage: 1x1; 1x1 and 3x3; 1x1 and the third branch's 3x3; behind the pooling."""
_INCEPTION_DEPTHS = (2, 5, 2)
_INCEPTION_EPS = 1e-3


def googlenet(
    width: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    depths: tuple[int, ...] = _INCEPTION_DEPTHS,
) -> Workload:
    """GoogLeNet [Szegedy et al. 2015] as torchvision has it: batch norms, 3x3 where the paper has 5x5, no auxiliary
    classifiers; of every stage the first modules, `depths` of them."""
    b = WorkloadBuilder(f"googlenet{depth_text(depths, _INCEPTION_DEPTHS)} x{width:g} @{resolution}")

    def conv(x: Ref, channels: int, kernel: int = 1, stride: int = 1) -> Ref:
        return conv_bn(b, x, divisible(channels * width), kernel, stride, act=_RELU, eps=_INCEPTION_EPS)

    x, size = halving_pool(b, conv(image(b, resolution), 64, 7, 2), -(-resolution // 2))
    x, size = halving_pool(b, conv(conv(x, 64), 192, 3), size)
    for stage, (modules, depth) in enumerate(zip(_INCEPTION, depths, strict=True)):
        if stage:
            x, size = halving_pool(b, x, size, 3 if stage == 1 else 2)
        for first, second, third, fourth, fifth, sixth in modules[:depth]:
            x = b.concat(
                conv(x, first),
                conv(conv(x, second), third, 3),
                conv(conv(x, fourth), fifth, 3),
                conv(b.max_pool(x, 3, 1, 1), sixth),
            )
    return b.build(classifier(b, x, num_classes))


_DENSENET_GROWTH, _DENSENET_BOTTLENECK = 32, 4
_DENSENET_DEPTHS = (6, 12, 24, 16)


def densenet121(
    width: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    depths: tuple[int, ...] = _DENSENET_DEPTHS,
) -> Workload:
    """DenseNet-121 [Huang et al. 2017]; `depths` are the layers of every dense block."""
    b = WorkloadBuilder(f"densenet121{depth_text(depths, _DENSENET_DEPTHS)} x{width:g} @{resolution}")
    growth = divisible(_DENSENET_GROWTH * width)
    channels = 2 * growth
    x = b.max_pool(conv_bn(b, image(b, resolution), channels, 7, 2, act=_RELU), 3, 2, 1)
    for block, depth in enumerate(depths):
        for _ in range(depth):
            y = b.conv2d(b.relu(b.batch_norm(x)), _DENSENET_BOTTLENECK * growth)
            y = b.conv2d(b.relu(b.batch_norm(y)), growth, 3)
            x, channels = b.concat(x, y), channels + growth
        if block < len(depths) - 1:
            channels //= 2
            x = b.avg_pool(b.conv2d(b.relu(b.batch_norm(x)), channels), 2)
    return b.build(classifier(b, b.relu(b.batch_norm(x)), num_classes))
