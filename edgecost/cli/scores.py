"""`edgecost search scores`: training-free scores of a space as a file."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import ImagesOption, SeedOption, SupernetOption
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["scores"]


def scores(
    proxy: list[str] = typer.Option(
        ..., "--proxy", help="macs, params, synflow, naswot, jacov, zen or an installed one; several times for several."
    ),
    out: Path = typer.Option(..., "--out", help="The .parquet file; one that is there is gone on with."),
    space: str = typer.Option("nasbench201", "--space", help="The search space."),
    supernet: str | None = SupernetOption,
    sample: int | None = typer.Option(None, "--sample", help="So many classes drawn by the seed [default: all]."),
    data: Path | None = ImagesOption,
    jobs: int = typer.Option(1, "--jobs", help="Processes at once."),
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Score the isomorphism classes of a space without training.

    Example: edgecost search scores --proxy naswot --proxy jacov --out results/proxies.parquet
    """
    from edgecost.stages.scores import score_space

    with progress("scores", quiet=json_) as bar:
        answer = score_space(tuple(proxy), out, space, supernet, sample, data, jobs, seed, bar)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
