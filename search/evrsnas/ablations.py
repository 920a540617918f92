"""What a study's answers owe to its parts: penalty and mutation; and of scores, training steps, number of networks,
reference and batch.

Penalty and mutation are studied by whole searches. Scores under other settings are known of samples of the space only,
so they are compared by what they would choose there: among the scored classes within each budget of the study the best
by score, and its regret against the most accurate of the very same classes. Rows that are to be compared are of the
same classes (`among`), and MACs stand beside them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.evrsnas.beyond.ranks import mean_ranks
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.judging import Benchmark, rank_correlation
from search.evrsnas.study import OWN, Cell, Study
from search.evrsnas.study_judging import judge
from search.evrsnas.study_table import summary

__all__ = [
    "MUTATIONS",
    "PENALTIES",
    "Variant",
    "guided_regret",
    "mutation_ablation",
    "penalty_ablation",
    "read_variants",
    "score_ablation",
    "settings_in",
]

Floats = NDArray[np.float64]
Form = Literal["relative", "absolute"]

PENALTIES: tuple[tuple[Form, bool, float], ...] = (
    *(("relative", False, weight) for weight in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
    *(("absolute", False, weight) for weight in (0.1, 1.0)),
    *(("relative", True, weight) for weight in (0.1, 0.3, 1.0)),
)  # fmt: skip
"""Form, whether two-sided, and lambda."""


MUTATIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""How likely a row of a child is drawn anew."""


def mutation_ablation(study: Study, benchmark: Benchmark) -> list[dict[str, Any]]:
    """The search of a study at other rates of mutation, likewise: with `found_best`, the share of searches whose answer
    has the best score that there is within its budget, which no accuracy decides."""
    cells = [cell for cell in study.cells if cell.dataset == benchmark.dataset]
    name, scores = next(iter(study.scores[benchmark.dataset].items()))
    rows = []
    for rate in MUTATIONS:
        config = replace(study.config, mutation_rate=rate)
        own = Study(study.arrays, cells, {benchmark.dataset: {name: scores}}, study.seeds, config, controls=False)
        judged, tops = judge(own.run(), cells, {benchmark.dataset: benchmark})
        line = next(line for line in summary(judged, tops) if line["method"] == OWN)
        rows.append(
            {
                "what": "mutation", "setting": f"{rate:g}", "is_default": rate == study.config.mutation_rate,
                "found_best": _found_best(judged, cells, scores), **_short(line),
            }
        )  # fmt: skip
    return rows


def penalty_ablation(study: Study, benchmark: Benchmark) -> list[dict[str, Any]]:
    """The search of a study under other penalties, everything else alike: one row each.

    Args:
        study: whose cells of the benchmark's data set are searched; a finalists' round is left out.
        benchmark: judges the answers.
    """
    cells = [cell for cell in study.cells if cell.dataset == benchmark.dataset]
    scores = {benchmark.dataset: dict([next(iter(study.scores[benchmark.dataset].items()))])}
    rows = []
    for form, two_sided, weight in PENALTIES:
        config = replace(study.config, penalty_form=form, two_sided=two_sided, penalty_weight=weight)
        own = Study(study.arrays, cells, scores, study.seeds, config, controls=False)
        judged, tops = judge(own.run(), cells, {benchmark.dataset: benchmark})
        line = next(line for line in summary(judged, tops) if line["method"] == OWN)
        rows.append({"what": "penalty", "setting": _penalty_text(config), "is_default": _usual(config), **_short(line)})
    return rows


def _found_best(rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], scores: Floats) -> float:
    """The share of answers within their budget than which no architecture within it has a better score."""
    best = [np.nanmax(np.where(cell.costs.within(cell.budget), scores, np.nan)) for cell in cells]
    return fmean(bool(row["feasible"]) and scores[row["position"]] >= best[row["cell"]] for row in rows)


def _penalty_text(config: EvolutionConfig) -> str:
    side = "|Psi - T|" if config.two_sided else "max(0, Psi - T)"
    return f"{config.penalty_weight:g} {side}{' / T' if config.penalty_form == 'relative' else ''}"


