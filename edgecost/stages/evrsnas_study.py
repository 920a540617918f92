"""The study of HW-EvRSNAS on NAS-Bench-201: HW-NAS-Bench's devices and targets of our own, budgets, seeds, controls,
and exact regret."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.evrsnas.defaults import default_score, with_fitted
from edgecost.stages.evrsnas.files import KIND, STUDY
from edgecost.stages.evrsnas.options import EvrsnasStudy, data_folder, settings_of
from edgecost.stages.evrsnas.scores import as_whole, final_scores, known_scores, named_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecost.stages.evrsnas.boards import Measuring
    from profiler.measure.progress import Progress
    from search.evrsnas.judging import Benchmark
    from search.evrsnas.study import Cell, Study

__all__ = ["ANSWERS", "REPORT", "STUDY", "EvrsnasStudy", "data_folder", "known_scores", "named_scores", "run_study"]

ANSWERS = "answers.parquet"
REPORT = "report.html"
SCATTER = 400
"""Classes of a correlation plot."""


def run_study(
    options: EvrsnasStudy, out: Path, progress: Progress | None = None, measuring: Measuring | None = None
) -> dict[str, Any]:
    """Search every cell with every seed and method, judge the answers, and write OUT/study.json, OUT/answers.parquet
    and OUT/report.html.

    Returns the content of the first, with its file's name; its rows are those of the method itself, and answers.parquet
    has those of every control.

    Args:
        options: what to study.
        out: the folder.
        progress: is told what happens.
        measuring: measures the winners on targets of our own.

    Raises:
        ConfigError: where data are missing or do not fit together, or a budget lies below the cheapest network.
        StorageError: where a file cannot be written, or the folder holds a damaged one that the page shows.
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from edgecost.report.hw_evrsnas_page import write_page
    from edgecost.stages.evrsnas.boards import beside_measured, board_sentence, simulated_targets
    from edgecost.stages.evrsnas.cells import cells_of, own_targets
    from edgecost.stages.evrsnas.files import quarantined, read_fbnet, write_answers, write_study
    from edgecost.stages.evrsnas.spent import Meter, scoring_seconds
    from edgecost.stages.places import check_writable
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.judging import read_benchmark
    from search.evrsnas.published import SOURCES, beside_published
    from search.evrsnas.study import OWN, Study
    from search.evrsnas.study_judging import judge
    from search.evrsnas.study_table import by_budget, regrets_by_budget, summary
    from search.spaces.nasbench201 import NasBench201

    started = time.perf_counter()
    check_writable(out / STUDY)
    fbnet = read_fbnet(out)
    damaged = quarantined(options.scores)
    if damaged and progress:
        progress.message(f"{damaged} damaged rows of the score stores were moved to their quarantine; the rest is used")
    space = NasBench201()
    arrays = arrays_of(space)
    known = with_fitted(known_scores(options, arrays), arrays)
    named = named_scores(options.score or default_score(known), known)
    whole, final = as_whole(named), final_scores(options, known)
    own = own_targets(options, space, progress)
    cells = cells_of(options, space, own)
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    benchmarks = {dataset: read_benchmark(options.data, dataset) for dataset in datasets}
    finals = {} if final is None else dict.fromkeys(datasets, final)
    study = Study(
        arrays, cells, dict.fromkeys(datasets, whole), range(options.seeds), options.evolution(), options.controls,
        finals, options.finalists,
    )  # fmt: skip
    if progress:
        progress.start(len(study.methods()) + options.controls)
    meter = Meter(options.watts)
    rows = study.run(progress.advance if progress else lambda label: None)
    spent = meter.read()
    judged, tops = judge(rows, cells, benchmarks)
    lines = summary(judged, tops)
    boards = beside_measured(judged, own, space, out, OWN, measuring)
    told = [_sentence(lines, cells, datasets, options, spent["wall_s"]), board_sentence(boards)]
    simulated = simulated_targets(own, options.results) if options.results and own else ""
    answer = {
        "schema": 2,
        "kind": KIND,
        "sentence": "; ".join(part for part in told if part) + simulated,
        "score": next(iter(named)),
        "settings": {**settings_of(options), "datasets": datasets},
        "cost_sources": {f"{c.costs.device} {c.dataset}": [Path(c.costs.source).name, c.costs.identity] for c in cells},
        "scored_classes": {n: _classes(arrays.classes, s) for n, s in named.items()},
        "quarantined": damaged,
        "controls": [name for name in whole if name != next(iter(named))],
        "violations": sum(line["violations"] for line in lines),
        "search_s": round(spent["wall_s"], 2),
        "search": {**spent, "searches": sum(row["seconds"] is not None for row in rows)},
        "scoring": scoring_seconds([path for path in options.scores if path.is_dir()], options.watts),
        "summary": lines,
        "budgets": by_budget(judged, tops),
        "published": {"sources": SOURCES, "rows": beside_published(judged, tops, OWN)},
        "boards": boards,
        "correlations": _correlations(named, benchmarks),
        "fronts": _fronts(cells, benchmarks),
        "scatter": _scatter(named, list(whole), benchmarks),
        "ablations": _ablations(options, study, known, benchmarks, progress),
        "regrets": regrets_by_budget(judged),
        "wall_s": 0.0,
        "rows": [row for row in judged if row["method"].startswith(OWN)],
    }
    answer["wall_s"] = round(time.perf_counter() - started, 2)
    write_answers(out / ANSWERS, judged)
    write_study(out / STUDY, answer)
    write_page(answer, out / REPORT, fbnet)
    return {**answer, "file": str(out / STUDY)}


