"""`edgecost scale`: the largest network of its kind within a budget."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.demand import boards, budgets_of, pricing_of
from edgecost.cli.options import (
    BudgetMjOption,
    BudgetMsOption,
    CostOption,
    CostsOption,
    DevicesOption,
    DivisorOption,
    EffortOption,
    MeasureOption,
    NetworkArgument,
    OutOption,
    ResolutionStepOption,
    ResultsOption,
    TargetsOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["scale"]


def scale(
    network: Path = NetworkArgument,
    target: list[str] = TargetsOption,
    budget_ms: list[float] = BudgetMsOption,
    budget_mj: list[float] = BudgetMjOption,
    cost: str = CostOption,
    costs: str = CostsOption,
    post: str = typer.Option(
        "none", "--post", help="Leave room for post-processing to come: none, hswish, se or se+hswish."
    ),
    divisor: int | None = DivisorOption,
    resolution_step: int = ResolutionStepOption,
    measure: bool = MeasureOption,
    effort: str = EffortOption,
    out: Path | None = OutOption,
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Make a network deeper, wider and its images larger, as far as a budget goes; writes scaled.yaml.

    Example: edgecost scale results/s3nas/RUN/network.yaml --target ort-fp32-t1 --budget-ms 6 --measure
    """
    from edgecost.stages.s3nas.scale import ScaleOptions, scale_file

    budgets = budgets_of(target, cost, budget_ms, budget_mj)
    options = ScaleOptions(budgets, pricing_of(results, costs, cost), post, divisor, resolution_step)
    with progress("scale", quiet=json_) as bar:
        answer = scale_file(
            network, options, out, boards(devices, effort, results, bar, energy=cost == "energy") if measure else None
        )
    if json_:
        emit_json(answer)
    else:
        typer.echo(f"{answer['sentence']}; {answer['scaled']}")
    if any(row["measured"] is not None and row["measured"] > row["budget"] for row in answer["targets"]):
        raise typer.Exit(1)