def _usual(config: EvolutionConfig) -> bool:
    usual = EvolutionConfig(None)
    return all(
        getattr(config, name) == getattr(usual, name) for name in ("penalty_form", "penalty_weight", "two_sided")
    )


def _short(line: Mapping[str, Any]) -> dict[str, Any]:
    names = ("dataset", "regret", "worst_regret", "answers", "infeasible", "violations", "evaluations")
    return {name: line[name] for name in names}


@dataclass(frozen=True, eq=False)
class Variant:
    """Scores of one identity of a store at one step.

    Attributes:
        identity: the store's `course_identity`.
        settings: what it stands for.
        step: training steps.
        networks: how many fresh networks were averaged.
        scores: (n,) phi by position; NaN where there is none.
    """

    identity: str
    settings: Mapping[str, Any]
    step: int
    networks: int
    scores: Floats


def read_variants(folder: Path, benchmark: Benchmark) -> list[Variant]:
    """All scores of a store, by identity, step and number of networks (1, 2, 4, ... and as many as there are).

    Raises:
        ConfigError: where there is no store.
    """
    from search.evrsnas.store import existing_store

    arrays = benchmark.arrays
    classes = {arrays.space.canonical(arrays.space.at(int(i))): int(i) for i in np.unique(arrays.representatives)}
    found: dict[tuple[str, int, int], dict[int, float]] = defaultdict(dict)
    for row in existing_store(folder).rows():
        at = classes.get(row.architecture)
        if at is not None and not row.diverged:
            found[row.identity, row.step, row.network][at] = row.phi
    variants = []
    for identity, step in sorted({(identity, step) for identity, step, _ in found}):
        networks = sorted(network for i, s, network in found if (i, s) == (identity, step))
        for count in sorted({n for n in (1, 2, 4, 8) if n <= len(networks)} | {len(networks)}):
            parts = [found[identity, step, network] for network in networks[:count]]
            own = np.full(len(arrays), np.nan)
            for at in set(parts[0]).intersection(*parts[1:]):
                own[at] = fmean(part[at] for part in parts)
            if np.isfinite(own).any():
                settings = settings_in(folder, identity)
                variants.append(Variant(identity, settings, step, count, arrays.scores(own)))
    return variants


