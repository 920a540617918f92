"""`edgecost postprocess`: h-swish and squeeze-and-excitation where they pay."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.demand import boards, budgets_of, pricing_of
from edgecost.cli.options import (
    BudgetMjOption,
    BudgetMsOption,
    CostOption,
    CostsOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    DivisorOption,
    EffortOption,
    MeasureOption,
    NetworkArgument,
    OutOption,
    ResizeOption,
    ResolutionStepOption,
    ResultsOption,
    ScheduleOption,
    SeedOption,
    TargetsOption,
    TrainStepsOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress, say, show_table
from profiler.errors import ConfigError

__all__ = ["postprocess", "removed_shares", "show_options"]


def removed_shares(text: str) -> tuple[float, ...]:
    """Shares such as "1,0.5,0".

    Raises:
        ConfigError: where they are none.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--removed is shares between 0 and 1 with commas, such as 1,0.5,0, not {text!r}") from None
    if len(set(found)) < len(found):
        raise ConfigError(f"--removed names a share twice: {text}")
    return found


def postprocess(
    network: Path = NetworkArgument,
    target: list[str] = TargetsOption,
    budget_ms: list[float] = BudgetMsOption,
    budget_mj: list[float] = BudgetMjOption,
    data: str = DataOption,
    resize: int | None = ResizeOption,
    cost: str = CostOption,
    costs: str = CostsOption,
    removed: str = typer.Option(
        "1,0.5,0", "--removed", help="Shares of blocks without squeeze-and-excitation that are tried."
    ),
    seeds: int = typer.Option(1, "--seeds", help="Trainings of every option."),
    divisor: int | None = DivisorOption,
    resolution_step: int = ResolutionStepOption,
    schedule: str = ScheduleOption,
    train_steps: int | None = TrainStepsOption,
    measure: bool = MeasureOption,
    effort: str = EffortOption,
    device: str = DeviceOption,
    out: Path | None = OutOption,
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Try h-swish and squeeze-and-excitation at one budget, train all alike, and keep what beats spending it on phi.

    Example: edgecost postprocess results/s3nas/RUN/network.yaml --target ort-fp32-t1 --budget-ms 6 --data digits
    """
    from edgecost.stages.s3nas.post import PostOptions, post_process_file
    from edgecost.stages.s3nas.train import TrainOptions

    budgets = budgets_of(target, cost, budget_ms, budget_mj)
    training = TrainOptions(data, resize, schedule, train_steps, seed, device)
    options = PostOptions(
        budgets, pricing_of(results, costs, cost), training, seeds, removed_shares(removed), divisor, resolution_step
    )
    with progress("postprocess", quiet=json_) as bar:
        measuring = boards(devices, effort, results, bar, energy=cost == "energy") if measure else None
        answer = post_process_file(network, options, out, measuring, bar)
    if json_:
        emit_json(answer)
        return
    show_options(answer)
    typer.echo(f"{answer['sentence']}; {answer['final']}")
    say(f"trained on {answer['note']}, {answer['schedule']}: this says which option learns better, not what it reaches")


def show_options(answer: dict[str, object]) -> None:
    """The options as a table."""
    options = answer["options"]
    assert isinstance(options, list), "a stage's own file"
    rows = [
        [
            o["option"],
            f"{o['phi']:.2f}",
            f"{o['predicted']:.4g}",
            "–" if o["measured"] is None else f"{o['measured']:.4g}",
            f"{o['params']:,}",
            f"{o['macs']:,}",
            f"{100 * o['accuracy']:.2f}",
            o["why"],
        ]
        for o in options
    ]
    unit = str(answer["unit"])
    columns = ("option", "phi", f"predicted {unit}", f"measured {unit}", "parameters", "MACs", "accuracy %", "verdict")
    show_table("", columns, rows, right=(1, 2, 3, 4, 5, 6))
