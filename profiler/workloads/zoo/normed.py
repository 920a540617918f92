"""Networks of layer norms, linear layers and GELU: ConvNeXt-Tiny, vision transformers of patches of 16 pixels."""

from __future__ import annotations

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import depth_text, divisible, image

__all__ = ["convnext_tiny", "vit_b_16", "vit_tiny_16"]

_EPS = 1e-6
_EXPANSION = 4
"""Channels inside of a block, as a multiple of those before and behind it."""

_CONVNEXT_DEPTHS = (3, 3, 9, 3)
_CONVNEXT_WIDTHS = (96, 192, 384, 768)
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)

_PATCH = 16
_VIT_DEPTH = 12


def convnext_tiny(
    width: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    depths: tuple[int, ...] = _CONVNEXT_DEPTHS,
) -> Workload:
    """ConvNeXt-Tiny [Liu et al. 2022] as torchvision writes it, with a scale a channel before every sum; `depths` are
    the blocks of every stage."""
    b = WorkloadBuilder(f"convnext_tiny{depth_text(depths, _CONVNEXT_DEPTHS)} x{width:g} @{resolution}")
    widths = [divisible(channels * width) for channels in _CONVNEXT_WIDTHS]
    x = _image_norm(b, b.conv2d(image(b, resolution), widths[0], 4, 4, 0, bias=True))
    for stage, (channels, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            x = b.conv2d(_image_norm(b, x), channels, 2, 2, 0, bias=True)
        for _ in range(depth):
            y = b.conv2d(x, channels, 7, groups=channels, bias=True)
            y = _norm(b, b.op("transpose", y, perm=_TO_LAST))
            y = b.op("transpose", _inner(b, y, channels), perm=_TO_FIRST)
            x = b.add(x, b.mul(y, b.op("constant", shape=(1, channels, 1, 1))))
    x = b.flatten(_image_norm(b, b.global_avg_pool(x)))
    return b.build(b.linear(x, num_classes))


def vit_b_16(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """ViT-B/16 [Dosovitskiy et al. 2021]."""
    return _vision_transformer("vit_b_16", 768, 12, width, resolution, num_classes)


def vit_tiny_16(width: float = 1.0, resolution: int = 224, num_classes: int = 1000) -> Workload:
    """ViT of the width that DeiT-Ti has [Touvron et al. 2021]: 192 channels, 3 heads."""
    return _vision_transformer("vit_tiny_16", 192, 3, width, resolution, num_classes)


def _vision_transformer(
    name: str, hidden: int, heads: int, width: float, resolution: int, num_classes: int
) -> Workload:
    """Patches by a convolution, a class token, positions, blocks of attention, the token's logits; `width` multiplies
    the channels of a head."""
    if resolution % _PATCH:
        raise ConfigError(f"{name} cuts images into patches of {_PATCH} pixels, of which {resolution} is no multiple")
    b = WorkloadBuilder(f"{name} x{width:g} @{resolution}")
    channels, side = heads * divisible(hidden // heads * width), resolution // _PATCH
    x = b.conv2d(image(b, resolution), channels, _PATCH, _PATCH, 0, bias=True)
    x = b.op("transpose", b.op("reshape", x, shape=(1, channels, side**2)), perm=(0, 2, 1))
    x = b.op("concat", b.op("constant", shape=(1, 1, channels)), x)
    x = b.add(x, b.op("constant", shape=(1, side**2 + 1, channels)))
    for _ in range(_VIT_DEPTH):
        x = b.add(x, _attention(b, _norm(b, x), side**2 + 1, channels, heads))
        x = b.add(x, _inner(b, _norm(b, x), channels))
    token = b.op("gather", _norm(b, x), axis=1, indices=(0,), squeeze=True)
    return b.build(b.linear(token, num_classes))


def _attention(b: WorkloadBuilder, x: Ref, length: int, channels: int, heads: int) -> Ref:
    """Attention of all to all. The scale of the products is the constant that exporters write, one number."""
    size = channels // heads
    joint = b.op("reshape", b.linear(x, 3 * channels), shape=(1, length, 3, heads, size))
    joint = b.op("transpose", joint, perm=(2, 0, 3, 1, 4))
    query, key, value = (b.op("gather", joint, axis=0, indices=(place,), squeeze=True) for place in range(3))
    products = b.op("matmul", query, b.op("transpose", key, perm=(0, 1, 3, 2)))
    weights = b.op("softmax", b.mul(products, b.op("constant", shape=(1, 1, 1, 1))), axis=3)
    mixed = b.op("transpose", b.op("matmul", weights, value), perm=(0, 2, 1, 3))
    return b.linear(b.op("reshape", mixed, shape=(1, length, channels)), channels)


def _inner(b: WorkloadBuilder, x: Ref, channels: int) -> Ref:
    return b.linear(b.op("gelu", b.linear(x, _EXPANSION * channels)), channels)


def _norm(b: WorkloadBuilder, x: Ref) -> Ref:
    return b.op("layer_norm", x, eps=_EPS)


def _image_norm(b: WorkloadBuilder, x: Ref) -> Ref:
    """A layer norm over the channels of an image."""
    return b.op("transpose", _norm(b, b.op("transpose", x, perm=_TO_LAST)), perm=_TO_FIRST)
