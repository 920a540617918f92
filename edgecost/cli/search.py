"""`edgecost search`: the best network within a budget."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import CostOption, ResultsOption, SeedOption, TargetOption
from edgecost.cli.output import JsonOption, emit_json, progress, say
from edgecost.cli.s3nas import s3nas

__all__ = ["app"]

app = typer.Typer(help="Search for networks within a cost budget.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def searches() -> None:
    """Search for networks within a cost budget."""


@app.command()
def evrsnas(
    target: str = TargetOption,
    cost: str = CostOption,
    budget_ms: float | None = typer.Option(None, "--budget-ms", help="The latency that the network must not exceed."),
    budget_mj: float | None = typer.Option(
        None, "--budget-mj", help="With --cost energy: the energy of a run that it must not exceed, above rest."
    ),
    data: Path | None = typer.Option(
        None, "--data", help="CIFAR-10 images (parquet or folder); bundled digits otherwise."
    ),
    space: str = typer.Option("nasbench201", "--space", help="The search space: nasbench201 or mixconv."),
    supernet: str | None = typer.Option(
        None, "--supernet", help="For mixconv: a bundled supernet's name or a YAML file [default: graded32]."
    ),
    preset: str = typer.Option("quick", "--preset", help="How candidates are scored: quick or paper."),
    population: int = typer.Option(20, "--population", help="Architectures a generation."),
    generations: int = typer.Option(100, "--generations", help="Generations."),
    out: Path | None = typer.Option(
        None, "--out", help="The study's file [default: RESULTS/search/evrsnas-TARGET-BUDGET.json]."
    ),
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """HW-EvRSNAS: evolution under a budget of latency or energy, scored by representation mutual information.

    Example: edgecost search evrsnas --target ort-fp32-t1 --budget-ms 6 --results results/quickstart
    """
    from edgecost.stages.energy_costs import budget_of
    from edgecost.stages.searching import SearchOptions, search_evrsnas

    budget, unit = budget_of(cost, budget_ms, budget_mj)
    options = SearchOptions(target, budget, data, preset, population, generations, seed, space, supernet, unit)
    with progress("search", quiet=json_) as bar:
        answer = search_evrsnas(options, results=results, out=out, progress=bar)
    if json_:
        emit_json(answer)
    elif answer["feasible"]:
        typer.echo(answer["sentence"])
    if not answer["feasible"]:
        say(f"edgecost: {answer['sentence']}; the study is in {answer['file']}")
        raise typer.Exit(2)


app.command("s3nas")(s3nas)
