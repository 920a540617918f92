"""Networks without shortcuts: VGG-11 and 16, SqueezeNet 1.1, MobileNet V1."""

from __future__ import annotations

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import classifier, conv_bn, depth_text, divisible, halving_pool, image

__all__ = ["mobilenet_v1", "squeezenet1_1", "vgg11", "vgg16"]

_VGG_WIDTHS = (64, 128, 256, 512, 512)
_VGG_DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
"""Convolutions of every stage, behind which there is a pooling."""
_VGG_HIDDEN = 4096

_FIRE = ((16, 64), (16, 64), (0, 0), (32, 128), (32, 128), (0, 0), (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels that a fire module squeezes to, and those of each of its two expansions; (0, 0) is a pooling."""

_MOBILE_FIRST = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
_MOBILE_MIDDLE = (512, 1)
_MOBILE_LAST = ((1024, 2), (1024, 1))
"""Channels and stride of every separable convolution; those in the middle are alike."""
_MIDDLE = 5


def vgg11(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """VGG-11 [Simonyan and Zisserman 2015], convolutions with bias and no batch norm.

    What the last pooling leaves, 7x7 pixels at 224, is flattened as it is: torchvision's adaptive pooling to 7x7,
    which does nothing at 224, is left out.
    """
    return _vgg("vgg11", width, resolution, num_classes)


def vgg16(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """VGG-16, as `vgg11`."""
    return _vgg("vgg16", width, resolution, num_classes)


def _vgg(name: str, width: float, resolution: int, num_classes: int) -> Workload:
    b = WorkloadBuilder(f"{name} x{width:g} @{resolution}")
    x = image(b, resolution)
    for channels, depth in zip(_VGG_WIDTHS, _VGG_DEPTHS[name], strict=True):
        for _ in range(depth):
            x = b.relu(b.conv2d(x, divisible(channels * width), 3, bias=True))
        x = b.max_pool(x, 2)
    hidden = divisible(_VGG_HIDDEN * width)
    x = b.relu(b.linear(b.flatten(x), hidden))
    return b.build(b.linear(b.relu(b.linear(x, hidden)), num_classes))


def squeezenet1_1(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """SqueezeNet 1.1 [Iandola et al. 2016]: convolutions with bias, fire modules, a classifier of one convolution."""
    b = WorkloadBuilder(f"squeezenet1_1 x{width:g} @{resolution}")

    def conv(x: Ref, channels: int, kernel: int = 1, stride: int = 1, padding: int | None = None) -> Ref:
        return b.relu(b.conv2d(x, channels, kernel, stride, padding, bias=True))

    x = conv(image(b, resolution), divisible(64 * width), 3, 2, 0)
    x, size = halving_pool(b, x, (resolution - 3) // 2 + 1)
    for narrow, wide in _FIRE:
        if narrow:
            y, channels = conv(x, divisible(narrow * width)), divisible(wide * width)
            x = b.concat(conv(y, channels), conv(y, channels, 3))
        else:
            x, size = halving_pool(b, x, size)
    return b.build(b.flatten(b.global_avg_pool(conv(x, num_classes))))


def mobilenet_v1(width: float = 1.0, resolution: int = 224, num_classes: int = 1000, middle: int = _MIDDLE) -> Workload:
    """MobileNet V1 [Howard et al. 2017], with ReLU6 as in its authors' code; `middle` of its layers are alike."""
    b = WorkloadBuilder(f"mobilenet_v1{depth_text((middle,), (_MIDDLE,))} x{width:g} @{resolution}")
    act = WorkloadBuilder.relu6
    channels = divisible(32 * width)
    x = conv_bn(b, image(b, resolution), channels, 3, 2, act=act)
    for wanted, stride in (*_MOBILE_FIRST, *(_MOBILE_MIDDLE,) * middle, *_MOBILE_LAST):
        x = conv_bn(b, x, channels, 3, stride, groups=channels, act=act)
        channels = divisible(wanted * width)
        x = conv_bn(b, x, channels, act=act)
    return b.build(classifier(b, x, num_classes))
