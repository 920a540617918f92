"""`edgecost validate`: how far predictors are off on networks they never saw."""

from __future__ import annotations

from pathlib import Path

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
    json_: bool = JsonOption,
) -> None:
    """Closure: held-out networks measured end to end against every cost model, side by side.

    Example: edgecost validate --results results/quickstart
    """
    from edgecost.stages.costs import closure

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


def _figure(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"
