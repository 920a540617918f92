"""`edgecost search`: the best network within a budget."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.brief import trained
from edgecost.cli.distilled import distilled
from edgecost.cli.options import CostOption, ResultsOption, SeedOption
from edgecost.cli.output import JsonOption, emit_json, progress, say
from edgecost.cli.s3nas import s3nas
from edgecost.cli.scores import scores as scores_file

__all__ = ["app"]

app = typer.Typer(help="Search for networks within a cost budget.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def searches() -> None:
    """Search for networks within a cost budget."""


@app.command()
def evrsnas(
    target: list[str] = typer.Option(
        ..., "--target", "-t", help="A target or device id; several times for a network that meets a budget on each."
    ),
    cost: str = CostOption,
    budget_ms: list[float] = typer.Option(
        [], "--budget-ms", help="The latency that the network must not exceed; one for all targets or one each."
    ),
    budget_mj: list[float] = typer.Option(
        [], "--budget-mj", help="With --cost energy: the energy of a run that it must not exceed, above rest."
    ),
    data: Path | None = typer.Option(
        None, "--data", help="CIFAR-10 images (parquet or folder); bundled digits otherwise."
    ),
    space: str = typer.Option("nasbench201", "--space", help="The search space: nasbench201 or mixconv."),
    supernet: str | None = typer.Option(
        None, "--supernet", help="For mixconv: a bundled supernet's name or a YAML file [default: graded32]."
    ),
    preset: str = typer.Option(
        "quick", "--preset", help="How phi is computed: quick, paper, reduced, reduced16 or untrained."
    ),
    population: int = typer.Option(20, "--population", help="Architectures a generation."),
    generations: int = typer.Option(100, "--generations", help="Generations."),
    pareto: bool = typer.Option(False, "--pareto", help="The whole front of score against cost in one run (NSGA-II)."),
    probability: float | None = typer.Option(
        None, "--probability", help="The budget is to hold with this probability, by the predictor's interval."
    ),
    bound: str = typer.Option("normal", "--bound", help="With --probability: normal or conformal."),
    proxy: str | None = typer.Option(
        None,
        "--proxy",
        help="The score: phi, macs, params, synflow, naswot, jacov, zen; joined by + for mean ranks "
        "[default: phi; of a file the best there is].",
    ),
    scores: Path | None = typer.Option(
        None,
        "--scores",
        help="The file of `search distilled`, which knows scores beforehand; or a store that `rmi "
        "score` filled: phi comes out of it, and what it lacks is added.",
    ),
    reference: str | None = typer.Option(
        None, "--reference", help="What phi compares with, as `rmi score` takes it [default: with --scores as there]."
    ),
    score_seed: int | None = typer.Option(
        None, "--score-seed", help="The seed that scores are drawn by; one for several searches [default: --seed]."
    ),
    finalists: int = typer.Option(0, "--finalists", help="Train the best so many on training images and rank them."),
    finalist_epochs: int = typer.Option(5, "--finalist-epochs", help="With --finalists: epochs of their training."),
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
    from edgecost.stages.beyond import BeyondOptions, search_beyond
    from edgecost.stages.energy_costs import budgets_of
    from edgecost.stages.searching import search_evrsnas

    budgets, unit = budgets_of(cost, budget_ms, budget_mj)
    asked = BeyondOptions(
        tuple(target), budgets, pareto, probability, bound, proxy, finalists, finalist_epochs,  # type: ignore[arg-type]
        scores, reference, score_seed,
        data=data, preset=preset, population=population, generations=generations, seed=seed, space=space,
        supernet=supernet, unit=unit,
    )  # fmt: skip
    with progress("search", quiet=json_) as bar:
        plain = asked.as_plain()
        if plain is not None:
            answer = search_evrsnas(plain, results=results, out=out, progress=bar)
        else:
            answer = search_beyond(asked, results=results, out=out, progress=bar)
    if json_:
        emit_json(answer)
    elif answer["feasible"]:
        typer.echo(answer["sentence"])
    if not answer["feasible"]:
        say(f"edgecost: {answer['sentence']}; the study is in {answer['file']}")
        raise typer.Exit(2)


app.command("s3nas")(s3nas)
app.command("scores")(scores_file)
app.command("distilled")(distilled)
app.command("trained")(trained)
