"""Networks of inverted residuals: MobileNet V2 and V3, MnasNet, EfficientNet-B0."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import Activation, classifier, conv_bn, divisible, excite, image, silu

__all__ = ["efficientnet_b0", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]

_RELU, _RELU6, _HSWISH = WorkloadBuilder.relu, WorkloadBuilder.relu6, WorkloadBuilder.hswish


@dataclass(frozen=True, slots=True)
class _Block:
    """One inverted residual: `wide` channels inside, `out` behind it, `narrow` of its gate (0: it has none)."""

    wide: int
    out: int
    kernel: int
    stride: int
    act: Activation
    narrow: int = 0
    gate: Activation = WorkloadBuilder.sigmoid
    inner: Activation = _RELU


def _block(b: WorkloadBuilder, x: Ref, channels: int, block: _Block) -> Ref:
    y = x if block.wide == channels else conv_bn(b, x, block.wide, act=block.act)
    y = conv_bn(b, y, block.wide, block.kernel, block.stride, groups=block.wide, act=block.act)
    if block.narrow:
        y = excite(b, y, block.wide, block.narrow, block.gate, block.inner)
    y = conv_bn(b, y, block.out)
    return b.add(y, x) if block.stride == 1 and channels == block.out else y


_Stages = tuple[tuple[int, int, int, int, int], ...]
"""Expansion, channels, blocks, stride of the first, kernel."""

_MOBILENET_V2: _Stages = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3), (6, 160, 3, 2, 3),
    (6, 320, 1, 1, 3),
)  # fmt: skip
_MNASNET: _Stages = (
    (1, 16, 1, 1, 3), (3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5), (6, 96, 2, 1, 3), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
_EFFICIENTNET_B0: _Stages = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
_LAST = 1280


def mobilenet_v2(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """MobileNet V2 [Sandler et al. 2018]; its last convolution is never narrower than 1280."""
    last = divisible(_LAST * max(width, 1.0))
    return _staged("mobilenet_v2", _MOBILENET_V2, _RELU6, False, last, width, resolution, num_classes)


def mnasnet1_0(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """MnasNet without squeeze-and-excitation [Tan et al. 2019]; its last convolution keeps 1280 channels."""
    return _staged("mnasnet1_0", _MNASNET, _RELU, False, _LAST, width, resolution, num_classes)


def efficientnet_b0(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """EfficientNet-B0 [Tan and Le 2019], with SiLU as a sigmoid and a product."""
    last = 4 * divisible(_EFFICIENTNET_B0[-1][1] * width)
    return _staged("efficientnet_b0", _EFFICIENTNET_B0, silu, True, last, width, resolution, num_classes)


def _staged(
    name: str,
    stages: _Stages,
    act: Activation,
    excited: bool,
    last: int,
    width: float,
    resolution: int,
    num_classes: int,
) -> Workload:
    b = WorkloadBuilder(f"{name} x{width:g} @{resolution}")
    channels = divisible(32 * width)
    x = conv_bn(b, image(b, resolution), channels, 3, 2, act=act)
    for expansion, wanted, blocks, stride, kernel in stages:
        out = divisible(wanted * width)
        for place in range(blocks):
            narrow = max(1, channels // 4) if excited else 0
            block = _Block(
                channels * expansion, out, kernel, 1 if place else stride, act, narrow, WorkloadBuilder.sigmoid, act
            )
            x, channels = _block(b, x, channels, block), out
    return b.build(classifier(b, conv_bn(b, x, last, act=act), num_classes))


_V3 = tuple[tuple[int, int, int, bool, Activation, int], ...]
"""Kernel, channels inside, channels behind, excited, activation, stride."""

_V3_SMALL: _V3 = (
    (3, 16, 16, True, _RELU, 2), (3, 72, 24, False, _RELU, 2), (3, 88, 24, False, _RELU, 1),
    (5, 96, 40, True, _HSWISH, 2), (5, 240, 40, True, _HSWISH, 1), (5, 240, 40, True, _HSWISH, 1),
    (5, 120, 48, True, _HSWISH, 1), (5, 144, 48, True, _HSWISH, 1), (5, 288, 96, True, _HSWISH, 2),
    (5, 576, 96, True, _HSWISH, 1), (5, 576, 96, True, _HSWISH, 1),
)  # fmt: skip
_V3_LARGE: _V3 = (
    (3, 16, 16, False, _RELU, 1), (3, 64, 24, False, _RELU, 2), (3, 72, 24, False, _RELU, 1),
    (5, 72, 40, True, _RELU, 2), (5, 120, 40, True, _RELU, 1), (5, 120, 40, True, _RELU, 1),
    (3, 240, 80, False, _HSWISH, 2), (3, 200, 80, False, _HSWISH, 1), (3, 184, 80, False, _HSWISH, 1),
    (3, 184, 80, False, _HSWISH, 1), (3, 480, 112, True, _HSWISH, 1), (3, 672, 112, True, _HSWISH, 1),
    (5, 672, 160, True, _HSWISH, 2), (5, 960, 160, True, _HSWISH, 1), (5, 960, 160, True, _HSWISH, 1),
)  # fmt: skip


def mobilenet_v3_small(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """MobileNet V3 small [Howard et al. 2019]."""
    return _v3("mobilenet_v3_small", _V3_SMALL, 1024, width, resolution, num_classes)


def mobilenet_v3_large(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """MobileNet V3 large [Howard et al. 2019]."""
    return _v3("mobilenet_v3_large", _V3_LARGE, 1280, width, resolution, num_classes)


def _v3(name: str, blocks: _V3, hidden: int, width: float, resolution: int, num_classes: int) -> Workload:
    b = WorkloadBuilder(f"{name} x{width:g} @{resolution}")
    channels = divisible(16 * width)
    x = conv_bn(b, image(b, resolution), channels, 3, 2, act=_HSWISH)
    for kernel, inside, behind, excited, act, stride in blocks:
        wide, out = divisible(inside * width), divisible(behind * width)
        narrow = divisible(wide // 4) if excited else 0
        x = _block(b, x, channels, _Block(wide, out, kernel, stride, act, narrow, WorkloadBuilder.hsigmoid))
        channels = out
    x = conv_bn(b, x, 6 * channels, act=_HSWISH)
    x = b.hswish(b.linear(b.flatten(b.global_avg_pool(x)), divisible(hidden * width)))
    return b.build(b.linear(x, num_classes))
