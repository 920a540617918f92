"""`edgecost study hw-evrsnas`: the search on devices, budgets and seeds, beside controls, judged by regret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.output import JsonOption, emit_json, progress, say, show_table
from profiler.errors import ConfigError

__all__ = ["hw_evrsnas"]


def hw_evrsnas(
    device: list[str] = typer.Option([], "--device", help="Of HW-NAS-Bench; may be repeated [default: all]."),
    dataset: list[str] = typer.Option(["cifar10"], "--dataset", help="cifar10, cifar100 or ImageNet16-120."),
    cost: str = typer.Option("latency", "--cost", help="What budgets are of: latency, energy, or both."),
    scores: Path | None = typer.Option(
        None, "--scores", help="A store of RMI scores, or a table with a column arch_str; without, MACs are the score."
    ),
    score: str = typer.Option(
        "", "--score", help="The score searched by; several joined by + for their mean rank [default: phi+macs]."
    ),
    seeds: int = typer.Option(3, "--seeds", min=1, help="How many seeds."),
    population: int = typer.Option(20, "--population", help="Architectures a generation."),
    generations: int = typer.Option(100, "--generations", help="Generations."),
    penalty: float = typer.Option(1.0, "--penalty", help="Lambda, the weight of the penalty."),
    controls: bool = typer.Option(True, "--controls/--no-controls", help="The controls, too."),
    table: Path | None = typer.Option(None, "--table", help="What `table import hw-nas-bench` wrote."),
    target: list[str] = typer.Option([], "--target", "-t", help="A target of one's own table; may be repeated."),
    results: Path | None = typer.Option(None, "--results", help="The folder of that table."),
    data: Path | None = typer.Option(None, "--data", help="Measured public data [default: EDGECOST_DATA]."),
    out: Path = typer.Option(Path("results/hw-evrsnas"), "--out", help="Folder of the study."),
    json_: bool = JsonOption,
) -> None:
    """HW-EvRSNAS on NAS-Bench-201, within the budgets of every device, and its regret against the exhaustive optimum.

    Example: edgecost study hw-evrsnas --scores results/hw-evrsnas/scores --seeds 3
    """
    from edgecost.stages.evrsnas_study import EvrsnasStudy, data_folder, run_study

    if cost not in ("latency", "energy", "both"):
        raise ConfigError(f"--cost is latency, energy or both, not {cost!r}")
    options = EvrsnasStudy(
        data_folder(data), tuple(device), tuple(dataset), cost, scores, score,  # type: ignore[arg-type]
        seeds, population, generations, penalty, controls, results, tuple(target), table,
    )  # fmt: skip
    with progress("study", quiet=json_) as bar:
        answer = run_study(options, out, bar)
    if json_:
        emit_json({name: value for name, value in answer.items() if name != "rows"})
        return
    _show(answer)
    say(f"written to {answer['file']}")


def _show(answer: dict[str, Any]) -> None:
    def figure(value: float | None, digits: int = 2) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    rows = [
        (
            s["dataset"], s["method"], figure(s["regret"]), figure(s["worst_regret"]), s["worst"] or "–",
            f"{s['infeasible']} of {s['answers']}", figure(s["evaluations"], 0),
        )
        for s in answer["summary"]
    ]  # fmt: skip
    columns = ("data set", "method", "regret", "worst", "where", "infeasible", "evaluations")
    show_table(answer["sentence"], columns, rows, right=(2, 3, 5, 6))
