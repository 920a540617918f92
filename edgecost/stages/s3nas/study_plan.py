"""What a study of S3NAS consists of: methods, targets, seeds, budgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.costs import Pricing, supernet_costs
from edgecost.stages.s3nas.train import TrainOptions

if TYPE_CHECKING:
    from search.s3nas.costs.blockcosts import BlockCosts
    from search.spaces.mixconv import MixConv

__all__ = ["CONTROLS", "IMPORTED", "OWN", "Method", "Run", "StudyOptions", "costs_of", "planned"]

SUPERNET = "graded32s"
QUANTILE_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Method:
    """One way to a network of the search's budget.

    Attributes:
        name: in tables.
        slug: in file names.
        supernet: which is searched.
        kind: "search" (S3NAS's, with `changes`), "random" (the best of a few random networks of the budget) or "hand"
            (no search: a network made by hand, scaled).
        changes: of the search's settings, by name.
    """

    name: str
    slug: str
    supernet: str = SUPERNET
    kind: str = "search"
    changes: dict[str, Any] = field(default_factory=dict)


OWN = Method("S3NAS", "s3nas")

CONTROLS = (
    Method("random search", "random", kind="random"),
    Method("scaling alone, of a hand-made network", "hand", kind="hand"),
    Method("no equal-choice dropout", "nodrop", changes={"choice_dropout": False}),
    Method("flat supernet", "flat", "flat32s"),
    Method("MBConv supernet", "mbconv", "mbconv32s"),
    Method("log latency, lambda 1", "log1", changes={"form": "log", "weight": 1.0}),
    Method("log latency, lambda 3", "log3", changes={"form": "log", "weight": 3.0}),
    Method("log latency, lambda 10", "log10", changes={"form": "log", "weight": 10.0}),
)
"""What it is compared with, on the first target."""

IMPORTED = Method("S3NAS, imported table", "imported", "fbnet32")
"""On devices whose costs are known from a public table, of this one supernet; such networks are not scaled."""


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """A study.

    Attributes:
        targets: target ids; controls run on the first.
        pricing: where the targets' costs come from.
        training: data, final schedule, first seed.
        quantile: of the costs of random architectures of the supernet: the budget of the search on each target.
        share: of the final budget that the search is given.
        seeds: how many, from `training.seed` on.
        settings: of the search, where not those of the reduced preset.
        jobs: processes that search and train side by side, one thread each.
        divisor, resolution_step: filters and resolutions of scaled networks are multiples of them.
        imported: devices of HW-NAS-Bench on which fbnet32 is searched as well.
        imported_settings: of these searches, on top of `settings`.
        search_budget_ms: the budget of the search on every target, where not that quantile.
        controls: whether there are any.
        post_processing: whether S3NAS's own networks are post-processed.
    """

    targets: tuple[str, ...]
    pricing: Pricing
    training: TrainOptions
    quantile: float = 0.5
    share: float = 0.6
    seeds: int = 3
    settings: dict[str, Any] = field(default_factory=dict)
    jobs: int = 2
    divisor: int | None = None
    resolution_step: int = 4
    imported: tuple[str, ...] = ()
    imported_settings: dict[str, Any] = field(default_factory=dict)
    search_budget_ms: float | None = None
    controls: bool = True
    post_processing: bool = True

    def pricing_of(self, method: Method) -> Pricing:
        """Where a method's costs come from."""
        return Pricing(self.pricing.results, "hwnasbench") if method == IMPORTED else self.pricing

    def settings_of(self, method: Method) -> dict[str, Any]:
        """Of a method's search."""
        more = self.imported_settings if method == IMPORTED else {}
        return {**self.settings, **more, **method.changes}


@dataclass(frozen=True, slots=True)
class Run:
    """One method on one target with one seed, its budgets in ms and its folder."""

    method: Method
    target: str
    search_budget_ms: float
    budget_ms: float
    seed: int
    folder: Path


def planned(options: StudyOptions, out: Path) -> list[Run]:
    """All runs, seed by seed, so that what is there after an interruption is balanced."""
    found = []
    controls = CONTROLS if options.controls else ()
    methods = [(target, (OWN, *(controls if place == 0 else ()))) for place, target in enumerate(options.targets)]
    methods += [(device, (IMPORTED,)) for device in options.imported]
    for target, each in methods:
        budget_ms = options.search_budget_ms or _search_budget_ms(options, target, each[0])
        final_ms = budget_ms if each == (IMPORTED,) else float(f"{budget_ms / options.share:.4g}")
        for method in each:
            for seed in range(options.training.seed, options.training.seed + options.seeds):
                folder = out / target.replace("/", "-") / f"{method.slug}-s{seed}"
                found.append(Run(method, target, budget_ms, final_ms, seed, folder))
    return sorted(found, key=lambda run: run.seed)


def _search_budget_ms(options: StudyOptions, target: str, method: Method) -> float:
    """A quantile of what random architectures of a method's supernet cost, to four digits."""
    import numpy as np

    space, costs = costs_of(options, target, method)
    rng = np.random.default_rng([options.training.seed, 11])
    drawn = costs.costs([space.sample(rng) for _ in range(QUANTILE_SAMPLE)])
    return float(f"{np.quantile(drawn, options.quantile):.4g}")


def costs_of(options: StudyOptions, target: str, method: Method) -> tuple[MixConv, BlockCosts]:
    """A method's space, and what its blocks cost on a target.

    Raises:
        ConfigError: where that is not known.
    """
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet

    space = MixConv(read_supernet(method.supernet))
    return space, supernet_costs(space, options.pricing_of(method), target, options.training.task().num_classes)[0]
