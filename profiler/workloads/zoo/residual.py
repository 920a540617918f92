"""Networks of residual blocks: ResNet-18 and 34, RegNet X and Y."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import classifier, conv_bn, depth_text, divisible, excite, image

__all__ = ["regnet_x_200mf", "regnet_x_400mf", "regnet_y_200mf", "regnet_y_400mf", "resnet18", "resnet34"]

_RELU = WorkloadBuilder.relu
_RESNET_WIDTHS = (64, 128, 256, 512)
_RESNET_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def resnet18(
    width: float = 1.0, resolution: int = 224, num_classes: int = 1000, depths: tuple[int, ...] = (2, 2, 2, 2)
) -> Workload:
    """ResNet-18 [He et al. 2016]; `depths` are the blocks of every stage."""
    return _resnet("resnet18", depths, width, resolution, num_classes)


def resnet34(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """ResNet-34 [He et al. 2016]."""
    return _resnet("resnet34", _RESNET_DEPTHS["resnet34"], width, resolution, num_classes)


def _resnet(name: str, depths: tuple[int, ...], width: float, resolution: int, num_classes: int) -> Workload:
    b = WorkloadBuilder(f"{name}{depth_text(depths, _RESNET_DEPTHS[name])} x{width:g} @{resolution}")
    channels = divisible(_RESNET_WIDTHS[0] * width)
    x = conv_bn(b, image(b, resolution), channels, 7, 2, act=_RELU)
    x = b.max_pool(x, 3, 2, 1)
    for stage, depth in enumerate(depths):
        wide = divisible(_RESNET_WIDTHS[stage] * width)
        for place in range(depth):
            stride = 2 if stage and not place else 1
            body = conv_bn(b, x, wide, 3, stride, act=_RELU)
            body = conv_bn(b, body, wide, 3)
            short = x if stride == 1 and channels == wide else conv_bn(b, x, wide, 1, stride)
            x, channels = b.relu(b.add(body, short)), wide
    return b.build(classifier(b, x, num_classes))


@dataclass(frozen=True, slots=True)
class _RegNet:
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    group: int
    excited: bool


_REGNETS = {
    "regnet_x_200mf": _RegNet((1, 1, 4, 7), (24, 56, 152, 368), 8, False),
    "regnet_x_400mf": _RegNet((1, 2, 7, 12), (32, 64, 160, 400), 16, False),
    "regnet_y_200mf": _RegNet((1, 1, 4, 7), (24, 56, 152, 368), 8, True),
    "regnet_y_400mf": _RegNet((1, 3, 6, 6), (48, 104, 208, 440), 8, True),
}
"""Blocks and channels of every stage, channels of a group [Radosavovic et al. 2020]."""

_REGNET_STEM = 32


def regnet_x_200mf(
    width: float = 1.0, resolution: int = 224, num_classes: int = 1000, depths: tuple[int, ...] = (1, 1, 4, 7)
) -> Workload:
    """RegNetX-200MF; `depths` are the blocks of every stage."""
    return _regnet("regnet_x_200mf", width, resolution, num_classes, depths)


def regnet_x_400mf(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """RegNetX-400MF."""
    return _regnet("regnet_x_400mf", width, resolution, num_classes)


def regnet_y_200mf(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """RegNetY-200MF."""
    return _regnet("regnet_y_200mf", width, resolution, num_classes)


def regnet_y_400mf(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """RegNetY-400MF."""
    return _regnet("regnet_y_400mf", width, resolution, num_classes)


def _regnet(
    name: str, width: float, resolution: int, num_classes: int, depths: tuple[int, ...] | None = None
) -> Workload:
    net = _REGNETS[name]
    depths = net.depths if depths is None else depths
    b = WorkloadBuilder(f"{name}{depth_text(depths, net.depths)} x{width:g} @{resolution}")
    channels = divisible(_REGNET_STEM * width)
    x = conv_bn(b, image(b, resolution), channels, 3, 2, act=_RELU)
    for depth, wanted in zip(depths, net.widths, strict=True):
        wide = divisible(wanted * width, net.group)
        for place in range(depth):
            stride = 1 if place else 2
            body = _bottleneck(b, x, channels, wide, stride, net)
            short = x if stride == 1 and channels == wide else conv_bn(b, x, wide, 1, stride)
            x, channels = b.relu(b.add(body, short)), wide
    return b.build(classifier(b, x, num_classes))


def _bottleneck(b: WorkloadBuilder, x: Ref, channels: int, wide: int, stride: int, net: _RegNet) -> Ref:
    """A RegNet block without its shortcut; its bottleneck is as wide as it is."""
    y = conv_bn(b, x, wide, act=_RELU)
    y = conv_bn(b, y, wide, 3, stride, groups=wide // net.group, act=_RELU)
    if net.excited:
        y = excite(b, y, wide, round(channels / 4), WorkloadBuilder.sigmoid)
    return conv_bn(b, y, wide)
