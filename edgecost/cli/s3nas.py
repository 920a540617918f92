"""`edgecost search s3nas`: a supernet searched within a budget, and all that follows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgecost.cli.demand import boards, budgets_of, pricing_of, settings_of
from edgecost.cli.options import (
    BudgetMjOption,
    BudgetMsOption,
    CostOption,
    CostsOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    EffortOption,
    ResizeOption,
    ResultsOption,
    ScheduleOption,
    SeedOption,
    TargetsOption,
    TrainStepsOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress, say
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from edgecost.stages.s3nas.demand import Budgets
    from edgecost.stages.s3nas.search import SearchOptions

__all__ = ["s3nas"]

SHARE = 0.5


def s3nas(
    target: list[str] = TargetsOption,
    budget_ms: list[float] = BudgetMsOption,
    budget_mj: list[float] = BudgetMjOption,
    search_budget: list[float] = typer.Option(
        [],
        "--search-budget-ms",
        "--search-budget",
        help="The lower budget of the search; one a target.",
    ),
    search_share: float | None = typer.Option(
        None, "--search-share", help="The search's budget as a share of the final one [default: 0.5]."
    ),
    supernet: str = typer.Option("graded32", "--supernet", help="A bundled supernet's name or a YAML file."),
    data: str = DataOption,
    resize: int | None = ResizeOption,
    cost: str = CostOption,
    costs: str = CostsOption,
    preset: str = typer.Option("reduced", "--preset", help="How it is searched: reduced or published."),
    phase1_steps: int | None = typer.Option(None, "--phase1-steps", help="Steps without latency term."),
    phase2_steps: int | None = typer.Option(None, "--phase2-steps", help="Steps with it."),
    setting: list[str] = typer.Option(
        [], "--set", metavar="NAME=VALUE", help="Another setting of the search, such as weight=5 or form=log."
    ),
    all_: bool = typer.Option(False, "--all", help="Scale, post-process, train, export and measure what is found too."),
    measure: bool = typer.Option(True, "--measure/--no-measure", help="With --all: measure networks on the boards."),
    removed: str = typer.Option("1,0.5,0", "--removed", help="With --all: as of `edgecost postprocess`."),
    seeds: int = typer.Option(1, "--seeds", help="With --all: trainings of every option."),
    schedule: str = ScheduleOption,
    train_steps: int | None = TrainStepsOption,
    effort: str = EffortOption,
    device: str = DeviceOption,
    out: Path | None = typer.Option(
        None, "--out", help="Folder of the run [default: RESULTS/s3nas/SUPERNET-TARGET-BUDGET-sSEED]."
    ),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """S3NAS: a supernet trained with a latency term that vanishes once its budget is met, from measured blocks.

    Interrupted, the same command continues. The blocks are measured by
    `edgecost profile --target T --space mixconv --supernet S --blocks`.
    Example: edgecost search s3nas --target ort-fp32-t1 --budget-ms 6 --supernet tiny --data digits
    """
    from edgecost.stages.s3nas.search import SearchOptions, run_folder
    from edgecost.stages.s3nas.train import TrainOptions

    final = budgets_of(target, cost, budget_ms, budget_mj)
    training = TrainOptions(data, resize, schedule, train_steps, seed, device)
    options = SearchOptions(
        _search_budgets(final, search_budget, search_share),
        pricing_of(results, costs, cost, supernet),
        supernet,
        training,
        preset,
        _steps(phase1_steps, phase2_steps),
        settings_of(setting),
    )
    folder = out or run_folder(results, options, final)
    if all_:
        answer = _all(options, final, folder, (removed, seeds, measure, effort, devices, results), json_)
    else:
        answer = _search(options, folder, json_)
    _finish(answer, json_, folder)


def _search(options: SearchOptions, folder: Path, quiet: bool) -> dict[str, Any]:
    from edgecost.stages.s3nas.search import search_supernet

    with progress("search", quiet=quiet, detailed=True) as bar:
        return search_supernet(options, folder, bar)


def _all(
    options: SearchOptions,
    final: Budgets,
    folder: Path,
    rest: tuple[str, int, bool, str, Path | None, Path],
    quiet: bool,
) -> dict[str, Any]:
    from edgecost.cli.postprocess import removed_shares
    from edgecost.stages.s3nas.whole import AllOptions, run_all
    from edgecost.stages.targets import all_devices, find_target

    removed, seeds, measuring, effort, devices, results = rest
    everything = AllOptions(options, final, seeds, removed_shares(removed))
    with progress("s3nas", quiet=quiet, detailed=True) as bar:
        measure = boards(devices, effort, results, bar, energy=final.unit == "mj") if measuring else None
        chosen = [find_target(all_devices(devices), name)[1] for name in final.targets] if measuring else []
        return run_all(everything, folder, chosen, measure, bar)


def _finish(answer: dict[str, Any], json_: bool, folder: Path) -> None:
    from edgecost.stages.s3nas.search import first_process

    if not first_process():
        return
    if json_:
        emit_json(answer)
    elif answer.get("feasible", True):
        typer.echo(f"{answer['sentence']}; {folder}")
    if not answer.get("feasible", True):
        say(f"edgecost: {answer['sentence']}; the run is in {folder}")
        raise typer.Exit(2)
    if not answer.get("within_budget", True):
        raise typer.Exit(1)


def _search_budgets(final: Budgets, given: Sequence[float], share: float | None) -> Budgets:
    """The budgets of the search: as given, or a share of the final ones.

    Raises:
        ConfigError: for both, or a share that is none.
    """
    from edgecost.stages.s3nas.demand import Budgets

    if given:
        if share is not None:
            raise ConfigError("--search-budget-ms and --search-share both say what the search may spend; give one")
        return Budgets(final.targets, tuple(given), final.unit)
    share = SHARE if share is None else share
    if not 0 < share <= 1:
        raise ConfigError(f"--search-share must be above 0 and at most 1, not {share:g}")
    return final.times(share)


def _steps(phase1: int | None, phase2: int | None) -> tuple[int, int] | None:
    if phase1 is None and phase2 is None:
        return None
    if phase1 is None or phase2 is None:
        raise ConfigError("--phase1-steps and --phase2-steps belong together; give both")
    return phase1, phase2
