"""`edgecost search trained`: a dear score of the few architectures that a cheap one nominates."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import SeedOption
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["trained"]


def trained(
    out: Path = typer.Option(..., "--out", help="The .parquet file; one that is there is gone on with."),
    score: str = typer.Option("macs", "--score", help="The score that nominates, as of `study hw-evrsnas`."),
    count: int = typer.Option(8, "--count", min=1, help="Nominees a budget."),
    scores: list[Path] = typer.Option([], "--scores", help="Where that score is found; may be repeated."),
    device: list[str] = typer.Option([], "--device", help="Of HW-NAS-Bench; may be repeated [default: all]."),
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="Passes over the images [default: 6]."),
    data: Path | None = typer.Option(None, "--data", help="Public costs and CIFAR-10 images [default: EDGECOST_DATA]."),
    jobs: int = typer.Option(1, "--jobs", min=1, help="Processes at once."),
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Train the best few architectures of every budget briefly: how low the training loss gets, and how many held-out
    training images are told apart.

    Given to `study hw-evrsnas --scores`, the file decides among a search's finalists. Interrupted, or asked for more,
    the same command goes on.
    Example: edgecost search trained --score macs --count 8 --out results/hw-evrsnas/trained.parquet
    """
    from edgecost.stages.brief import BriefOptions, train_nominees
    from edgecost.stages.evrsnas_study import data_folder

    options = BriefOptions(out, data_folder(data), score, count, tuple(scores), tuple(device), epochs, jobs, seed)
    with progress("training", quiet=json_) as bar:
        answer = train_nominees(options, bar)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
