"""Small torch networks, built as torchvision and timm build theirs, for what exporters make of them.

Random weights, few channels and small images: what matters is which operators an exporter writes. Every network takes
(1, 3, SIDE, SIDE) and is in inference mode; statistics of batch norms are not trivial, so that folding shows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SIDE", "network", "networks"]

SIDE = 64
_CLASSES = 10


class ConvNorm(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(
        self,
        inside: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: Callable[[], nn.Module] | None = nn.ReLU,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out),
        ]
        super().__init__(*layers, *([act()] if act else []))


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int, inner: int, act: Callable[[], nn.Module], gate: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gates = nn.Sequential(nn.Conv2d(channels, inner, 1), act(), nn.Conv2d(inner, channels, 1), gate())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(self.pool(x))


class Classifier(nn.Module):
    """Features, pooling, flattening, a linear layer."""

    def __init__(self, features: nn.Module, channels: int, head: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = head or nn.Linear(channels, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.features(x)), 1))


# -------------------------------------------------------------------- residual networks


class Basic(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inside: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(inside, out, 3, stride), ConvNorm(out, out, 3, act=None))
        self.short = ConvNorm(inside, out, 1, stride, act=None) if stride > 1 or inside != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.short(x))


class Bottleneck(nn.Module):
    """ResNet's bottleneck; with groups and squeeze-and-excitation RegNet's."""

    def __init__(self, inside: int, out: int, stride: int, width: int, groups: int = 1, excite: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(inside, width),
            ConvNorm(width, width, 3, stride, groups),
            SqueezeExcite(width, inside // 4, nn.ReLU, nn.Sigmoid) if excite else nn.Identity(),
            ConvNorm(width, out, act=None),
        )
        self.short = ConvNorm(inside, out, 1, stride, act=None) if stride > 1 or inside != out else nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.short(x) + self.body(x))


def _stem(channels: int) -> list[nn.Module]:
    return [ConvNorm(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]


def resnet18() -> nn.Module:
    return Classifier(nn.Sequential(*_stem(16), Basic(16, 16), Basic(16, 32, 2), Basic(32, 64, 2)), 64)


def resnet50() -> nn.Module:
    blocks = [Bottleneck(16, 64, 1, 16), Bottleneck(64, 64, 1, 16), Bottleneck(64, 128, 2, 32)]
    return Classifier(nn.Sequential(*_stem(16), *blocks), 128)


def regnet_y() -> nn.Module:
    blocks = [
        Bottleneck(16, 32, 2, 32, 4, True),
        Bottleneck(32, 48, 2, 48, 6, True),
        Bottleneck(48, 48, 1, 48, 6, True),
    ]
    return Classifier(nn.Sequential(ConvNorm(3, 16, 3, 2), *blocks), 48)


# -------------------------------------------------------------------- mobile networks


class Inverted(nn.Module):
    """MobileNet's and EfficientNet's inverted residual."""

    def __init__(
        self,
        inside: int,
        out: int,
        stride: int = 1,
        expand: int = 4,
        kernel: int = 3,
        act: Callable[[], nn.Module] = nn.ReLU6,
        excite: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        width = inside * expand
        layers: list[nn.Module] = [ConvNorm(inside, width, act=act)] if expand > 1 else []
        layers.append(ConvNorm(width, width, kernel, stride, width, act))
        if excite is not None:
            layers.append(excite(width))
        self.body = nn.Sequential(*layers, ConvNorm(width, out, act=None))
        self.residual = stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def mobilenet_v2() -> nn.Module:
    blocks = [Inverted(16, 8, expand=1), Inverted(8, 12, 2), Inverted(12, 12), Inverted(12, 16, 2), Inverted(16, 16)]
    features = nn.Sequential(ConvNorm(3, 16, 3, 2, act=nn.ReLU6), *blocks, ConvNorm(16, 64, act=nn.ReLU6))
    return Classifier(features, 64, nn.Sequential(nn.Dropout(0.2), nn.Linear(64, _CLASSES)))


def mobilenet_v3() -> nn.Module:
    def excite(channels: int) -> nn.Module:
        return SqueezeExcite(channels, channels // 4, nn.ReLU, nn.Hardsigmoid)

    blocks = [
        Inverted(16, 16, 2, 1, act=nn.ReLU, excite=excite),
        Inverted(16, 24, 2, 4, 5, nn.Hardswish, excite),
        Inverted(24, 24, 1, 4, 5, nn.Hardswish, excite),
    ]
    head = nn.Sequential(nn.Linear(96, 64), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(64, _CLASSES))
    stem, last = ConvNorm(3, 16, 3, 2, act=nn.Hardswish), ConvNorm(24, 96, act=nn.Hardswish)
    return Classifier(nn.Sequential(stem, *blocks, last), 96, head)


def efficientnet() -> nn.Module:
    def excite(channels: int) -> nn.Module:
        return SqueezeExcite(channels, channels // 4, nn.SiLU, nn.Sigmoid)

    blocks = [
        Inverted(16, 8, 1, 1, 3, nn.SiLU, excite),
        Inverted(8, 12, 2, 6, 3, nn.SiLU, excite),
        Inverted(12, 12, 1, 6, 5, nn.SiLU, excite),
    ]
    stem, last = ConvNorm(3, 16, 3, 2, act=nn.SiLU), ConvNorm(12, 48, act=nn.SiLU)
    return Classifier(nn.Sequential(stem, *blocks, last), 48, nn.Sequential(nn.Dropout(0.2), nn.Linear(48, _CLASSES)))


class Shuffle(nn.Module):
    """ShuffleNet V2's block: half of the channels passes by, then channels change places."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        half = out // 2
        self.stride = stride
        read = inside if stride > 1 else half
        self.left = (
            nn.Sequential(ConvNorm(inside, inside, 3, stride, inside, None), ConvNorm(inside, half))
            if stride > 1
            else nn.Identity()
        )
        self.right = nn.Sequential(
            ConvNorm(read, half), ConvNorm(half, half, 3, stride, half, None), ConvNorm(half, half)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            first, second = x.chunk(2, dim=1)
            out = torch.cat((first, self.right(second)), 1)
        else:
            out = torch.cat((self.left(x), self.right(x)), 1)
        batch, channels, height, width = out.size()
        out = out.view(batch, 2, channels // 2, height, width)
        return torch.transpose(out, 1, 2).contiguous().view(batch, channels, height, width)


class _MeanPool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean([2, 3])


def shufflenet_v2() -> nn.Module:
    blocks = [Shuffle(16, 24, 2), Shuffle(24, 24, 1), Shuffle(24, 48, 2), Shuffle(48, 48, 1)]
    features = nn.Sequential(ConvNorm(3, 16, 3, 2), nn.MaxPool2d(3, 2, 1), *blocks, ConvNorm(48, 64))
    return nn.Sequential(features, _MeanPool(), nn.Linear(64, _CLASSES))


# -------------------------------------------------------------------- networks that concatenate


class Fire(nn.Module):
    """SqueezeNet's fire module."""

    def __init__(self, inside: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inside, squeeze, 1)
        self.one = nn.Conv2d(squeeze, expand, 1)
        self.three = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.one(x)), functional.relu(self.three(x))], 1)


