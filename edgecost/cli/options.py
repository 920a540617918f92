"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["DevicesOption", "ResultsOption", "SeedOption", "TargetOption"]

DevicesOption = typer.Option(
    None,
    "--devices",
    help="The file that lists the boards [default: devices.yaml, and the loopback fleet's when it is up].",
)
ResultsOption = typer.Option(Path("results"), "--results", help="Folder of the runs, tables and reports.")
TargetOption = typer.Option(..., "--target", "-t", help="A target or device id; see `edgecost devices list`.")
SeedOption = typer.Option(0, "--seed", help="Seed of everything random; it is recorded.")
