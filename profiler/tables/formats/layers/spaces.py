"""Every layer that a whole space's table holds: the keys that once-for-all's and ProxylessNAS's own code asks for.

once-for-all (Cai et al. 2020): its MobileNetV3 space, kernels 3, 5, 7, expansions 3, 4, 6, up to four blocks in each of
five stages, at a width of 1.2 (that of its published tables) or another; one table an input resolution.
ProxylessNAS (Cai et al. 2019): kernels 3, 5, 7, expansions 3, 6, at 224 pixels and a width of 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from profiler.errors import ConfigError
from profiler.tables.formats.layerkeys import LayerShape
from profiler.workloads.zoo.layers import divisible

__all__ = ["LAYER_SPACES", "LayerSpace", "space_layers"]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks of one width: the first has the stride."""

    width: int
    stride: int
    deep: bool = True
    se: bool = False
    hs: bool = False


@dataclass(frozen=True, slots=True)
class LayerSpace:
    """A published space as its table sees it.

    Attributes:
        form: whose keys.
        resolutions: input sizes in pixels of the published tables.
        width: by which the widths are multiplied there.
        kernels, expansions: the choices of every block but the first.
        stem, first: widths of the first convolution and of the block behind it.
        stages: the others.
        head, mixed: widths of the last layers; mixed 0 where there is no layer between head and classifier.
    """

    form: str
    resolutions: tuple[int, ...]
    width: float
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    stem: int
    first: int
    stages: tuple[_Stage, ...]
    head: int
    mixed: int = 0


LAYER_SPACES: dict[str, LayerSpace] = {
    "ofa": LayerSpace(
        "ofa", (160, 176, 192, 208, 224), 1.2, (3, 5, 7), (3, 4, 6), 16, 16,
        (
            _Stage(24, 2), _Stage(40, 2, se=True), _Stage(80, 2, hs=True), _Stage(112, 1, se=True, hs=True),
            _Stage(160, 2, se=True, hs=True),
        ),
        960, 1280,
    ),
    "proxylessnas": LayerSpace(
        "proxylessnas", (224,), 1.0, (3, 5, 7), (3, 6), 32, 16,
        (_Stage(24, 2), _Stage(40, 2), _Stage(80, 2), _Stage(96, 1), _Stage(192, 2), _Stage(320, 1, deep=False)),
        1280,
    ),
}  # fmt: skip
"""By the name of their form."""


def space_layers(
    form: str, resolution: int, width: float | None = None, num_classes: int = 1000
) -> tuple[LayerShape, ...]:
    """All layers of one resolution's table, each once, in the order in which a network runs them.

    Args:
        form: a key of `LAYER_SPACES`.
        resolution: height and width of the input in pixels.
        width: by which the published widths are multiplied; None for that of the published tables.
        num_classes: of the classifier.

    Raises:
        ConfigError: another form, or a resolution, width or number of classes that leaves nothing.
    """
    if form not in LAYER_SPACES:
        raise ConfigError(
            f"there is no list of the layers of {form!r}; tables can be built for {', '.join(LAYER_SPACES)}"
        )
    space = LAYER_SPACES[form]
    by = space.width if width is None else width
    if resolution < 32 or not 0.1 <= by <= 4.0 or num_classes < 1:
        raise ConfigError(
            f"a table of {form} needs a resolution of at least 32 pixels, a width from 0.1 to 4 and a class, not "
            f"{resolution}, {by:g} and {num_classes}"
        )
    return tuple(dict.fromkeys(_layers(space, resolution, by, num_classes)))


def _layers(space: LayerSpace, resolution: int, by: float, num_classes: int) -> list[LayerShape]:
    stem, channels = divisible(space.stem * by), divisible(space.first * by)
    size = _down(resolution, 2)
    found = [
        LayerShape("Conv", (resolution, resolution, 3), (size, size, stem)),
        LayerShape("expanded_conv", (size, size, stem), (size, size, channels), stem, 3, 1, stem == channels),
    ]
    for stage in space.stages:
        wide = divisible(stage.width * by)
        # the second block of a stage is as all that follow it
        for stride in (stage.stride, 1) if stage.deep else (stage.stride,):
            inner = _down(size, stride)
            skip = stride == 1 and channels == wide
            found += [
                LayerShape(
                    "expanded_conv", (size, size, channels), (inner, inner, wide), channels * expansion, kernel, stride,
                    skip, stage.se, stage.hs,
                )
                for kernel in space.kernels
                for expansion in space.expansions
            ]  # fmt: skip
            size, channels = inner, wide
    head = divisible(space.head * by)
    found.append(LayerShape("Conv_1", (size, size, channels), (size, size, head)))
    if not space.mixed:
        return [*found, LayerShape("Logits", (size, size, head), (num_classes,))]
    mixed = divisible(space.mixed * by)
    return [
        *found,
        LayerShape("AvgPool2D", (size, size, head), (1, 1, head)),
        LayerShape("Conv_2", (1, 1, head), (1, 1, mixed)),
        LayerShape("Logits", (1, 1, mixed), (num_classes,)),
    ]


def _down(size: int, stride: int) -> int:
    return -(-size // stride)
