"""The closure suite: networks of several families that a cost model is judged on, and those that it is fitted on.

Nobody's search found them, and no space of theirs is covered: every kernel that is measured is a kernel of theirs. They
are chosen so that there are few: networks of a family share stages, widths and resolutions, and differ in what stands
where and how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.jobs import Job, kernel_plan_jobs, model_jobs
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FAMILIES", "SUITES", "Suite", "closure_suite", "family_of", "find_suite", "suite_jobs"]

FAMILIES = ("NB201", "MBConv", "MixConv", "classic")
"""The first word of the name of every network of a suite."""

_MOST_TRIES = 10_000

_WIDTHS = (0.5, 1.0, 1.5)
_RESOLUTION = 128
_STEM, _STAGES, _HEAD = 16, (32, 64), 320
_MOST_BLOCKS = 7
_CLASSES = 100

_SINGLE = (((3, 4),), ((5, 4),))
_MIXED = ((3, 2), (5, 2))

_CLASSICS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("resnet18", 0.5, {}),
    ("resnet34", 0.5, {}),
    ("vgg11", 0.25, {}),
    ("vgg16", 0.25, {}),
    ("squeezenet1_1", 0.5, {}),
    ("mobilenet_v1", 0.5, {}),
    ("mobilenet_v2", 0.5, {}),
    ("mnasnet1_0", 0.5, {}),
    ("regnet_x_200mf", 1.0, {}),
    ("googlenet", 0.5, {"depths": (1, 1, 1)}),
    ("densenet121", 0.5, {"depths": (2, 2, 2, 2)}),
    ("mobilenet_v3_small", 1.0, {}),
)
# other depths, whose kernels those held out have too, and other widths, whose kernels are their own
_CLASSICS_TO_FIT: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("resnet18", 0.5, {"depths": (1, 2, 1, 2)}),
    ("resnet18", 0.5, {"depths": (2, 1, 2, 1)}),
    ("resnet18", 0.5, {"depths": (1, 1, 3, 1)}),
    ("mobilenet_v1", 0.5, {"middle": 2}),
    ("mobilenet_v1", 0.5, {"middle": 8}),
    ("regnet_x_200mf", 1.0, {"depths": (1, 1, 2, 3)}),
    ("regnet_x_200mf", 1.0, {"depths": (1, 1, 6, 2)}),
    ("vgg11", 0.375, {}),
    ("squeezenet1_1", 0.75, {}),
    ("mobilenet_v2", 0.75, {}),
    ("googlenet", 0.375, {"depths": (1, 1, 1)}),
    ("densenet121", 0.75, {"depths": (2, 2, 2, 2)}),
)

_COMPARED = ("NB201 ", "MBConv x1 ", "classic resnet", "classic mobilenet_v1")


@dataclass(frozen=True, slots=True)
class Suite:
    """Networks to fit on and networks held out, no two the same.

    Attributes:
        fit, held_out: the networks.
        compared: those out of both on which cuts are compared; the others have few kernels in common, and cutting
            them in every way would double what has to be measured.
    """

    fit: tuple[Workload, ...]
    held_out: tuple[Workload, ...]

    @property
    def compared(self) -> tuple[Workload, ...]:
        """See above."""
        return tuple(work for work in (*self.fit, *self.held_out) if work.name.startswith(_COMPARED))


def suite_jobs(
    name: str,
    seed: int,
    target: Target,
    cuts: Literal["", "cuts", "pairs"] = "",
    part: Literal["all", "networks"] = "all",
) -> tuple[Job, ...]:
    """What a target measures of a suite.

    Args:
        name, seed: of the suite.
        target: where.
        cuts: "cuts": the kernels of the compared networks under every cut besides; "pairs": the fused kernels of these
            that can be chained in pairs, in pairs, and no networks.
        part: "networks": these alone, to be measured once more.

    Raises:
        ConfigError: there is no such suite.
    """
    from profiler.workloads.cuts import kernels_of_cuts
    from profiler.workloads.fusion import kernels_of
    from profiler.workloads.isolation import kernel_jobs

    suite, where = find_suite(name, seed), (target.runtime, target.precision)
    networks = (*model_jobs(suite.fit, "fit"), *model_jobs(suite.held_out, "held_out"))
    if part == "networks":
        return networks
    if cuts == "pairs":
        plans = kernel_jobs(kernels_of(suite.compared, *where), *where, paired=True)
        return _without_alone(kernel_plan_jobs(plans), frozenset())
    kernels = {k.key: k for k in kernels_of([*suite.fit, *suite.held_out], *where)}
    others = {k.key: k for k in kernels_of_cuts(suite.compared, *where, target.accelerator)} if cuts else {}
    jobs = kernel_plan_jobs(kernel_jobs({**kernels, **others}.values(), *where))
    return (*_without_alone(jobs, others.keys()), *networks)


def _without_alone(jobs: Iterable[Job], wanted: Set[str]) -> tuple[Job, ...]:
    """The stretches of m and 2m; that of one kernel alone, a third of all, only where a comparison wants it."""
    return tuple(job for job in jobs if job.role.repeats > 1 or job.role.subject_key in wanted)


def family_of(label: str) -> str:
    """The family that a network's name says; "" for one of no suite."""
    first = label.split(" ", 1)[0]
    return first if first in FAMILIES else ""


