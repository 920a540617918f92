"""The study of HW-EvRSNAS on NAS-Bench-201: HW-NAS-Bench's devices and targets of our own, budgets, seeds, controls,
and exact regret."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from profiler.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from profiler.measure.progress import Progress
    from profiler.tables.formats.hwnasbench_networks import Quantity
    from search.evrsnas.arrays import SpaceArrays
    from search.evrsnas.costs import SpaceCosts
    from search.evrsnas.study import Cell

__all__ = ["STUDY", "EvrsnasStudy", "data_folder", "known_scores", "named_scores", "run_study"]

STUDY = "study.json"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class EvrsnasStudy:
    """What to study.

    Attributes:
        data: the folder of measured public data.
        devices: of HW-NAS-Bench; none for all that the data set has.
        datasets: cifar10, cifar100, ImageNet16-120.
        cost: what the budgets are of: "latency", "energy", or "both" together, at the same quantile each.
        scores: a store of RMI scores (a folder) or a table of scores (a file); None searches by MACs.
        score: the name of the score that is searched by, or several joined by "+" (their mean rank).
        seeds: how many, from 0.
        population, generations: of every search.
        penalty_weight: lambda.
        controls: whether controls are searched too.
        results, targets: a folder of our own measurements, and targets of it that are studied as devices are.
        table: a table of networks that `edgecost table import hw-nas-bench` wrote, instead of that in `data`.
    """

    data: Path
    devices: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ("cifar10",)
    cost: Literal["latency", "energy", "both"] = "latency"
    scores: Path | None = None
    score: str = ""
    seeds: int = 3
    population: int = 20
    generations: int = 100
    penalty_weight: float = 1.0
    controls: bool = True
    results: Path | None = None
    targets: tuple[str, ...] = ()
    table: Path | None = None


def data_folder(given: Path | None) -> Path:
    """The folder of measured public data: as given, or EDGECOST_DATA.

    Raises:
        ConfigError: where neither says.
    """
    named = given or (Path(os.environ["EDGECOST_DATA"]) if os.environ.get("EDGECOST_DATA") else None)
    if named is None:
        raise ConfigError("name the folder of measured public data with --data, or set EDGECOST_DATA")
    return named


def run_study(options: EvrsnasStudy, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Search every cell with every seed and method, judge the answers, and write OUT/study.json and OUT/report.html.

    Returns the content of the former, with its file's name.

    Raises:
        ConfigError: where data are missing or do not fit together, or a budget lies below the cheapest network.
        StorageError: where the file cannot be written.
    """
    from numpy import isnan

    from edgecost.report.hw_evrsnas import write_page
    from search.evrsnas.arrays import arrays_of
    from search.evrsnas.evolution import EvolutionConfig
    from search.evrsnas.judging import rank_correlation, read_benchmark
    from search.evrsnas.study import Study, judge
    from search.evrsnas.study_table import by_budget, summary
    from search.spaces.nasbench201 import NasBench201

    started = time.perf_counter()
    space = NasBench201()
    arrays = arrays_of(space)
    known = known_scores(options, arrays)
    named = named_scores(options, known)
    cells = _cells(options, space)
    config = EvolutionConfig(None, options.population, options.generations, penalty_weight=options.penalty_weight)
    scores = dict.fromkeys(options.datasets, named)
    study = Study(arrays, cells, scores, range(options.seeds), config, options.controls)
    if progress:
        progress.start(len(study.methods()) + options.controls)
    searched = time.perf_counter()
    rows = study.run(progress.advance if progress else lambda label: None)
    search_s = time.perf_counter() - searched
    benchmarks = {d: read_benchmark(options.data, d) for d in options.datasets}
    judged, tops = judge(rows, cells, benchmarks)
    lines = summary(judged, tops)
    answer = {
        "schema": 1,
        "kind": "hw-evrsnas-study",
        "sentence": _sentence(lines, cells, options, search_s),
        "score": next(iter(named)),
        "settings": _settings(options),
        "cost_sources": {c.costs.device: [c.costs.source, c.costs.identity] for c in cells},
        "scored_classes": {n: len(set(arrays.classes[~isnan(s)].tolist())) for n, s in named.items()},
        "search_s": round(search_s, 2),
        "wall_s": round(time.perf_counter() - started, 2),
        "summary": lines,
        "budgets": by_budget(judged, tops),
        "correlations": [
            {"dataset": d, "score": name, "above": above, **rank_correlation(s, benchmarks[d], above)}
            for d in options.datasets
            for name, s in named.items()
            for above in (0.0, 90.0) if above == 0.0 or d == "cifar10"
        ],
        "rows": judged,
    }  # fmt: skip
    _write(out / STUDY, answer)
    write_page(answer, out / REPORT)
    return {**answer, "file": str(out / STUDY)}


