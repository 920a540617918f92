"""`edgecost fit`: a predictor from a table."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import ResultsOption, TargetOption
from edgecost.cli.output import JsonOption, emit_json

__all__ = ["fit"]


def fit(
    target: str = TargetOption,
    cost: str = typer.Option("latency", "--cost", help="What is predicted: latency or energy."),
    out: Path | None = typer.Option(
        None, "--out", help="Where to write it [default: RESULTS/predictors/TARGET.json, or TARGET-energy.json]."
    ),
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Fit the network-level predictor of a target and save it as JSON.

    Example: edgecost fit --target ort-fp32-t1/onnxruntime-fp32-t1
    """
    from edgecost.stages.costs import fit_and_save
    from edgecost.stages.energy_costs import fit_and_save_energy, unit_of

    energy = unit_of(cost) == "mj"
    saved = (fit_and_save_energy if energy else fit_and_save)(read_table(results), target, results, out)
    if json_:
        emit_json(saved)
    else:
        typer.echo(saved["sentence"])
