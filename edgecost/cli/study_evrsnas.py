"""`edgecost study hw-evrsnas`: the search on devices, budgets and seeds, beside controls, judged by regret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.options import DevicesOption, EffortOption
from edgecost.cli.output import Bar, JsonOption, emit_json, progress, say, show_table
from profiler.errors import ConfigError

__all__ = ["hw_evrsnas"]

TABLES = ("rows", "scatter", "fronts", "architectures")
"""What a program finds in the file, and nobody wants printed."""


def hw_evrsnas(
    device: list[str] = typer.Option([], "--device", help="Of HW-NAS-Bench; may be repeated [default: all]."),
    dataset: list[str] = typer.Option(
        [], "--dataset", help="cifar10, cifar100 or ImageNet16-120; may be repeated [default: all that have costs]."
    ),
    cost: str = typer.Option("latency", "--cost", help="What budgets are of: latency, energy, or both."),
    scores: list[Path] = typer.Option(
        [], "--scores",
        help="A store of RMI scores, or a table with a column arch_str; may be repeated. Without, MACs are the score.",
    ),
    score: str = typer.Option(
        "", "--score",
        help="The score searched by; several joined by + for their mean rank [default: distilled_fit+live_macs, "
        "phi_fit+live_macs, phi+macs or macs, the first that --scores is enough for].",
    ),
    final_score: str = typer.Option("", "--final-score", help="The score that finalists are ranked by, named alike."),
    finalists: int = typer.Option(0, "--finalists", min=0, help="How many of the best of a search are ranked anew."),
    seeds: int = typer.Option(3, "--seeds", min=1, help="How many seeds."),
    population: int = typer.Option(20, "--population", help="Architectures a generation."),
    generations: int = typer.Option(100, "--generations", help="Generations."),
    mutation: float | None = typer.Option(
        None, "--mutation", min=0.0, max=1.0, help="How often a row of a child is drawn anew [default: 0.3, fbnet 0.1]."
    ),
    penalty: float = typer.Option(1.0, "--penalty", help="Lambda, the weight of the penalty."),
    penalty_form: str = typer.Option("relative", "--penalty-form", help="relative, absolute or two-sided."),
    controls: bool = typer.Option(True, "--controls/--no-controls", help="The controls, too."),
    ablations: bool = typer.Option(True, "--ablations/--no-ablations", help="Other penalties, steps, references too."),
    table: Path | None = typer.Option(None, "--table", help="What `table import hw-nas-bench` wrote."),
    target: list[str] = typer.Option(
        [], "--target", "-t", help="A target of one's own table, in place of HW-NAS-Bench's devices; may be repeated."
    ),
    results: Path | None = typer.Option(None, "--results", help="The folder of that table."),
    measure: bool = typer.Option(False, "--measure", help="Measure the winners on these targets."),
    effort: str = EffortOption,
    devices: Path | None = DevicesOption,
    space: str = typer.Option("nasbench201", "--space", help="nasbench201, or fbnet, which has costs and no accuracy."),
    preset: str | None = typer.Option(
        None, "--preset", help="For fbnet: how phi is computed [default: untrained]."
    ),
    networks: int | None = typer.Option(
        None, "--networks", min=1, help="For fbnet: fresh networks an architecture [default: the preset's]."
    ),
    quantile: list[float] = typer.Option(
        [], "--quantile",
        help="For fbnet: a budget that this share of random networks meets; may be repeated [default: 0.1 to 0.8].",
    ),
    data: Path | None = typer.Option(None, "--data", help="Measured public data [default: EDGECOST_DATA]."),
    watts: float = typer.Option(10.0, "--watts", min=0.0, help="What one busy core draws, for estimates of energy."),
    out: Path = typer.Option(Path("results/hw-evrsnas"), "--out", help="Folder of the study."),
    json_: bool = JsonOption,
) -> None:  # fmt: skip
    """HW-EvRSNAS on NAS-Bench-201, within the budgets of every device, and its regret against the exhaustive optimum.

    Example: edgecost study hw-evrsnas --scores results/hw-evrsnas/store --seeds 3
    """
    from edgecost.stages.evrsnas.options import EvrsnasStudy, data_folder

    if cost not in ("latency", "energy", "both"):
        raise ConfigError(f"--cost is latency, energy or both, not {cost!r}")
    if measure and not target:
        raise ConfigError("--measure measures on targets of one's own: name them with --target")
    if space not in ("nasbench201", "fbnet"):
        raise ConfigError(f"--space is nasbench201 or fbnet, not {space!r}")
    fbnet_only = {"--preset": preset, "--networks": networks, "--quantile": quantile or None}
    idle = [name for name, value in fbnet_only.items() if value is not None]
    if idle and space != "fbnet":
        raise ConfigError(f"{', '.join(idle)} is for --space fbnet; on nasbench201 scores come out of --scores")
    options = EvrsnasStudy(
        data_folder(data), tuple(device), tuple(dataset), cost, tuple(scores), score,  # type: ignore[arg-type]
        final_score, finalists, seeds, population, generations, penalty, penalty_form, controls, ablations,
        results, tuple(target), table, watts, mutation,
    )  # fmt: skip
    with progress("study", quiet=json_) as bar:
        if space == "fbnet":
            from edgecost.stages.evrsnas.fbnet import FbnetStudy, run_fbnet

            answer = run_fbnet(FbnetStudy(options, preset or "untrained", tuple(quantile), networks), out, bar)
        else:
            answer = _nasbench(options, out, bar, devices if measure else None, effort if measure else None)
    if json_:
        emit_json({name: value for name, value in answer.items() if name not in TABLES})
    else:
        _show(answer)
        say(f"written to {answer['file']}")
    if answer["violations"]:
        raise typer.Exit(1)


def _nasbench(options: Any, out: Path, bar: Bar, devices: Path | None, effort: str | None) -> dict[str, Any]:
    from edgecost.stages.evrsnas.boards import measuring_on
    from edgecost.stages.evrsnas_study import run_study

    measuring = None if effort is None else measuring_on(devices, effort, out, bar)
    return run_study(options, out, bar, measuring)


def figure(value: float | None, digits: int = 2) -> str:
    """A number, or a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _show(answer: dict[str, Any]) -> None:
    if answer["kind"] == "hw-evrsnas-fbnet":
        _show_fbnet(answer)
        return
    rows = [
        (
            s["dataset"], s["method"], figure(s["regret"]), figure(s["worst_regret"]), s["worst"] or "–",
            f"{s['infeasible']} of {s['answers']}", figure(s["evaluations"], 0),
        )
        for s in answer["summary"]
    ]  # fmt: skip
    columns = ("data set", "method", "regret", "worst", "where", "infeasible", "evaluations")
    show_table(answer["sentence"], columns, rows, right=(2, 3, 5, 6))
    published = [
        (
            p["device"], f"{p['budget_ms']:g}", figure(p["ours"]), figure(p["paper"], 1),
            "–" if p["help"] is None else f"{p['help']:.1f} at {p['help_achieved_ms']:g} ms", figure(p["optimum"]),
        )
        for p in answer["published"]["rows"]
    ]  # fmt: skip
    if published:
        show_table(
            "CIFAR-100 beside published figures", ("device", "budget ms", "ours", "paper", "HELP", "optimum"),
            published, right=(1, 2, 3, 5),
        )  # fmt: skip
    boards = [
        (
            b["target"], f"{b['budget']:.4g}", b["architecture"], ", ".join(map(str, b["seeds"])),
            figure(b["predicted"], 3), f"{figure(b['low'], 3)} to {figure(b['high'], 3)}", figure(b["measured"], 3),
            {True: "yes", False: "NO", None: "–"}[b["within_budget"]], figure(b["accuracy"]),
        )
        for b in answer["boards"]
    ]  # fmt: skip
    if boards:
        names = ("target", "budget", "winner", "seeds", "predicted", "interval", "measured", "within", "accuracy %")
        show_table("Winners on targets of our own", names, boards, right=(1, 4, 6, 8))


def _show_fbnet(answer: dict[str, Any]) -> None:
    rows = [
        (
            s["device"], s["method"], figure(s["score"], 3), figure(s["cost_share"]),
            f"{s['infeasible']} of {s['answers']}", figure(s["evaluations"], 0),
        )
        for s in answer["summary"]
    ]  # fmt: skip
    columns = ("device", "method", "score", "share of budget", "infeasible", "evaluations")
    show_table(answer["sentence"], columns, rows, right=(2, 3, 4, 5))