def squeezenet() -> nn.Module:
    """With a stem of which the poolings round up."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(16, 8, 16),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(32, 8, 24),
        nn.Sequential(nn.Dropout(0.5), nn.Conv2d(48, _CLASSES, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))),
        nn.Flatten(1),
    )


class DenseLayer(nn.Module):
    """DenseNet's layer: norms come first, and what was read stays beside what is made."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(), nn.Conv2d(inside, 4 * growth, 1, bias=False))
        self.second = nn.Sequential(
            nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.second(self.first(x))], 1)


def densenet() -> nn.Module:
    transition = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 1, bias=False), nn.AvgPool2d(2, 2))
    last = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU())
    blocks = [DenseLayer(16, 8), DenseLayer(24, 8), transition, DenseLayer(16, 8), DenseLayer(24, 8), last]
    return Classifier(nn.Sequential(*_stem(16), *blocks), 32)


class Inception(nn.Module):
    """GoogLeNet's module."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.one = ConvNorm(inside, 8)
        self.three = nn.Sequential(ConvNorm(inside, 8), ConvNorm(8, 12, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvNorm(inside, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.pool(x)], 1)


def googlenet() -> nn.Module:
    features = [ConvNorm(3, 16, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Inception(16), Inception(28)]
    return Classifier(nn.Sequential(*features), 28)


def alexnet() -> nn.Module:
    """With an adaptive pooling that is not global, as in AlexNet and VGG."""
    features = [nn.Conv2d(3, 16, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2), nn.Conv2d(16, 24, 5, padding=2)]
    head = [nn.Dropout(), nn.Linear(24 * 9, 48), nn.ReLU(inplace=True), nn.Linear(48, _CLASSES)]
    return nn.Sequential(*features, nn.ReLU(), nn.Upsample((6, 6)), nn.AdaptiveAvgPool2d((3, 3)), nn.Flatten(1), *head)


# -------------------------------------------------------------------- layer norms and attention


class ChannelsFirstNorm(nn.LayerNorm):
    """ConvNeXt's LayerNorm2d."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NeXt(nn.Module):
    """ConvNeXt's block, with its scale a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.inner = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x + self.scale * y


def convnext() -> nn.Module:
    stem = [nn.Conv2d(3, 16, 4, 4), ChannelsFirstNorm(16, eps=1e-6)]
    down = [ChannelsFirstNorm(16, eps=1e-6), nn.Conv2d(16, 32, 2, 2)]
    features = nn.Sequential(*stem, NeXt(16), NeXt(16), *down, NeXt(32))
    return nn.Sequential(
        features, nn.AdaptiveAvgPool2d(1), ChannelsFirstNorm(32, eps=1e-6), nn.Flatten(1), nn.Linear(32, _CLASSES)
    )


class EncoderBlock(nn.Module):
    """torchvision's encoder block of a vision transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.inner(self.second(x))


