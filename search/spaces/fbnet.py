"""FBNet's space (Wu et al., CVPR 2019) in the form for 32 x 32 images that HW-NAS-Bench and HELP measured: 22 x 9.

A layer is one of nine operators (`FBNET_OPERATORS`): 1x1 convolution to e times the channels, depthwise convolution
k x k with the layer's stride, 1x1 convolution to the layer's channels, each with batch norm, ReLU behind the first two;
the input is added where it can be. Grouped 1x1 convolutions are followed by a channel shuffle (behind the first of
them), written as reshape, transpose, reshape. A skipped layer is the value itself, or a 1x1 convolution with batch norm
and ReLU where channels or size change. Stem: 3x3 to 16 channels; head: 1x1 to 1504, pooling, classifier.
"""

from __future__ import annotations

from functools import cached_property

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FBNET_OPERATORS, FbnetPlace, fbnet_places
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from search.spaces.base import Architecture, SearchSpace, Taps

__all__ = ["FBNET_NAMES", "FBNet"]

FBNET_NAMES = tuple(
    "skip" if op is None else f"k{op[0]}_e{op[1]}{f'_g{op[2]}' if op[2] > 1 else ''}" for op in FBNET_OPERATORS
)
"""Operator names by choice."""

BN_EPS = 1e-5
_STEM_CHANNELS = 16
_HEAD_CHANNELS = 1504


