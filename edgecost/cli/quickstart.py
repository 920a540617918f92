"""`edgecost quickstart`: the whole idea on this machine, in one command."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import ImagesOption, SeedOption
from edgecost.cli.output import JsonOption, emit_json, progress, say

__all__ = ["quickstart"]


def quickstart(
    out: Path = typer.Option(Path("results/quickstart"), "--out", help="Folder for runs, tables and the report."),
    data: Path | None = ImagesOption,
    seed: int = SeedOption,
    small: bool = typer.Option(False, "--small", help="Two boards, few networks, short searches: five minutes."),
    json_: bool = JsonOption,
) -> None:
    """Profile six loopback boards, fit and validate a predictor, search by evolution and by a supernet, verify, report.

    Interrupted, the same command continues. Example: edgecost quickstart --out results/quickstart
    """
    from edgecost.quickstart import QuickstartOptions, run_quickstart

    with progress("quickstart", quiet=json_) as bar:
        summary = run_quickstart(QuickstartOptions(out=out, data=data, seed=seed, small=small), bar)
    if json_:
        emit_json(summary)
    else:
        for line in summary["lines"]:
            typer.echo(line)
        say(f"report: {summary['report']}")
    if not summary["winner"]["within_budget"]:
        raise typer.Exit(1)