def settings_in(folder: Path, identity: str) -> dict[str, Any]:
    """What an identity of a store stands for; nothing where it does not say."""
    try:
        return dict(json.loads((folder / f"settings-{identity}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def score_ablation(
    variants: Sequence[Variant], macs: Floats, cells: Sequence[Cell], benchmark: Benchmark
) -> list[dict[str, Any]]:
    """Steps and networks within each identity, and references and batches within each macro network.

    Args:
        variants: of one or more stores.
        macs: (n,) of the space, the control.
        cells: budgets; those of the benchmark's data set count.
        benchmark: judges what would be chosen.
    """
    own_cells = [cell for cell in cells if cell.dataset == benchmark.dataset]
    rows: list[dict[str, Any]] = []
    for what, among, group in _groups(variants):
        common = np.isfinite(np.stack([v.scores for _, v in group])).all(axis=0)
        if common.sum() < 2:
            continue
        control = _judged(np.where(common, macs, np.nan), own_cells, benchmark)
        for setting, variant in group:
            phi = np.where(common, variant.scores, np.nan)
            both = mean_ranks([phi, macs])
            rows.append(
                {
                    "what": what,
                    "setting": setting,
                    "among": among,
                    "identity": variant.identity[:8],
                    "step": variant.step,
                    "networks": variant.networks,
                    "dataset": benchmark.dataset,
                    **_judged(phi, own_cells, benchmark),
                    "with_macs": _judged(both, own_cells, benchmark),
                    "macs": control,
                }
            )
    return rows


def _judged(scores: Floats, cells: Sequence[Cell], benchmark: Benchmark) -> dict[str, Any]:
    found = rank_correlation(scores, benchmark)
    regret, budgets = guided_regret(scores, cells, benchmark)
    return {"classes": found["n"], "kendall_tau": found["kendall_tau"], "regret": regret, "budgets": budgets}


def guided_regret(scores: Floats, cells: Sequence[Cell], benchmark: Benchmark, least: int = 5) -> tuple[Any, int]:
    """Mean regret of the best by score, against the most accurate of the scored, over budgets that at least `least`
    scored classes meet; and how many those are. Equal scores share the mean of their accuracies. None for none."""
    arrays, found = benchmark.arrays, []
    for cell in cells:
        inside = np.isfinite(scores) & cell.costs.within(cell.budget)
        if len(np.unique(arrays.classes[inside])) < least:
            continue
        top = inside & (scores == scores[inside].max())
        found.append(float(benchmark.accuracy[inside].max() - benchmark.accuracy[top].mean()))
    return (fmean(found) if found else None), len(found)


def _groups(variants: Sequence[Variant]) -> Iterator[tuple[str, str, list[tuple[str, Variant]]]]:
    """What is compared, among what, and settings with their scores."""
    identities: dict[str, list[Variant]] = defaultdict(list)
    for variant in variants:
        identities[variant.identity].append(variant)
    for own in identities.values():
        name = _macro_text(own[0])
        single = [v for v in own if v.networks == 1]
        if len(single) > 1:
            yield (
                "steps",
                f"{name}, {_reference(own[0])}, {_batch(own[0])}, 1 network",
                [(f"step {v.step}", v) for v in single],
            )
        by_step = defaultdict(list)
        for v in own:
            by_step[v.step].append(v)
        for step, several in by_step.items():
            if len(several) > 1:
                yield (
                    "networks",
                    f"{name}, {_reference(own[0])}, {_batch(own[0])}, step {step}",
                    [(_networks(v), v) for v in several],
                )
    by_macro: dict[str, dict[str, list[Variant]]] = defaultdict(lambda: defaultdict(list))
    for identity, own in identities.items():
        by_macro[_macro_key(own[0])][identity] = own
    for alike in by_macro.values():
        if len(alike) > 1:
            yield from _against_the_usual(alike)


def _against_the_usual(identities: Mapping[str, Sequence[Variant]]) -> Iterator[tuple[str, str, Any]]:
    """Identities of one macro network beside the one of most classes, at the last step that both have."""
    usual = max(identities, key=lambda i: max(int(np.isfinite(v.scores).sum()) for v in identities[i]))
    base = identities[usual]
    for what in ("reference", "batch"):
        for identity, own in identities.items():
            if identity == usual or not own[0].settings or not base[0].settings:
                continue
            same = own[0].settings.get("reference") == base[0].settings.get("reference")
            shared = {(v.step, v.networks) for v in own} & {(v.step, v.networks) for v in base}
            if (what == "batch") is not same or not shared:
                continue
            at = max(shared)
            pair = [next(v for v in found if (v.step, v.networks) == at) for found in (base, own)]
            among = f"{_macro_text(base[0])}, step {at[0]}, {_networks(pair[0])}"
            yield what, among, [(f"{_reference(v)}; {_batch(v)}", v) for v in pair]


def _macro_key(variant: Variant) -> str:
    names = ("space", "definition", "macro", "image_size", "training", "images")
    return json.dumps({name: variant.settings.get(name) for name in names}, sort_keys=True)


def _macro_text(variant: Variant) -> str:
    macro = variant.settings.get("macro", {})
    sizes = f"C={macro.get('channels', '?')} N={macro.get('cells_per_stage', '?')}"
    return f"{sizes} {variant.settings.get('image_size', '?')}px"


def _reference(variant: Variant) -> str:
    return str(variant.settings.get("origin", "reference unknown"))


def _batch(variant: Variant) -> str:
    chosen = "class by class" if variant.settings.get("balanced") else "the easiest"
    return f"batch and weights of seed {variant.settings.get('batch_seed', 0)}, {chosen}"


def _networks(variant: Variant) -> str:
    return f"{variant.networks} network{'s' if variant.networks > 1 else ''}"
