"""`edgecost verify`: measure a search's winner on its board."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import DevicesOption, ResultsOption
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["verify"]


def verify(
    study: Path = typer.Argument(
        ..., help="The study file that `edgecost search` wrote, a stage's file of S3NAS, or the folder of its run."
    ),
    target: str | None = typer.Option(
        None, "--target", "-t", help="Of a search on several targets: which one to measure on."
    ),
    effort: str = typer.Option("record", "--effort", help="record (the full protocol) or quick."),
    budget_ms: float | None = typer.Option(
        None, "--budget-ms", help="Hold it against this instead of the study's budget."
    ),
    budget_mj: float | None = typer.Option(
        None, "--budget-mj", help="The same, where the study's budget is of energy."
    ),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Measure the winner of a search end to end on its target and hold it against the budget.

    Example: edgecost verify results/search/evrsnas.json
    """
    from edgecost.stages.s3nas.verify import verifiable, verify_stage
    from edgecost.stages.targets import all_devices
    from edgecost.stages.verification import verify_study
    from profiler.errors import ConfigError

    with progress("verify", quiet=json_) as bar:
        stage = verifiable(study)
        if stage is not None:
            if target is not None:
                raise ConfigError("a network of S3NAS is measured on all its targets: leave --target out")
            answer = verify_stage(stage, all_devices(devices), effort, results, bar, budget_ms, budget_mj)
        else:
            answer = verify_study(study, all_devices(devices), effort, results, bar, budget_ms, budget_mj, target)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
    if not answer["within_budget"]:
        raise typer.Exit(1)