def find_suite(name: str, seed: int) -> Suite:
    """The suite of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SUITES:
        raise ConfigError(f"there is no suite {name!r}; choose {', '.join(SUITES)}")
    return SUITES[name](seed)


def closure_suite(seed: int) -> Suite:
    """66 networks held out and 52 to fit on, of four families; the classics do not depend on the seed."""
    import numpy as np

    fit: list[Workload] = []
    held_out: list[Workload] = []
    for place, (draw, to_fit, to_hold) in enumerate(((_nb201, 16, 26), (_mbconv, 12, 14), (_mixconv, 12, 14))):
        drawn = _distinct(draw(np.random.default_rng([seed, place, 1007])), to_fit + to_hold)
        fit += drawn[:to_fit]
        held_out += drawn[to_fit:]
    fit += [_classic(*row) for row in _CLASSICS_TO_FIT]
    held_out += [_classic(*row) for row in _CLASSICS]
    return Suite(tuple(fit), tuple(held_out))


SUITES: dict[str, Callable[[int], Suite]] = {"closure": closure_suite}


def _distinct(drawn: Iterator[Workload], wanted: int) -> list[Workload]:
    found: dict[str, Workload] = {}
    for _ in range(_MOST_TRIES):
        work = next(drawn)
        found.setdefault(work.key, work)
        if len(found) == wanted:
            return list(found.values())
    raise ConfigError(f"only {len(found)} different networks of {wanted} were found")


def _nb201(rng: np.random.Generator) -> Iterator[Workload]:
    """NAS-Bench-201 as published, one architecture a class: no two the same function."""
    from search.spaces.nasbench201 import NasBench201

    space, seen = NasBench201(), set[str]()
    while True:
        arch = space.sample(rng)
        label = space.canonical(arch)
        if label not in seen and space.connected(arch):
            seen.add(label)
            yield replace(space.workload(arch), name=f"NB201 {space.describe(arch)}")


def _mbconv(rng: np.random.Generator) -> Iterator[Workload]:
    """Blocks of one depthwise kernel each."""
    return _of_blocks("MBConv", rng, _SINGLE, _SINGLE[0])


def _mixconv(rng: np.random.Generator) -> Iterator[Workload]:
    """Blocks of which about half mix two depthwise kernels; the first of every stage does."""
    return _of_blocks("MixConv", rng, (*_SINGLE, _MIXED, _MIXED), _MIXED)


def _of_blocks(
    family: str,
    rng: np.random.Generator,
    choices: tuple[tuple[tuple[int, int], ...], ...],
    first: tuple[tuple[int, int], ...],
) -> Iterator[Workload]:
    """Networks of the widths in turn, with one to seven blocks a stage: the first as given, the others at random."""
    from search.spaces.blocks import Block, Network, Stage
    from search.spaces.network import network_workload
    from search.spaces.supernet import Head, Stem

    turn = 0
    while True:
        width = _WIDTHS[turn % len(_WIDTHS)]
        turn += 1
        stages = []
        for filters in _STAGES:
            others = rng.integers(len(choices), size=rng.integers(_MOST_BLOCKS))
            blocks = [Block(first), *(Block(choices[choice]) for choice in others)]
            stages.append(Stage(round(filters * width), 2, tuple(blocks)))
        stem, head = Stem(round(_STEM * width), 3, 2), Head(round(_HEAD * width))
        network = Network(family, _RESOLUTION, _CLASSES, stem, tuple(stages), head)
        yield replace(network_workload(network), name=f"{family} x{width:g} {network.text}")


def _classic(name: str, width: float, options: dict[str, Any]) -> Workload:
    from profiler.workloads.zoo import CLASSICS

    work = CLASSICS[name](width, _RESOLUTION, _CLASSES, **options)
    return replace(work, name=f"classic {work.name}")