def _classes(classes: NDArray[np.int64], scores: NDArray[np.float64]) -> int:
    import numpy as np

    return len(np.unique(classes[np.isfinite(scores)]))


def _correlations(named: dict[str, NDArray[np.float64]], benchmarks: dict[str, Benchmark]) -> list[dict[str, Any]]:
    from search.evrsnas.judging import rank_correlation

    return [
        {"dataset": dataset, "score": name, "above": above, **rank_correlation(own, benchmark, above)}
        for dataset, benchmark in benchmarks.items()
        for name, own in named.items()
        for above in (0.0, 90.0)
        if above == 0.0 or dataset == "cifar10"
    ]


def _fronts(cells: Sequence[Cell], benchmarks: dict[str, Benchmark]) -> list[dict[str, Any]]:
    """The exact front of accuracy against cost of every device and data set."""
    from search.evrsnas.study_judging import exact_front

    found = {(c.dataset, c.costs.device): c.costs for c in cells if c.costs.unit in ("ms", "mJ")}
    return [
        {
            "dataset": dataset,
            "device": device,
            "unit": costs.unit,
            "points": [[round(c, 4), round(a, 3)] for c, a in exact_front(costs, benchmarks[dataset].accuracy)],
        }
        for (dataset, device), costs in found.items()
    ]


def _scatter(
    named: dict[str, NDArray[np.float64]], whole: list[str], benchmarks: dict[str, Benchmark]
) -> list[dict[str, Any]]:
    """Scores beside accuracies of the first data set: a fixed sample of classes of every score of the whole space, and
    of every other."""
    import numpy as np

    dataset, benchmark = next(iter(benchmarks.items()))
    firsts = np.unique(benchmark.arrays.representatives)
    firsts = np.random.default_rng(0).permutation(firsts)
    found = []
    for name, own in named.items():
        at = firsts[np.isfinite(own[firsts])][:SCATTER]
        points = [[float(f"{own[i]:.5g}"), round(float(benchmark.accuracy[i]), 2)] for i in at]
        found.append({"dataset": dataset, "score": name, "whole": name in whole, "points": points})
    return found


def _ablations(
    options: EvrsnasStudy,
    study: Study,
    known: dict[str, NDArray[np.float64]],
    benchmarks: dict[str, Benchmark],
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Of the first data set: the penalty by whole searches, and scores under other settings on what was scored."""
    if not options.ablations:
        return []
    from search.evrsnas.ablations import mutation_ablation, penalty_ablation, read_variants, score_ablation

    if progress:
        progress.message("ablations: penalty and mutation, then scores under other settings")
    benchmark = next(iter(benchmarks.values()))
    variants = [v for path in options.scores if path.is_dir() for v in read_variants(path, benchmark)]
    searched = [*penalty_ablation(study, benchmark), *mutation_ablation(study, benchmark)]
    return [*searched, *score_ablation(variants, known["macs"], study.cells, benchmark)]


def _sentence(
    lines: Sequence[dict[str, Any]],
    cells: Sequence[Cell],
    datasets: Sequence[str],
    options: EvrsnasStudy,
    search_s: float,
) -> str:
    told = []
    for dataset in datasets:
        own = {line["method"]: line for line in lines if line["dataset"] == dataset}
        found, chance = own["hw-evrsnas"], own["random feasible"]
        regret = "none" if found["regret"] is None else f"{found['regret']:.2f}"
        told.append(
            f"{dataset}: mean regret {regret} accuracy points (a random feasible architecture {chance['regret']:.2f}), "
            f"{found['violations']} budgets broken by answers called feasible, {found['infeasible']} of "
            f"{found['answers']} answers flagged infeasible"
        )
    return f"{len(cells)} budgets x {options.seeds} seeds in {search_s:.1f} s; {'; '.join(told)}"
