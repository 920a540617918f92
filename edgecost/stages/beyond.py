"""Searches beyond the paper's: several targets, a probability, combined scores, the whole front, a finalists' round.

They leave a file of their own kind, RESULTS/search/beyond/NAME.json; the plain search and its studies stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.beyond_costs import TargetCosts, target_costs
from edgecost.stages.beyond_scores import Phi, score_of
from edgecost.stages.costs import write_json
from edgecost.stages.energy_costs import UNIT_TEXTS
from edgecost.stages.evrsnas.options import MUTATION
from edgecost.stages.known_scores import is_scores_file, score_of_file
from edgecost.stages.searching import IMAGE_SIZE, SearchOptions, SearchRecipe
from edgecost.stages.spaces import chosen_space, image_source
from edgecost.stages.verification import BEYOND
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.data import ImageSet
    from search.evrsnas.beyond.certain import BoundForm
    from search.evrsnas.beyond.score_names import NamedScore
    from search.evrsnas.records import Evaluation, Generation
    from search.spaces.base import SearchSpace

__all__ = ["BeyondOptions", "search_beyond"]

_SCHEMA = 1
PHI = "phi"
FINALIST_SIZES = (8, 1)
"""As `searching.FINALIST_SIZES`, of a round of many finalists."""


@dataclass(frozen=True, slots=True)
class BeyondOptions(SearchRecipe):
    """One search; its `preset` is how phi is computed.

    Attributes:
        targets: target or device ids with rows in the table.
        budgets: one for all targets or one each, in `unit`.
        pareto: the multi-objective form.
        probability: with which the budget is to hold; None: the expected cost is compared with it.
        bound: how the predictor's interval becomes a bound.
        proxy: the score, see `search.evrsnas.beyond.score_names`; None: phi, or the best that a file of scores allows.
        finalists: how many are trained after the search; 0 for none.
        epochs: of their training.
        scores: a store that `edgecost rmi score` filled: phi is looked up in it, and what it lacks is added; or a file
            of scores, see `edgecost.stages.known_scores`.
        reference: what phi compares with, see `search.evrsnas.references.reference_for`; None trains one, or with a
            store takes what `edgecost rmi score` takes.
        score_seed: of everything random in scores; None: `seed`. Several searches share a store by one of these.
    """

    targets: tuple[str, ...]
    budgets: tuple[float, ...]
    pareto: bool = False
    probability: float | None = None
    bound: BoundForm = "normal"
    proxy: str | None = None
    finalists: int = 0
    epochs: int = 5
    scores: Path | None = None
    reference: str | None = None
    score_seed: int | None = None

    @property
    def score_text(self) -> str:
        """The score by name, where no file of scores decides."""
        return self.proxy or PHI

    @property
    def scores_file(self) -> Path | None:
        """The file of scores, where `scores` is one and no store."""
        return self.scores if is_scores_file(self.scores) else None

    @property
    def plain(self) -> bool:
        """Whether the plain search does all that is asked for."""
        asked = self.pareto or self.probability is not None or self.score_text != PHI or self.finalists
        scored = self.scores is not None or self.reference is not None or self.score_seed is not None
        return len(self.targets) == 1 and not asked and not scored

    def as_plain(self) -> SearchOptions | None:
        """What the plain search is told where it does all that is asked for, with the one budget there is; else
        None."""
        if not self.plain or len(self.budgets) != 1:
            return None
        recipe = {field.name: getattr(self, field.name) for field in fields(SearchRecipe)}
        return SearchOptions(self.targets[0], self.budgets[0], **recipe)


def search_beyond(
    options: BeyondOptions, results: Path, out: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Search; writes the answer and returns it with its file's name and the sentence.

    Raises:
        ConfigError: for options that cannot be met, or costs that are all missing.
        UnknownWorkload: when the table lacks a target, or energies where the budget is of energy.
    """
    from search.data import load_images
    from search.evrsnas.beyond.score_names import parts_of

    if options.finalists < 0 or options.epochs < 1:
        raise ConfigError("--finalists is not negative and --finalist-epochs at least 1")
    if options.pareto and len(options.targets) > 1:
        raise ConfigError("--pareto is the front of one target; name one --target")
    if options.scores_file:
        if options.reference is not None or options.score_seed is not None:
            raise ConfigError("scores out of a file are as they are: leave --reference and --score-seed out")
    else:
        parts_of(options.score_text)
    space = chosen_space(options.space, options.supernet)
    costs = target_costs(
        results, space, options.targets, options.budgets, options.unit, options.probability, options.bound
    )
    images = load_images(image_source(options.data))
    score = _score(options, space, images, results / "search" / "cache")
    started = time.perf_counter()
    found = (_front if options.pareto else _evolved)(options, space, costs, score, progress)
    answer: dict[str, Any] = {
        "schema": _SCHEMA,
        "kind": BEYOND,
        "space": space.name,
        "targets": list(costs.each),
        f"budgets_{options.unit}": list(costs.budgets.values()),
        "probability": options.probability,
        "bound": options.bound if options.probability is not None else None,
        "score": dict(score.facts),
        "score_identity": score.identity,
        "cost_identity": hashlib.sha256(costs.identity.encode()).hexdigest()[:32],
        "seed": options.seed,
        "data": images.note,
        "population": options.population,
        "generations": options.generations,
        **{name: value for name, value in found.items() if name != "archive"},
        "search_s": round(time.perf_counter() - started, 2),
    }
    if "rank_sample" in score.facts:
        answer["sentence"] += f" (and {score.facts['rank_sample']} that ranks are taken in)"
    if options.scores_file:
        answer["sentence"] += f"; scores of {score.facts['architectures']} architectures out of {options.scores_file}"
    if score.filling:
        answer["phi_networks_trained"] = trained = score.filling.computed
        answer["sentence"] += f"; for phi {trained} networks were trained, the others found in {options.scores}"
    if options.finalists and answer["feasible"]:
        answer["finalists_round"] = _round(options, space, found["archive"], images, progress)
        ranked = answer["finalists_round"]["finalists"]
        answer["sentence"] += (
            f"; of {len(ranked)} finalists trained for {options.epochs} epochs the best on held-out training images "
            f"is {ranked[0]['label']} ({ranked[0]['held_out_accuracy_pct']:.1f} %)"
        )
    answer["sentence"] += costs.words
    path = out or results / "search" / "beyond" / f"{_name(options, costs)}.json"
    write_json(path, answer)
    return {**answer, "file": str(path)}


