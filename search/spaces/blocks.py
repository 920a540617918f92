"""A MixConv or MBConv network as plain data: blocks, stages, the network; what they compute stands in `network`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from search.spaces.superblocks import Kernels, kernels_text
from search.spaces.supernet import Head, Stem

__all__ = ["Activation", "Block", "Network", "Stage", "without_se"]

Activation = Literal["relu", "hswish"]


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its depthwise kernels with their expansions, and whether it has squeeze-and-excitation."""

    kernels: Kernels
    se: bool = False

    @property
    def text(self) -> str:
        """Such as "k3,5 e4,2 se"."""
        return kernels_text(self.kernels) + (" se" if self.se else "")


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one width; the first has the stride. Skipped blocks are not part of a network."""

    filters: int
    stride: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A network.

    Attributes:
        supernet: the name of the supernet that it was found in.
        resolution: height and width of the input in pixels.
        num_classes: size of the classifier.
        stem, stages, head: its parts.
        activation: everywhere but inside squeeze-and-excitation.
    """

    supernet: str
    resolution: int
    num_classes: int
    stem: Stem
    stages: tuple[Stage, ...]
    head: Head
    activation: Activation = "relu"

    @property
    def text(self) -> str:
        """All blocks on one line; "-" stands for a stage without any."""
        stages = " | ".join("; ".join(b.text for b in stage.blocks) or "-" for stage in self.stages)
        return f"{stages} ({self.activation}, {self.resolution})"

    def to_dict(self) -> dict[str, Any]:
        """The mapping that the YAML file holds."""
        return {
            "supernet": self.supernet,
            "resolution": self.resolution,
            "num_classes": self.num_classes,
            "activation": self.activation,
            "stem": {"filters": self.stem.filters, "kernel": self.stem.kernel, "stride": self.stem.stride},
            "stages": [
                {"filters": s.filters, "stride": s.stride, "blocks": [b.text for b in s.blocks]} for s in self.stages
            ],
            "head": {"filters": self.head.filters},
        }


def without_se(network: Network) -> Network:
    """The network without any squeeze-and-excitation."""
    return replace(network, stages=tuple(
        replace(s, blocks=tuple(replace(b, se=False) for b in s.blocks)) for s in network.stages
    ))  # fmt: skip