class FBNet(SearchSpace):
    """The space: 9^22 architectures.

    Macro parameters of `workload`, `taps` and `assemble`: `num_classes` (100), `image_size` (32).
    """

    name = "fbnet"
    n_edges = 22
    n_ops = len(FBNET_OPERATORS)

    def parse(self, text: str) -> Architecture:
        """Read 22 codes such as "7 8 1 ..." or operator names, apart by blanks.

        Raises:
            ConfigError: where the text is not of this form.
        """
        codes: list[int] = []
        for word in text.split():
            if word in FBNET_NAMES:
                codes.append(FBNET_NAMES.index(word))
            elif word.isascii() and word.isdigit() and int(word) < self.n_ops:
                codes.append(int(word))
            else:
                raise ConfigError(f"{word[:40]!r} is no operator of FBNet; codes are 0 to {self.n_ops - 1}")
        return self.architecture(tuple(codes))

    def describe(self, arch: Architecture) -> str:
        """The codes, apart by blanks."""
        return " ".join(str(c) for c in arch.choices)

    @cached_property
    def places(self) -> tuple[FbnetPlace, ...]:
        """Where the 22 layers stand, for images of 32 x 32."""
        return tuple(fbnet_places())

    @property
    def edge_groups(self) -> tuple[int, ...]:
        """Layers at like places: 12 of them."""
        distinct = list(dict.fromkeys(self.places))
        return tuple(distinct.index(place) for place in self.places)

    def canonical(self, arch: Architecture) -> str:
        """The layers, skipped ones last among those of like places: it computes the same wherever they are."""
        groups: dict[int, list[int]] = {}
        for group, choice in zip(self.edge_groups, arch.choices, strict=True):
            groups.setdefault(group, []).append(choice)
        skip = self.n_ops - 1
        return "|".join(
            " ".join(str(c) for c in sorted(row, key=lambda c: c == skip)) for _, row in sorted(groups.items())
        )

    def representative(self, arch: Architecture) -> Architecture:
        """The member of the class whose skipped layers come last."""
        self.check(arch)
        return self.parse(self.canonical(arch).replace("|", " "))

    def reduced(self, channels: int, cells_per_stage: int, image_size: int, num_classes: int) -> dict[str, int]:
        """Image size and classes only: widths and depths are part of the space."""
        return {"image_size": image_size, "num_classes": num_classes}

    def assemble(
        self, arch: Architecture, num_classes: int = 100, image_size: int = 32, **unknown: int
    ) -> tuple[Workload, Taps]:
        """The network and its taps: behind the layers of 24 and 64 channels, and the last activation."""
        self.check(arch)
        if unknown:
            raise ConfigError(
                f"{self.name} has no macro parameter {sorted(unknown)[0]!r}; it knows num_classes and image_size"
            )
        if num_classes < 1 or image_size < 8 or image_size % 8:
            raise ConfigError(
                f"{self.name} needs at least one class and an image size that is a multiple of 8, not "
                f"num_classes={num_classes}, image_size={image_size}"
            )
        b = WorkloadBuilder(f"{self.name} {self.describe(arch)}")
        x = b.input((1, 3, image_size, image_size))
        x = b.relu(_norm(b, b.conv2d(x, _STEM_CHANNELS, 3)))
        taps: list[Ref] = []
        for index, (place, choice) in enumerate(zip(self.places, arch.choices, strict=True)):
            x = _layer(b, x, place, choice, image_size * place.size // 32)
            if index in (4, 12):
                taps.append(x)
        x = b.relu(_norm(b, b.conv2d(x, _HEAD_CHANNELS)))
        taps.append(x)
        logits = b.linear(b.flatten(b.global_avg_pool(x)), num_classes)
        return b.build(logits), tuple(taps)

    def layer_workload(self, place: FbnetPlace, choice: int) -> Workload:
        """One layer alone.

        Raises:
            ConfigError: for a skipped layer that is the value itself.
        """
        if FBNET_OPERATORS[choice] is None and place.residual:
            raise ConfigError(f"a skipped layer at {place} runs nothing and has no workload")
        b = WorkloadBuilder(f"{FBNET_NAMES[choice]} {place}")
        x = b.input((1, place.in_channels, place.size, place.size))
        return b.build(_layer(b, x, place, choice, place.size))

    def block_workloads(self) -> tuple[Workload, ...]:
        """Stem, head, and every operator at every place, each once."""
        found = list(self.fixed_workloads())
        for place in dict.fromkeys(self.places):
            for choice, operator in enumerate(FBNET_OPERATORS):
                if operator is not None or not place.residual:
                    found.append(self.layer_workload(place, choice))
        return tuple({w.key: w for w in found}.values())

    def fixed_workloads(self) -> tuple[Workload, Workload]:
        """What every network of the space has: stem and head."""
        stem = WorkloadBuilder("fbnet stem")
        x = stem.input((1, 3, 32, 32))
        head = WorkloadBuilder("fbnet head")
        y = head.input((1, self.places[-1].out_channels, 4, 4))
        y = head.relu(_norm(head, head.conv2d(y, _HEAD_CHANNELS)))
        return (
            stem.build(stem.relu(_norm(stem, stem.conv2d(x, _STEM_CHANNELS, 3)))),
            head.build(head.linear(head.flatten(head.global_avg_pool(y)), 100)),
        )


def _norm(b: WorkloadBuilder, x: Ref) -> Ref:
    return b.batch_norm(x, eps=BN_EPS)


def _layer(b: WorkloadBuilder, x: Ref, place: FbnetPlace, choice: int, size: int) -> Ref:
    operator = FBNET_OPERATORS[choice]
    if operator is None:
        if place.residual:
            return x
        return b.relu(_norm(b, b.conv2d(x, place.out_channels, stride=place.stride)))
    kernel, expansion, groups = operator
    width = place.in_channels * expansion
    y = b.relu(_norm(b, b.conv2d(x, width, groups=groups)))
    if groups > 1:
        y = b.op("reshape", y, shape=(1, groups, width // groups, size, size))
        y = b.op("transpose", y, perm=(0, 2, 1, 3, 4))
        y = b.op("reshape", y, shape=(1, width, size, size))
    y = b.relu(_norm(b, b.conv2d(y, width, kernel, stride=place.stride, groups=width)))
    y = _norm(b, b.conv2d(y, place.out_channels, groups=groups))
    return b.add(y, x) if place.residual else y
