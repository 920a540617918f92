"""`edgecost validate`: how far predictors are off on networks they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import ResultsOption
from edgecost.cli.output import JsonOption, emit_json, show_table

__all__ = ["validate"]


def validate(
    target: list[str] = typer.Option([], "--target", "-t", help="Only these targets; all of the table otherwise."),
    results: Path = ResultsOption,
    gate: float | None = typer.Option(
        None, "--max-mape", help="Exit with 1 where the predictor's MAPE in % is above this."
    ),
    cuts: bool = typer.Option(
        False, "--cuts", help="Compare the ways to cut networks and to isolate their parts instead, and choose one."
    ),
    json_: bool = JsonOption,
) -> None:
    """Closure: held-out networks measured end to end against every cost model, side by side.

    Example: edgecost validate --results results/quickstart
    """
    from edgecost.stages.costs import closure

    if cuts:
        _cuts(results, target, gate, json_)
        return
    answer = closure(read_table(results), target)
    if json_:
        emit_json(answer)
    else:
        rows = [
            (
                r["target"],
                r["model"],
                r["n"],
                *(_figure(r[k]) for k in ("mape", "within_5", "within_10", "kendall_tau", "spearman")),
            )
            for r in answer["rows"]
        ]
        columns = ("target", "model", "networks", "MAPE %", "within 5 %", "within 10 %", "Kendall", "Spearman")
        show_table("closure on held-out networks", columns, rows, right=range(2, 8))
    worst = max((r["mape"] for r in answer["rows"] if r["headline"]), default=0.0)
    if gate is not None and not worst <= gate:
        raise typer.Exit(1)


def _cuts(results: Path, targets: list[str], gate: float | None, json_: bool) -> None:
    from edgecost.stages.cuts import compare

    answer = compare(results, targets)
    if json_:
        emit_json(answer)
    else:
        rows = [
            (
                _named(t), r["cut"], r["isolation"], r["parts"], r["missing"],
                *(_figure(r[k]) for k in ("ratio", "fit_mape", "sum_mape", "mape", "within_5", "within_10",
                                          "kendall_tau")),
                "chosen" if r["chosen"] else "",
            )
            for t in answer["targets"] for r in t["rows"]
        ]  # fmt: skip
        columns = (
            "target", "cut", "isolation", "parts", "missing", "sum/measured", "fit MAPE %", "sum MAPE %", "MAPE %",
            "within 5 %", "within 10 %", "Kendall", "",
        )  # fmt: skip
        show_table("closure of every cut and isolation on held-out networks", columns, rows, right=range(3, 12))
        typer.echo(answer["file"])
    chosen = [r for t in answer["targets"] for r in t["rows"] if r["chosen"]]
    if gate is not None and not all(r["mape"] <= gate for r in chosen):
        raise typer.Exit(1)


def _named(target: dict[str, Any]) -> str:
    return f"{target['target']}{' (simulated)' if target['emulation'] == 'simulated' else ''}"


def _figure(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"
