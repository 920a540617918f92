"""The space of a MixConv or MBConv supernet: every block of it one of the choices of its superblock.

[V] from the S3NAS code: the blocks, their choices, merging and skipping (see `superblocks` and `network`). Ours: a
uniformly random architecture is uniform over the *distinct* choices of every block, while the supernet's first phase is
uniform over the choices of every branch, of which several may simplify to one.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.spaces.base import Architecture, SearchSpace, Taps
from search.spaces.network import (
    Block,
    Network,
    Places,
    Stage,
    assemble,
    block_workload,
    head_workload,
    stem_workload,
)
from search.spaces.superblocks import Kernels, Superblock
from search.spaces.supernet import Supernet, read_supernet, supernet_dict

__all__ = ["MixConv"]

DEFAULT_SUPERNET = "graded32"


class MixConv(SearchSpace):
    """The space of one supernet; its name is "mixconv" for the default supernet, "mixconv:NAME" for others.

    Macro parameters of `workload`, `taps` and `assemble`: `resolution` (or `image_size`) and `num_classes`, by default
    the supernet's.

    Attributes:
        supernet: the supernet.
        superblocks: one a block of it, in order.
        stage_of: the stage that every block stands in.
    """

    def __init__(self, supernet: Supernet | None = None) -> None:
        self.supernet = supernet or read_supernet(DEFAULT_SUPERNET)
        default = self.supernet.name == DEFAULT_SUPERNET
        self.name = "mixconv" if default else f"mixconv:{self.supernet.name}"
        self.superblocks = tuple(_superblocks(self.supernet))
        self.stage_of = tuple(index for index, stage in enumerate(self.supernet.stages) for _ in range(stage.blocks))
        self.n_edges = len(self.superblocks)
        self.n_ops = max(len(block.choices) for block in self.superblocks)

    def ops_of(self, edge: int) -> int:
        """How many distinct choices a block has."""
        return len(self.superblocks[edge].choices)

    # ---------------------------------------------------------------- architectures and networks

    def kernels_of(self, arch: Architecture) -> tuple[Kernels, ...]:
        """What every block of the supernet becomes; () where it is skipped."""
        self.check(arch)
        return tuple(block.choices[c] for block, c in zip(self.superblocks, arch.choices, strict=True))

    def network(self, arch: Architecture, resolution: int | None = None, num_classes: int | None = None) -> Network:
        """The network that an architecture is, skipped blocks left out."""
        stages: list[list[Block]] = [[] for _ in self.supernet.stages]
        for stage, kernels in zip(self.stage_of, self.kernels_of(arch), strict=True):
            if kernels:
                stages[stage].append(Block(kernels))
        return Network(
            self.supernet.name,
            self.supernet.resolution if resolution is None else resolution,
            self.supernet.num_classes if num_classes is None else num_classes,
            self.supernet.stem,
            tuple(
                Stage(limits.filters, limits.stride, tuple(blocks))
                for limits, blocks in zip(self.supernet.stages, stages, strict=True)
            ),
            self.supernet.head,
        )

    def architecture_of(self, network: Network) -> Architecture:
        """The architecture whose network this is, skipped blocks at the end of their stages.

        Raises:
            ConfigError: where the network is none of this supernet: too many blocks, a block that is no choice here.
        """
        if len(network.stages) != len(self.supernet.stages):
            raise ConfigError(f"{self.supernet.name} has {len(self.supernet.stages)} stages, not {len(network.stages)}")
        choices: list[int] = []
        for index, (limits, stage) in enumerate(zip(self.supernet.stages, network.stages, strict=True)):
            if len(stage.blocks) > limits.blocks:
                raise ConfigError(
                    f"stage {index + 1} of {self.supernet.name} has {limits.blocks} blocks, not {len(stage.blocks)}"
                )
            wanted = [b.kernels for b in stage.blocks] + [()] * (limits.blocks - len(stage.blocks))
            for block, kernels in zip(self.superblocks[len(choices) :], wanted, strict=False):
                if kernels not in block.choices:
                    raise ConfigError(
                        f"{Block(kernels).text!r} is no choice of block {len(choices) + 1} of {self.supernet.name} "
                        f"(stage {index + 1})"
                    )
                choices.append(block.choices.index(kernels))
        return self.architecture(tuple(choices))

    @property
    def maximal(self) -> Architecture:
        """Every branch at its largest kernel and expansion."""
        return self.architecture(tuple(
            int(block.choice_of_raw[block.raw.index(tuple(len(block.branch_choices(b)) - 1
                                                          for b in range(len(block.branches))))])
            for block in self.superblocks
        ))  # fmt: skip

    @property
    def minimal(self) -> Architecture:
        """The first choice of every block: skipped where it can be, else the smallest."""
        return self.architecture((0,) * self.n_edges)

    def canonical(self, arch: Architecture) -> str:
        """The network's blocks: architectures that skip different blocks of a stage and are else alike are one."""
        return self.network(arch).text

    def representative(self, arch: Architecture) -> Architecture:
        """The member of the class with its skipped blocks last in their stages."""
        return self.architecture_of(self.network(arch))

    def describe(self, arch: Architecture) -> str:
        """The blocks as people write them."""
        return self.network(arch).text

    @property
    def definition(self) -> dict[str, Any]:
        """The supernet, but for its description."""
        return {"supernet": {k: v for k, v in supernet_dict(self.supernet).items() if k != "description"}}

    # ---------------------------------------------------------------- Workloads

    def reduced(self, channels: int, cells_per_stage: int, image_size: int, num_classes: int) -> dict[str, int]:
        """Image size and classes only: how wide and deep a network is, the supernet and the architecture say."""
        return {"resolution": image_size, "num_classes": num_classes}

    def workload(self, arch: Architecture, **macro: int) -> Workload:
        """The network of an architecture for one image, logits as output."""
        return self._assembled(arch, **macro)[0]

    def assemble(self, arch: Architecture, **macro: int) -> tuple[Workload, Taps]:
        """The network and its taps: behind a third and two thirds of the stages, and the last activation."""
        workload, places = self._assembled(arch, **macro)
        network = self.network(arch)
        ends: list[int] = []
        for stage in network.stages:
            ends.append((ends[-1] if ends else 0) + len(stage.blocks))
        first, second = (places.outputs[max(ends[max(0, round(len(ends) * part / 3) - 1)] - 1, 0)] for part in (1, 2))
        return workload, (first, second, places.features)

    def _assembled(
        self,
        arch: Architecture,
        resolution: int | None = None,
        num_classes: int | None = None,
        image_size: int | None = None,
        **unknown: int,
    ) -> tuple[Workload, Places]:
        if unknown:
            raise ConfigError(
                f"{self.name} has no macro parameter {sorted(unknown)[0]!r}; it knows resolution and num_classes"
            )
        return assemble(self.network(arch, resolution if resolution is not None else image_size, num_classes))

    def choice_workload(self, block: int, choice: int) -> Workload:
        """One choice of one block alone.

        Raises:
            ConfigError: for a skipped block.
        """
        where = self.superblocks[block]
        return block_workload(where.in_channels, where.out_channels, where.size, where.stride, where.choices[choice])

    def block_workloads(self, num_classes: int | None = None) -> tuple[Workload, ...]:
        """Everything that a table of block costs holds: stem, head, and every choice of every block, each once."""
        return tuple({w.key: w for w in (*self.fixed_workloads(num_classes), *self._all_choices)}.values())

    def fixed_workloads(self, num_classes: int | None = None) -> tuple[Workload, ...]:
        """What every network of the space has: stem and head."""
        network = self.network(self.maximal, num_classes=num_classes)
        return stem_workload(network), head_workload(network)

    @cached_property
    def _all_choices(self) -> tuple[Workload, ...]:
        found: dict[tuple[int, int, int, int, Kernels], Workload] = {}
        for place in self.superblocks:
            for choice in place.choices:
                spot = (place.in_channels, place.out_channels, place.size, place.stride, choice)
                if choice and spot not in found:
                    found[spot] = block_workload(*spot)
        return tuple(found.values())


def _superblocks(supernet: Supernet) -> list[Superblock]:
    found: list[Superblock] = []
    channels, size = supernet.stem.filters, -(-supernet.resolution // supernet.stem.stride)
    for stage in supernet.stages:
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            found.append(Superblock(channels, stage.filters, size, stride, supernet.branches, supernet.expansion_step))
            channels, size = stage.filters, -(-size // stride)
    return found