def known_scores(options: EvrsnasStudy, arrays: SpaceArrays) -> dict[str, NDArray[np.float64]]:
    """All scores of the space by name, each (n,): of the store or file, MACs and parameters.

    "phi" is a column of a file that is called so or, of a store, what most classes were scored by, of equals after the
    most steps; nothing else is phi.
    """
    from search.evrsnas.judging import macs_and_params
    from search.evrsnas.study_scores import file_scores, stored_scores

    macs, params = macs_and_params(arrays)
    counts = {"macs": arrays.scores(macs), "params": arrays.scores(params)}
    if options.scores is None:
        return counts
    if not options.scores.is_dir():
        return {**file_scores(options.scores, arrays), **counts}
    found = stored_scores(options.scores, arrays)
    most = max(found, key=lambda name: (len(found[name][found[name] == found[name]]), int(name.rsplit(" ", 1)[1])))
    return {"phi": found[most], **{name: own for name, own in found.items() if name != most}, **counts}


def named_scores(options: EvrsnasStudy, known: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The score that is searched by, then all others."""
    from search.evrsnas.study_scores import combined

    name = options.score or ("phi+macs" if "phi" in known else "macs")
    return {name: combined(name, known), **{n: s for n, s in known.items() if n != name}}


def _cells(options: EvrsnasStudy, space: Any) -> list[Cell]:
    from profiler.tables.formats.hwnasbench_networks import read_networks
    from search.evrsnas.costs import costs_of_table, jointly
    from search.evrsnas.study import PAPER_BUDGETS_MS, QUANTILES, Cell, cells_by_quantile

    cells: list[Cell] = []
    quantity: Quantity = "latency" if options.cost == "latency" else "energy"
    for dataset in options.datasets:
        table = read_networks(options.table or options.data, dataset)
        for device in options.devices or _devices(table, quantity):
            costs = costs_of_table(space, table, device, quantity)
            if options.cost == "both":
                latency = costs_of_table(space, table, device)
                pairs = [[(c, c.quantile(q)) for c in (latency, costs)] for q in QUANTILES]
                cells += [Cell(jointly(pair), 1.0, dataset) for pair in pairs]
                continue
            if device == "fpga" and options.cost == "latency" and dataset != "ImageNet16-120":
                cells += [Cell(costs, budget, dataset) for budget in PAPER_BUDGETS_MS]
            else:
                cells += cells_by_quantile(costs, dataset)
    for costs in _own(options, space):
        cells += cells_by_quantile(costs, options.datasets[0])
    return cells


def _devices(table: Any, cost: Quantity) -> Sequence[str]:
    import numpy as np

    return [d for (d, q), c in table.columns.items() if q == cost and np.isfinite(c).any()]


def _own(options: EvrsnasStudy, space: Any) -> list[SpaceCosts]:
    """Targets of our own, by the predictor fitted on their table."""
    if not options.targets:
        return []
    from edgecost.stages.costs import load_table, resolve_target
    from edgecost.stages.energy_costs import fit_cost
    from edgecost.stages.searching import cost_function
    from search.evrsnas.costs import costs_by_function

    if options.results is None:
        raise ConfigError("targets of one's own need the folder of their measurements: --results")
    table, found = load_table(options.results), []
    if options.cost == "both":
        raise ConfigError("targets of one's own are studied by latency or by energy, not by both: --cost")
    unit: Any = "ms" if options.cost == "latency" else "mj"
    for name in options.targets:
        target = resolve_target(table, name)
        function = cost_function(space, fit_cost(table, target, unit))
        found.append(costs_by_function(space, function, target, "ms" if unit == "ms" else "mJ", str(options.results)))
    return found


def _settings(options: EvrsnasStudy) -> dict[str, Any]:
    names = ("devices", "datasets", "cost", "seeds", "population", "generations", "penalty_weight", "targets")
    return {name: getattr(options, name) for name in names}


def _sentence(lines: Sequence[dict[str, Any]], cells: Sequence[Cell], options: EvrsnasStudy, search_s: float) -> str:
    told = []
    for dataset in options.datasets:
        own = {line["method"]: line for line in lines if line["dataset"] == dataset}
        found, chance = own["hw-evrsnas"], own["random feasible"]
        regret = "none" if found["regret"] is None else f"{found['regret']:.2f}"
        told.append(
            f"{dataset}: mean regret {regret} accuracy points (a random feasible architecture {chance['regret']:.2f}), "
            f"{found['violations']} budgets broken by answers called feasible, {found['infeasible']} of "
            f"{found['answers']} answers flagged infeasible"
        )
    return f"{len(cells)} budgets x {options.seeds} seeds in {search_s:.1f} s; {'; '.join(told)}"


def _write(path: Path, answer: dict[str, Any]) -> None:
    """JSON with one row a line."""
    from search.files import write_text

    head = {name: value for name, value in answer.items() if name != "rows"}
    text = json.dumps(head, indent=1, allow_nan=False)
    rows = ",\n".join(json.dumps(row, allow_nan=False) for row in answer["rows"])
    write_text(path, f'{text[:-2]},\n "rows": [\n{rows}\n]\n}}\n')
