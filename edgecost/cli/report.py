"""`edgecost report`: one offline HTML file from a results folder."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import ResultsOption
from edgecost.cli.output import JsonOption, emit_json

__all__ = ["report"]


def report(
    results: Path = ResultsOption,
    out: Path | None = typer.Option(None, "--out", help="The HTML file [default: RESULTS/report.html]."),
    json_: bool = JsonOption,
) -> None:
    """Write the report of all runs, studies and verifications below a results folder.

    Of a folder that holds no runs but validations of predictors, the report is a page of these.
    Example: edgecost report --results results/quickstart
    """
    from edgecost.report.build import write_report

    path = write_report(results, out or results / "report.html")
    if json_:
        emit_json({"report": str(path)})
    else:
        typer.echo(f"report: {path}")