def _score(options: BeyondOptions, space: SearchSpace, images: ImageSet, cache: Path) -> NamedScore:
    if options.scores_file:
        return score_of_file(options.scores_file, options.proxy, space)
    seed = options.seed if options.score_seed is None else options.score_seed
    phi = Phi(options.preset, options.scores, options.reference, options.data, seed)
    return score_of(options.score_text, space, images, seed, cache, phi)


def _evolved(
    options: BeyondOptions, space: SearchSpace, costs: TargetCosts, score: NamedScore, progress: Progress | None
) -> dict[str, Any]:
    import numpy as np

    from search.evrsnas.evolution import EvolutionConfig, evolve

    if progress:
        progress.start(options.generations + 1)

    def observe(generation: Generation) -> None:
        if progress:
            progress.advance(f"generation {generation.index}: {generation.evaluations} scored")

    config = EvolutionConfig(costs.budget, options.population, options.generations, min(5, options.population))
    if options.scores_file:
        config = replace(config, mutation_rate=MUTATION)
    found = evolve(space, score.function, costs.function, config, np.random.default_rng(options.seed), observer=observe)
    best = found.best
    label = space.describe(best.architecture)
    verdict = "best within its budgets" if found.feasible else "INFEASIBLE: the least violating seen"
    sure = (
        "" if options.probability is None else f", with probability {options.probability:g} by {options.bound} bounds"
    )
    named = score.facts["proxy"]
    sentence = (
        f"{verdict}: {label} with {named} {best.score:.3f} at {costs.sentence(best.architecture)}{sure}, "
        f"after {found.evaluations} scored architectures"
    )
    return {
        "feasible": found.feasible,
        "sentence": sentence,
        "best": _row(space, costs, best),
        "n_evaluations": found.evaluations,
        "archive": found.archive,
    }


