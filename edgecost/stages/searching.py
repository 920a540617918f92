"""Searching: a budgeted search whose costs come from a fitted table, and what its winner is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import fit_model, load_table, resolve_target, write_json
from edgecost.stages.energy_costs import UNIT_TEXTS, Unit, fit_cost, simulated_words
from edgecost.stages.spaces import chosen_space, image_source, space_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from predictors.base import CostModel
    from predictors.energy import EnergyModel
    from profiler.measure.progress import Progress
    from profiler.tables.table import CostTable
    from search.evrsnas.evolution import CostFunction
    from search.spaces.base import Architecture, SearchSpace

__all__ = [
    "IMAGE_SIZE",
    "SearchOptions",
    "SearchRecipe",
    "cost_function",
    "quantile_budget",
    "search_evrsnas",
    "train_finalists",
]

QUANTILE_SAMPLE = 300
FINALIST_SIZES = (8, 2)
"""Channels and cells a stage in which finalists are trained, where the space has such sizes."""
IMAGE_SIZE = 32
"""Of the images that finalists are trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecipe:
    """What every search is told.

    Attributes:
        data: CIFAR-10 images, or None for the bundled digits.
        preset: how candidates are scored.
        population, generations: of the evolution.
        seed: of everything random.
        space: name of the search space.
        supernet: a supernet, bundled or a file, for the space "mixconv".
        unit: of the costs: "ms", or "mj" for energy.
    """

    data: Path | None = None
    preset: str = "quick"
    population: int = 20
    generations: int = 100
    seed: int = 0
    space: str = "nasbench201"
    supernet: str | None = None
    unit: Unit = "ms"


@dataclass(frozen=True, slots=True)
class SearchOptions(SearchRecipe):
    """One search.

    Attributes:
        target: target or device id with rows in the table.
        budget: the constraint, in `unit`.
    """

    target: str
    budget: float


def cost_function(space: SearchSpace, model: CostModel | EnergyModel) -> CostFunction:
    """Latency in ms, or energy in mJ, of architectures by a fitted model; NaN where a part has no cost. Each is priced
    once."""
    import numpy as np

    known: dict[Architecture, float] = {}

    def cost(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        fresh = list(dict.fromkeys(a for a in architectures if a not in known))
        if fresh:
            prices = model.predict([space.workload(a) for a in fresh]).tolist()
            known.update(zip(fresh, prices, strict=True))
        return np.array([known[a] for a in architectures])

    return cost


def quantile_budget(
    table: CostTable, target: str, quantile: float, seed: int, space_name: str = "nasbench201"
) -> float:
    """A budget in ms, to three digits, that a share `quantile` of random architectures is predicted to meet."""
    import numpy as np

    space = chosen_space(space_name)
    rng = np.random.default_rng([seed, 7])
    drawn = [a for a in (space.sample(rng) for _ in range(QUANTILE_SAMPLE)) if space.connected(a)]
    costs = cost_function(space, fit_model(table, resolve_target(table, target)))(drawn)
    return float(f"{np.nanquantile(costs, quantile):.3g}")


def search_evrsnas(
    options: SearchOptions, results: Path, out: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """HW-EvRSNAS with the costs of a results folder's table; writes the study and returns it with its file's name.

    Raises:
        ConfigError: for options that cannot be met, or costs that are all missing.
        UnknownWorkload: when the table lacks the target, or energies where the budget is of energy.
    """
    from search.evrsnas.evolution import EvolutionConfig
    from search.study import SearchConfig, run_search

    table = load_table(results)
    target = resolve_target(table, options.target)
    space = chosen_space(options.space, options.supernet)
    model = fit_cost(table, target, options.unit)
    evolution = EvolutionConfig(options.budget, options.population, options.generations)
    scope = getattr(model, "scope_", "")
    config = SearchConfig(
        target, evolution, space.name, options.preset, image_source(options.data), None, options.seed, options.unit,
        scope,
    )  # fmt: skip
    prefix = "evrsnas" if space.name == "nasbench201" else f"evrsnas-{space.name.replace(':', '-')}"
    name = f"{prefix}-{target.replace('/', '-')}-{options.budget:g}{UNIT_TEXTS[options.unit]}.json"
    path = out or results / "search" / name
    study = run_search(
        config,
        cost_function(space, model),
        path,
        cost_identity=json.dumps(model.to_dict(), sort_keys=True),
        cache_dir=results / "search" / "cache",
        progress=progress,
        space=space,
    )
    answer = {**study.to_dict(), "file": str(path)}
    return {**answer, "sentence": answer["sentence"] + simulated_words(table, target)}


def train_finalists(
    study: dict[str, Any], options: SearchOptions, results: Path, steps: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the winner, a random feasible architecture and the reference alike; writes RESULTS/training.json."""
    from search.data import load_images
    from search.finalists import train_finalists as train
    from search.units import named

    space = space_of(study)
    unit = study["config"].get("unit", "ms")
    model = fit_cost(load_table(results), study["target"], unit)
    images = load_images(image_source(options.data))
    macro = space.reduced(*FINALIST_SIZES, IMAGE_SIZE, images.num_classes)
    winner = space.architecture(tuple(study["best"]["choices"]))
    if progress:
        progress.message("training the winner, a random feasible architecture and the reference")
    found = train(
        space,
        winner,
        cost_function(space, model),
        study[f"budget_{unit}"],
        images,
        steps,
        options.seed,
        macro=macro,
        advance=progress.message if progress else lambda label: None,
    )
    rows = [named(f.to_dict(), unit) for f in found]
    shown = ", ".join(
        f"{r['role']} " + ("diverged" if r["accuracy_pct"] is None else f"{r['accuracy_pct']:.1f} %") for r in rows
    )
    sizes = (
        f"networks of the space reduced to {macro['channels']} channels and {macro['cells_per_stage']} cells a stage"
        if "channels" in macro
        else f"networks of {space.name} for images of {IMAGE_SIZE} pixels"
    )
    sentence = (
        f"test accuracy after {steps} batches of 64 each: {shown} ({images.note}; {sizes}: this says who learns "
        "faster, not what they reach)"
    )
    answer = {"sentence": sentence, "rows": rows, "steps": steps, "macro": macro, "data": images.note}
    write_json(results / "training.json", answer)
    return answer
