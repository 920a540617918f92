"""`edgecost table build`: a published table's form filled for one's own board."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import (
    DevicesOption,
    EffortOption,
    PatienceOption,
    ResultsOption,
    RoundsOption,
    SeedOption,
    TargetOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress, say

__all__ = ["build"]


def build(
    format_: str = typer.Option(..., "--format", help="ofa, proxylessnas or hwnasbench."),
    target: str = TargetOption,
    resolution: list[int] = typer.Option(
        [], "--resolution", help="Input size in pixels; several times for several tables [default: the published ones]."
    ),
    width: float | None = typer.Option(None, "--width", help="Multiplies all widths [default: the published tables']."),
    classes: int = typer.Option(1000, "--classes", help="Of the classifier."),
    out: Path | None = typer.Option(None, "--out", help="Folder of the files [default: RESULTS/tables/FORMAT@DEVICE]."),
    partial: bool = typer.Option(False, "--partial", help="Write tables that lack layers too, which they then name."),
    effort: str = EffortOption,
    rounds: int | None = RoundsOption,
    patience_s: float = PatienceOption,
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Measure every layer of a published latency table on a board, and write the table in that form.

    Interrupted, the same command continues and measures nothing twice.
    Example: edgecost table build --format ofa --target rpi5/onnxruntime-fp32-t1
    """
    from edgecost.stages.planning import campaign_limits, measure_config
    from edgecost.stages.table_build import build_table, plan_layers
    from edgecost.stages.targets import all_devices, find_target

    limits = campaign_limits(effort, patience_s)
    plan = plan_layers(format_, resolution, width, classes)
    device, chosen = find_target(all_devices(devices), target)
    config = measure_config(effort, rounds=rounds, seed=seed)
    folder = out or results / "tables" / f"{format_}@{device.id}"
    with progress("table", quiet=json_) as bar:
        found = build_table(device, chosen, plan, config, results, folder, partial, bar, limits)
    if json_:
        emit_json({name: value for name, value in found.items() if name != "sentences"})
    else:
        for sentence in found["sentences"]:
            typer.echo(sentence)
    if not found["files"]:
        say("edgecost: the board was lost and nothing is written; the same command continues")
        raise typer.Exit(2)
    if found["missing"]:
        named = "; ".join(found["missing"][:2])
        say(f"edgecost: {len(found['missing'])} layers have no figure and are in no file ({named}); measure longer")
        raise typer.Exit(2)
