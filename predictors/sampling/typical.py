"""The blocks that common convolutional networks are made of, at the sizes that they have there.

What is measured for a regressor should cover what it will be asked. The layer sizes are those of the published
architectures at 224 pixels (ResNet: He et al. 2016; MobileNetV2, V3: Sandler et al. 2018, Howard et al. 2019;
EfficientNet: Tan and Le 2019; DenseNet: Huang et al. 2017; SqueezeNet: Iandola et al. 2016; RegNet: Radosavovic et al.
2020; ConvNeXt: Liu et al. 2022) and of their small variants at 32 pixels.
"""

from __future__ import annotations

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload

__all__ = ["typical_blocks"]

_RESNET = ((64, 56), (128, 28), (256, 14), (512, 7), (16, 32), (32, 16), (64, 8))
"""(channels, pixels)"""

_INVERTED = (
    (16, 96, 24, 112, 2), (24, 144, 24, 56, 1), (24, 144, 40, 56, 2), (40, 240, 40, 28, 1), (80, 480, 80, 14, 1),
    (112, 672, 192, 14, 2), (160, 960, 160, 7, 1), (192, 1152, 320, 7, 1), (16, 48, 16, 32, 1), (32, 96, 48, 16, 2),
)  # fmt: skip
"""(channels in, expanded, out, pixels, stride)"""

_STEMS = ((32, 3, 224), (64, 7, 224), (32, 7, 64), (16, 3, 224), (16, 3, 32), (32, 3, 32))
"""(channels, kernel, pixels)"""

_HEADS = ((320, 1280, 7, 1000), (512, 0, 7, 1000), (2048, 0, 7, 1000), (96, 256, 8, 10), (64, 0, 8, 100))
"""(channels in, channels of a 1x1 convolution before the pooling, pixels, classes)"""


def typical_blocks() -> tuple[Workload, ...]:
    """Some seventy blocks; their kernels are the ranges that a sampler covers."""
    blocks = [_residual(c, s) for c, s in _RESNET]
    blocks += [_bottleneck(4 * c, c, s) for c, s in _RESNET[:4]]
    blocks += [_downsampling(c, 2 * c, s) for c, s in (*_RESNET[:3], *_RESNET[4:6])]
    for place, (c_in, wide, c_out, size, stride) in enumerate(_INVERTED):
        kernel = 3 if place % 2 else 5
        blocks.append(_inverted(c_in, wide, c_out, size, stride, kernel, "relu6", gate=False))
        blocks.append(_inverted(c_in, wide, c_out, size, stride, 8 - kernel, "hswish", gate=True))
        blocks.append(_inverted(c_in, wide, c_out, size, stride, kernel, "relu", gate=place % 3 == 0))
    blocks += [_dense(c, s) for c, s in ((64, 56), (256, 28), (512, 14), (1024, 7), (48, 16))]
    blocks += [_fire(c, q, e, s) for c, q, e, s in ((96, 16, 64, 54), (256, 32, 128, 27), (512, 64, 256, 13))]
    blocks += [_grouped(c, w, s) for c, w, s in ((64, 16, 56), (144, 24, 28), (320, 16, 14), (784, 56, 7))]
    blocks += [_seven(c, s) for c, s in ((96, 56), (192, 28), (384, 14), (768, 7), (24, 32))]
    blocks += [_stem(c, k, s) for c, k, s in _STEMS]
    blocks += [_head(*head) for head in _HEADS]
    return tuple(blocks)


def _conv(b: WorkloadBuilder, x: Ref, c: int, kernel: int = 1, stride: int = 1, act: str = "", groups: int = 1) -> Ref:
    x = b.batch_norm(b.conv2d(x, c, kernel, stride, groups=groups))
    return b.op(act, x) if act else x


def _residual(c: int, size: int) -> Workload:
    b = WorkloadBuilder(f"residual {c}x{size}")
    x = b.input((1, c, size, size))
    return b.build(b.relu(b.add(_conv(b, _conv(b, x, c, 3, act="relu"), c, 3), x)))


def _bottleneck(c: int, inner: int, size: int) -> Workload:
    b = WorkloadBuilder(f"bottleneck {c}x{size}")
    x = b.input((1, c, size, size))
    y = _conv(b, _conv(b, x, inner, act="relu"), inner, 3, act="relu")
    return b.build(b.relu(b.add(_conv(b, y, c), x)))


def _downsampling(c_in: int, c_out: int, size: int) -> Workload:
    b = WorkloadBuilder(f"downsampling {c_in}x{size}")
    x = b.input((1, c_in, size, size))
    y = _conv(b, _conv(b, x, c_out, 3, 2, act="relu"), c_out, 3)
    return b.build(b.relu(b.add(y, _conv(b, x, c_out, 1, 2))), b.avg_pool(x, 2), b.max_pool(x, 3, 2, 1))


def _inverted(c_in: int, wide: int, c_out: int, size: int, stride: int, kernel: int, act: str, gate: bool) -> Workload:
    b = WorkloadBuilder(f"inverted {c_in}x{size} k{kernel} {act}")
    x = b.input((1, c_in, size, size))
    y = _conv(b, x, wide, act=act)
    y = _conv(b, y, wide, kernel, stride, act, groups=wide)
    if gate:
        z = b.relu(b.conv2d(b.global_avg_pool(y), max(8, wide // 4), bias=True))
        sigmoid = b.hsigmoid if act == "hswish" else b.sigmoid
        y = b.mul(y, sigmoid(b.conv2d(z, wide, bias=True)))
    y = _conv(b, y, c_out)
    return b.build(b.add(y, x) if stride == 1 and c_in == c_out else y)


def _dense(c: int, size: int) -> Workload:
    b = WorkloadBuilder(f"dense {c}x{size}")
    x = b.input((1, c, size, size))
    y = _conv(b, b.relu(b.batch_norm(x)), 128, act="relu")
    return b.build(b.concat(x, b.conv2d(y, 32, 3)))


def _fire(c: int, squeezed: int, expanded: int, size: int) -> Workload:
    b = WorkloadBuilder(f"fire {c}x{size}")
    x = b.input((1, c, size, size))
    y = b.relu(b.conv2d(x, squeezed, bias=True))
    wide = b.relu(b.conv2d(y, expanded, bias=True)), b.relu(b.conv2d(y, expanded, 3, bias=True))
    return b.build(b.concat(*wide))


def _grouped(c: int, width: int, size: int) -> Workload:
    b = WorkloadBuilder(f"grouped {c}x{size}")
    x = b.input((1, c, size, size))
    y = _conv(b, _conv(b, x, c, act="relu"), c, 3, act="relu", groups=c // width)
    return b.build(b.relu(b.add(_conv(b, y, c), x)))


def _seven(c: int, size: int) -> Workload:
    b = WorkloadBuilder(f"seven {c}x{size}")
    x = b.input((1, c, size, size))
    return b.build(_conv(b, x, c, 7, groups=c), _conv(b, x, c, 7, act="relu", groups=c))


def _stem(c: int, kernel: int, size: int) -> Workload:
    b = WorkloadBuilder(f"stem {c}x{size}")
    x = b.input((1, 3, size, size))
    stride = 1 if size < 100 else 2
    acts = (_conv(b, x, c, kernel, stride, act) for act in ("relu", "relu6", "hswish"))
    return b.build(*acts)


def _head(c: int, wide: int, size: int, classes: int) -> Workload:
    b = WorkloadBuilder(f"head {c}")
    x = b.input((1, c, size, size))
    y = _conv(b, x, wide, act="relu6") if wide else x
    return b.build(b.linear(b.flatten(b.global_avg_pool(y)), classes))