class VisionTransformer(nn.Module):
    """torchvision's: patches by a convolution, a class token, positions, encoder blocks."""

    def __init__(self, block: Callable[[int, int], nn.Module], width: int = 24, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.rand(1, 1, width) - 0.5)
        self.positions = nn.Parameter(torch.rand(1, (SIDE // 16) ** 2 + 1, width) - 0.5)
        self.blocks = nn.Sequential(block(width, heads), block(width, heads))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, _CLASSES)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, wide = x.shape
        x = self.patches(x).reshape(n, self.width, (height // 16) * (wide // 16)).permute(0, 2, 1)
        x = torch.cat([self.token.expand(n, -1, -1), x], dim=1)
        x = self.norm(self.blocks(x + self.positions))
        return self.head(x[:, 0])


class FusedAttention(nn.Module):
    """timm's block: one layer for query, key and value, unbound; softmax written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        query, key, value = (
            self.qkv(self.first(x)).reshape(b, n, 3, self.heads, self.size).permute(2, 0, 3, 1, 4).unbind(0)
        )
        weights = (query * self.size**-0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(b, n, c))
        return x + self.inner(self.second(x))


def vit() -> nn.Module:
    return VisionTransformer(EncoderBlock)


def deit() -> nn.Module:
    return VisionTransformer(FusedAttention)


class Window(nn.Module):
    """Swin's: attention within windows, shifted, with a bias by relative position; and its merging of patches."""

    def __init__(self, width: int, heads: int, side: int, window: int = 4) -> None:
        super().__init__()
        self.side, self.window, self.heads = side, window, heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        count = (2 * window - 1) ** 2
        self.table = nn.Parameter(torch.rand(count, heads))
        self.register_buffer("index", torch.randint(0, count, (window**4,)))
        self.merge_norm, self.merge = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, side, _, c = x.shape
        w, parts = self.window, self.side // self.window
        y = torch.roll(self.norm(x), shifts=(-2, -2), dims=(1, 2))
        y = y.view(n, parts, w, parts, w, c).permute(0, 1, 3, 2, 4, 5).reshape(n * parts**2, w * w, c)
        q, k, v = self.qkv(y).reshape(len(y), w * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].view(w * w, w * w, -1).permute(2, 0, 1).unsqueeze(0)
        y = (functional.softmax(q.matmul(k.transpose(-2, -1)) * 0.35 + bias, dim=-1).matmul(v)).transpose(1, 2)
        y = self.out(y.reshape(n * parts**2, w * w, c)).view(n, parts, parts, w, w, c).permute(0, 1, 3, 2, 4, 5)
        x = x + torch.roll(y.reshape(n, side, side, c), shifts=(2, 2), dims=(1, 2))
        corners = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        return self.merge(self.merge_norm(torch.cat(corners, -1)))


class Swin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 16, 8, 8), Window(16, 2, 8)
        self.head = nn.Linear(32, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.patches(x).permute(0, 2, 3, 1))
        return self.head(x.permute(0, 3, 1, 2).mean([2, 3]))


# -------------------------------------------------------------------- the rest


class Pyramid(nn.Module):
    """A feature pyramid: what is small is made larger and added to what is large; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = ConvNorm(3, 16, 3, 2), ConvNorm(16, 16, 3, 2, act=nn.LeakyReLU)
        self.merge = ConvNorm(16, 16, 3, act=nn.ELU)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        large = self.one(x)
        small = self.two(large)
        nearest = functional.interpolate(small, scale_factor=2.0, mode="nearest")
        smooth = functional.interpolate(small, size=large.shape[-2:], mode="bilinear", align_corners=False)
        merged = self.merge(large + nearest - 0.5 * smooth)
        return torch.tanh(merged).clamp(-0.5, 0.75), functional.pad(small, (1, 0, 1, 2))


_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "convnext": convnext,
    "deit": deit,
    "densenet": densenet,
    "efficientnet": efficientnet,
    "googlenet": googlenet,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "pyramid": Pyramid,
    "regnet_y": regnet_y,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "shufflenet_v2": shufflenet_v2,
    "squeezenet": squeezenet,
    "swin": Swin,
    "vit": vit,
}


def networks() -> tuple[str, ...]:
    """The names of all of them."""
    return tuple(_NETWORKS)


def network(name: str) -> nn.Module:
    """One of them, ready to be exported: seeded, in inference mode, with statistics as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = _NETWORKS[name]()
        for part in made.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_mean, -0.2, 0.2)
                nn.init.uniform_(part.running_var, 0.5, 1.5)
                nn.init.uniform_(part.weight, 0.8, 1.2)
                nn.init.uniform_(part.bias, -0.1, 0.1)
    return made.eval()