def _front(
    options: BeyondOptions, space: SearchSpace, costs: TargetCosts, score: NamedScore, progress: Progress | None
) -> dict[str, Any]:
    from search.evrsnas.beyond.pareto import ParetoConfig, best_within, search_front

    if progress:
        progress.message(f"NSGA-II over {options.generations} generations")
    config = ParetoConfig(options.population, options.generations)
    found = search_front(space, score.function, costs.function, config, options.seed)
    best = best_within(found.front, costs.budget)
    text = UNIT_TEXTS[options.unit]
    shown = (
        f"INFEASIBLE: none of them meets {costs.budget:g} {text}"
        if best is None
        else f"best within {costs.budget:g} {text}: {space.describe(best.architecture)} at {best.cost_ms:.3f} {text}"
    )
    ends = f"{found.front[0].cost_ms:.3f} to {found.front[-1].cost_ms:.3f} {text}"
    front = f"a front of {len(found.front)} architectures from {ends}, after {found.evaluations} scored"
    return {
        "feasible": best is not None,
        "sentence": f"{front}; {shown}",
        "best": None if best is None else _row(space, costs, best),
        "n_evaluations": found.evaluations,
        "front": [_row(space, costs, e) for e in found.front],
        "hypervolume": {
            f"reference_cost_{options.unit}": found.reference[0],
            "reference_score": found.reference[1],
            "by_generation": list(found.hypervolumes),
        },
        "archive": _within(found.archive, costs.budget),
    }


def _within(archive: tuple[Evaluation, ...], budget: float) -> tuple[Evaluation, ...]:
    """What meets the budget, which a front's search did not ask for."""
    return tuple(e for e in archive if e.candidate and e.cost_ms <= budget)


def _round(
    options: BeyondOptions,
    space: SearchSpace,
    archive: tuple[Evaluation, ...],
    images: ImageSet,
    progress: Progress | None,
) -> dict[str, Any]:
    from search.evrsnas.beyond.finalists import finalists_round

    macro = space.reduced(*FINALIST_SIZES, IMAGE_SIZE, images.num_classes)
    found = finalists_round(
        space, archive, images, count=options.finalists, epochs=options.epochs, seed=options.seed, macro=macro,
        advance=progress.message if progress else lambda label: None,
    )  # fmt: skip
    return {**found.to_dict(), "macro": macro}


def _row(space: SearchSpace, costs: TargetCosts, e: Evaluation) -> dict[str, Any]:
    return {
        "label": space.describe(e.architecture),
        "choices": list(e.architecture.choices),
        "score": e.score,
        "costs": costs.told(e.architecture),
    }


def _name(options: BeyondOptions, costs: TargetCosts) -> str:
    """A file name that tells searches apart; what it does not hold is in a short hash."""
    asked = json.dumps(
        [
            options.space, options.supernet, list(costs.budgets.items()), options.unit, options.probability,
            options.bound, options.preset, options.population, options.generations, options.seed, options.finalists,
            options.epochs, str(options.data), str(options.scores), options.reference, options.score_seed,
        ]
    )  # fmt: skip
    digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
    form = "pareto" if options.pareto else "evrsnas"
    where = "+".join(costs.each).replace("/", "-")
    score = options.proxy or ("known" if options.scores_file else PHI)
    return f"{form}-{score}-{where[:80]}-{digest}"
