"""`edgecost rmi`: scores by representation mutual information, computed once and kept."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import ImagesOption, SeedOption, SupernetOption
from edgecost.cli.output import JsonOption, emit_json, progress
from profiler.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(help="Scores by representation mutual information.", no_args_is_help=True, rich_markup_mode=None)

StoreOption = typer.Option(Path("results/rmi-store"), "--store", help="The folder of the score store.")


@app.callback()
def rmi() -> None:
    """Scores by representation mutual information."""


@app.command()
def score(
    space: str = typer.Option("nasbench201", "--space", help="The search space."),
    supernet: str | None = SupernetOption,
    sample: int | None = typer.Option(None, "--sample", help="Score so many architectures, drawn by the seed."),
    all_: bool = typer.Option(False, "--all", help="Score every isomorphism class of the space."),
    preset: str = typer.Option("quick", "--preset", help="paper, quick, reduced, reduced16 or untrained."),
    steps: int | None = typer.Option(None, "--steps", help="Training steps [default: the preset's]."),
    networks: int | None = typer.Option(
        None, "--networks", help="Fresh networks an architecture [default: the preset's]."
    ),
    balanced: bool = typer.Option(False, "--balanced", help="Choose the batch class by class."),
    data: Path | None = ImagesOption,
    reference: str | None = typer.Option(
        None, "--reference", help="An .npz of ResNet-20's weights, trained, or package.module:function."
    ),
    store: Path = StoreOption,
    engine: str = typer.Option("local", "--engine", help="local, dask://HOST:PORT, ray or ray://HOST:PORT."),
    jobs: int | None = typer.Option(None, "--jobs", help="Processes at once [default: all cores, or all workers]."),
    in_flight: int = typer.Option(1, "--in-flight", help="Candidates trained together in a process; for a GPU."),
    portion: int = typer.Option(4, "--portion", help="Networks trained between two times that they are stored."),
    device: str = typer.Option("cpu", "--device", help="What torch computes on: cpu or cuda."),
    seed: int = SeedOption,
    sample_seed: int | None = typer.Option(
        None, "--sample-seed", help="Seed of the sample alone, to score the same architectures with another --seed."
    ),
    json_: bool = JsonOption,
) -> None:
    """Fill the score store; interrupted, or asked for more, the same command continues.

    Example: edgecost rmi score --space nasbench201 --sample 300 --preset reduced --store results/rmi-store
    """
    from edgecost.stages.rmi import RmiOptions, fill_store

    if all_ == (sample is not None):
        raise ConfigError("say how much to score: --sample N or --all")
    options = RmiOptions(
        store, space, supernet, sample, preset, steps, networks, balanced, data, reference, engine, jobs, in_flight,
        portion, device, seed, sample_seed,
    )  # fmt: skip
    with progress("rmi", quiet=json_) as bar:
        answer = fill_store(options, bar)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])


@app.command()
def merge(
    stores: list[Path] = typer.Argument(..., metavar="STORE...", help="Folders of score stores."),
    into: Path = typer.Option(..., "--into", help="The store that takes their rows; it need not exist."),
    json_: bool = JsonOption,
) -> None:
    """Bring score stores of several machines together.

    Example: edgecost rmi merge a/rmi-store b/rmi-store --into results/rmi-store
    """
    from edgecost.stages.rmi import merge_stores

    answer = merge_stores(stores, into)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
