"""`edgecost validate`: how far predictors are off on networks they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import ResultsOption
from edgecost.cli.output import JsonOption, emit_json, show_table
from edgecost.cli.protocols import (
    OutOption,
    ProtocolOption,
    ProtocolSourcesOption,
    ProtocolTargetsOption,
    SamplesOption,
    SeedsOption,
    TablesOption,
    validate_protocol,
)
from edgecost.cli.validate_options import check_options
from profiler.errors import ConfigError

__all__ = ["validate"]


def validate(
    context: typer.Context,
    target: list[str] = typer.Option([], "--target", "-t", help="Only these targets; all of the table otherwise."),
    results: Path = ResultsOption,
    gate: float | None = typer.Option(
        None, "--max-mape", help="Exit with 1 where the predictor's MAPE in % is above this."
    ),
    cuts: bool = typer.Option(
        False, "--cuts", help="Compare the ways to cut networks and to isolate their parts instead, and choose one."
    ),
    left_out: bool = typer.Option(
        False, "--left-out", help="Leave kernels, kinds, families and networks out in turn instead, with --seeds."
    ),
    protocol: str | None = ProtocolOption,
    data: list[Path] = TablesOption,
    sources: str | None = ProtocolSourcesOption,
    targets: str | None = ProtocolTargetsOption,
    samples: int | None = SamplesOption,
    seeds: int = SeedsOption,
    out: Path | None = OutOption,
    json_: bool = JsonOption,
) -> None:
    """Closure: held-out networks measured end to end against every cost model, side by side.

    Beside it stands the noise floor: how far a second measurement of the same networks is from the first. All of it is
    written to closure.json in the folder of results.
    Example: edgecost validate --results results/quickstart
    """
    from edgecost.stages.closing import closure
    from edgecost.stages.costs import write_json

    check_options(context)
    if protocol is not None:
        validate_protocol(protocol, data, sources, targets, samples, seeds, out, json_)
        return
    if cuts:
        _cuts(results, target, gate, json_)
        return
    if left_out:
        _left_out(results, target, seeds, out, gate, json_)
        return
    answer = closure(read_table(results), target, results if results.is_dir() else None)
    if results.is_dir() and not target:
        write_json(results / "closure.json", answer)
    if json_:
        emit_json(answer)
    else:
        rows = [
            (
                r["target"],
                r["model"],
                str(r["n"]) if not r["n_missing"] else f"{r['n'] - r['n_missing']} of {r['n']}",
                *(_figure(r[k]) for k in ("mape", "rmspe", "within_5", "within_10", "kendall_tau", "spearman")),
                *(_figure(None if r[k] is None else 100 * r[k]) for k in ("regret_1", "regret_10", "covered")),
            )
            for r in answer["rows"]
        ]
        scores = ("MAPE %", "RMSPE %", "within 5 %", "within 10 %", "Kendall", "Spearman", "regret %",
                  "of a tenth %", "covered %")  # fmt: skip
        columns = ("target", "model", "networks", *scores)
        show_table("closure on held-out networks", columns, rows, right=range(2, 12))
        _families(answer)
        for name, found in answer["verdicts"].items():
            typer.echo(_verdict(name, found, answer["repeats"][name]))
    worst = max((r["mape"] for r in answer["rows"] if r["headline"]), default=0.0)
    if gate is not None and not worst <= gate:
        raise typer.Exit(1)


def _families(answer: dict[str, Any]) -> None:
    """Closure and floor, family by family; nothing where the networks are of no suite."""
    scores = ("mape", "within_5", "within_10", "kendall_tau")
    rows = []
    for name, families in answer["families"].items():
        again = {row["family"]: row for row in (answer["repeats"][name] or {}).get("families", ())}
        for row in families:
            floor = again.get(row["family"], {})
            rows.append(
                (
                    name,
                    row["family"],
                    row["n"],
                    *(_figure(row[k]) for k in scores),
                    *(_figure(floor.get(k)) for k in scores[:3]),
                )
            )
    if rows:
        columns = (
            "target", "family", "networks", "MAPE %", "within 5 %", "within 10 %", "Kendall", "floor MAPE %",
            "within 5 %", "within 10 %",
        )  # fmt: skip
        show_table(
            "closure by family, and how far a second measurement was from the first", columns, rows, right=range(2, 10)
        )


def _verdict(target: str, found: dict[str, Any], floor: dict[str, Any] | None) -> str:
    """One sentence for people."""
    mape = "undefined, since parts of networks have no cost" if found["mape"] is None else f"{found['mape']:.1f} %"
    if floor is None:
        beside = "no network was measured twice (`edgecost profile --suite closure --part networks`)"
    else:
        apart = "" if floor["hours_apart"] is None else f", {floor['hours_apart']:.2f} h apart"
        beside = (
            f"noise floor {floor['mape']:.1f} % ({floor['n']} networks measured twice{apart}; within 5 %: "
            f"{floor['within_5']:.0f} %, within 10 %: {floor['within_10']:.0f} %)"
        )
    word = {True: "met", False: "missed", None: "cannot be judged"}[found["met"]]
    return f"{target}: closure MAPE {mape}, {beside}; target {found['limit']:.1f} %: {word}"


def _cuts(results: Path, targets: list[str], gate: float | None, json_: bool) -> None:
    from edgecost.report.formats import named
    from edgecost.stages.cuts import compare

    answer = compare(results, targets)
    if json_:
        emit_json(answer)
    else:
        rows = [
            (
                named(t), r["cut"], r["isolation"], r["parts"], r["missing"],
                *(_figure(r[k]) for k in ("ratio", "fit_mape", "sum_mape", "mape", "within_5", "within_10",
                                          "kendall_tau")),
                "chosen" if r["chosen"] else "",
            )
            for t in answer["targets"] for r in t["rows"]
        ]  # fmt: skip
        columns = (
            "target", "cut", "isolation", "parts", "missing", "sum/measured", "fit MAPE %", "sum MAPE %", "MAPE %",
            "within 5 %", "within 10 %", "Kendall", "",
        )  # fmt: skip
        show_table("closure of every cut and isolation on held-out networks", columns, rows, right=range(3, 12))
        typer.echo(answer["file"])
    chosen = [r for t in answer["targets"] for r in t["rows"] if r["chosen"]]
    if gate is not None and not all(r["mape"] <= gate for r in chosen):
        raise typer.Exit(1)


def _left_out(results: Path, targets: list[str], seeds: int, out: Path | None, gate: float | None, json_: bool) -> None:
    from edgecost.report.formats import named
    from edgecost.report.predictors import summary
    from edgecost.stages.left_out import leave_out
    from predictors.left_out import WELL_MEASURED

    if seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {seeds}")
    answer = leave_out(results, targets, seeds, out)
    found = [(t, r) for t in answer["targets"] for r in summary(t["rows"]) if r["group"] in ("all", WELL_MEASURED)]
    if json_:
        emit_json(answer)
    else:
        names = ("rmspe", "mape", "within_5", "within_10", "kendall_tau", "spearman", "regret_1", "regret_10",
                 "covered", "noise")  # fmt: skip
        rows = [(named(t), _what(r), r["model"], r["n"], *(_figure(r[name]) for name in names)) for t, r in found]
        columns = ("target", "left out", "model", "n", "RMSPE %", "MAPE %", "within 5 %", "within 10 %", "Kendall",
                   "Spearman", "regret %", "of a tenth %", "covered %", "noise %")  # fmt: skip
        show_table(f"each predicted by a fit without it, {seeds} seeds", columns, rows, right=range(3, 14))
        for note in (note for t in answer["targets"] for note in t["notes"]):
            typer.echo(note)
        typer.echo(answer["file"])
    additive = [r["mape"] for _, r in found if r["what"] == "network" and r["model"] == "additive"]
    if gate is not None and not all(mape <= gate for mape in additive):
        raise typer.Exit(1)


def _what(row: dict[str, Any]) -> str:
    return row["what"] if row["group"] == "all" else f"{row['what']}, {row['group']}"


def _figure(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"
