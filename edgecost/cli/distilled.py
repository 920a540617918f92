"""`edgecost search distilled`: a sample of a space, by how well it learns what the reference says."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import SeedOption
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["distilled"]


def distilled(
    out: Path = typer.Option(..., "--out", help="The .parquet file; one that is there is gone on with."),
    sample: int = typer.Option(300, "--sample", min=1, help="Classes of NAS-Bench-201, drawn by the seed."),
    data: str = typer.Option("digits", "--data", help="CIFAR-10 images: a file or folder; or digits."),
    reference: str | None = typer.Option(
        None, "--reference", help="A file of ResNet-20's weights, trained, or package.module:function."
    ),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Batches seen [default: 200]."),
    jobs: int = typer.Option(1, "--jobs", min=1, help="Processes at once."),
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Train a sample of architectures briefly to say what a trained reference says of pictures, and score each by how
    near it comes on pictures held out.

    Given to `study hw-evrsnas --scores`, the file makes the score that is searched by: a model fitted to the sample.
    Interrupted, or asked for more, the same command goes on.
    Example: edgecost search distilled --data DATA --out results/hw-evrsnas/distilled.parquet
    """
    from edgecost.stages.distilling import DistilOptions, distil_sample

    with progress("distilling", quiet=json_) as bar:
        answer = distil_sample(DistilOptions(out, data, sample, reference, steps, jobs, seed), bar)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
