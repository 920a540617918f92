"""What the page of validations says of leaving out: target by target, and one row of each beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecost.report.documents import told_as_damaged
from edgecost.report.formats import named
from edgecost.report.left_out_charts import charts_of
from edgecost.report.predictors import PredictorsSection, section_of

__all__ = ["OVERVIEW", "LeftOutTarget", "left_out_targets"]

OVERVIEW = (
    "kernels", "RMSPE %", "covered %", "uncertain by %", "well measured", "RMSPE %", "a roofline's", "covered %",
    "networks", "RMSPE %", "within 10 %", "within 5 %", "covered %",
)  # fmt: skip
"""Columns of the row beside the other targets', after its name."""


@dataclass(frozen=True, slots=True)
class LeftOutTarget:
    """One target.

    Attributes:
        name: its id.
        file: name of the file.
        emulation: what stood in for a board; "" for none.
        sentence: seeds, intervals, and what the points are predictions of.
        measured: what it was measured on and when, a sentence a run.
        overview: cells of `OVERVIEW`.
        section: its tables.
        charts: as HTML whose text is escaped.
    """

    name: str
    file: str
    emulation: str
    sentence: str
    measured: list[str]
    overview: list[str]
    section: PredictorsSection
    charts: list[str]


def left_out_targets(path: Path) -> list[LeftOutTarget]:
    """The targets of a file that `edgecost validate --left-out` wrote.

    Raises:
        StorageError: it is none, or cannot be read.
    """
    from edgecost.stages.left_out import COMMAND, WHAT, read_left_out_file

    with told_as_damaged(path, WHAT, COMMAND):
        return [_target(path.name, target) for target in read_left_out_file(path)]


def _target(file: str, target: Mapping[str, Any]) -> LeftOutTarget:
    section = section_of([target])
    return LeftOutTarget(
        named(target), file, str(target["emulation"]), _sentence(target),
        [_measured(run) for run in target["measured"]],
        _overview(section), section,
        [chart for what, points in target["points"].items() for chart in charts_of(what, points)],
    )  # fmt: skip


def _sentence(target: Mapping[str, Any]) -> str:
    rows = target["rows"]
    seeds = len({row["seed"] for row in rows if row["seed"] is not None})
    levels = sorted({row["level"] for row in rows})
    meant = " or ".join(f"{100 * level:g} %" for level in levels)
    networks = list(dict.fromkeys(row["model"] for row in rows if row["what"] == "network"))
    # the file has the predictions of the last one only
    by = f"; networks by {networks[-1]}" if networks else ""
    return f"{seeds} seeds; intervals meant to hold {meant}. Charts: the first seed, kernels by regressors{by}."


def _measured(run: Mapping[str, Any]) -> str:
    runtimes = ", ".join(f"{name} {version}" for name, version in run["runtimes"].items())
    cores = "" if run["cores"] is None else f", {run['cores']} logical cores"
    processor = f"{run['processor']}{cores}" if run["processor"] else "processor unknown"
    started = str(run["started"]).replace("T", " ")
    when = f"measured from {started} on" if started else "measured at an unknown time"
    board = run["board"] or "board without a description"
    return f"{run['run']}: {board}; {processor}; {when}; {runtimes or 'no runtime named'}."


def _overview(section: PredictorsSection) -> list[str]:
    def cells(what: str, model: str, *names: str) -> list[str]:
        rows = [row for row in section.rows if (row["what"], row["model"]) == (what, model)]
        return [str(rows[0][name]) if rows else "–" for name in names]

    well = "kernels, well measured"
    return [
        *cells("kernels", "regressors", "n", "rmspe", "covered", "noise"),
        *cells(well, "regressors", "n", "rmspe"),
        *cells(well, "roofline", "rmspe"),
        *cells(well, "regressors", "covered"),
        *cells("networks", "additive", "n", "rmspe", "within_10", "within_5", "covered"),
    ]
