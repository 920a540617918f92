"""`edgecost table diff`: what has become slower or faster between two tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.output import JsonOption, emit_json, say, show_table

__all__ = ["diff"]

_QUIET = frozenset({"same", "undecided"})
_LONGEST = 2000


def diff(
    a: Path = typer.Argument(..., help="Before: an exported table (.json, .parquet), a folder of results or a run."),
    b: Path = typer.Argument(..., help="After: likewise."),
    target_a: str | None = typer.Option(None, "--target-a", help="A target of A [default: those that both have]."),
    target_b: str | None = typer.Option(None, "--target-b", help="The target of B to hold against it."),
    allow: list[str] = typer.Option(
        [],
        "--allow",
        help="Compare although this differs: simulated, emulation, machine, runtime, runtime_version, accelerator, "
        "precision, threads, cores, clock, protocol, cut or scope; several times for several.",
    ),
    remove_shift: bool = typer.Option(
        False, "--remove-shift", help="Judge each workload by how it has changed more than all of them."
    ),
    with_gated: bool = typer.Option(
        False, "--with-gated", help="Give verdicts also by figures of a board that throttled, drifted or was busy."
    ),
    all_rows: bool = typer.Option(False, "--all", help="Show what is the same or undecided, too."),
    json_: bool = JsonOption,
) -> None:
    """Compare two tables workload by workload: ratio B / A with its interval, and a verdict where one is due.

    Exit code 1 where anything is slower, draws more energy, or no longer runs.

    Example: edgecost table diff before.json after.json
    """
    from edgecost.stages.diffing import diff_tables

    found = diff_tables(a, b, target_a, target_b, allow, remove_shift=remove_shift, with_gated=with_gated)
    if json_:
        emit_json(found)
    else:
        _show(found, all_rows)
    if found["regression"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any], all_rows: bool) -> None:
    from profiler.fleet.messages import escape

    for mismatch in found["mismatches"]:
        say(escape(f"{mismatch['target']}: {mismatch['sentence']}", _LONGEST))
    for shift in found["shifts"]:
        interval = "" if shift["low"] is None else f" ({shift['low']:.4f} to {shift['high']:.4f})"
        typer.echo(
            escape(
                f"{shift['target_b']}: the median {shift['quantity']} is {shift['ratio']:.4f} times that before"
                f"{interval}, over {shift['n']} workloads: that much is the machine's, not a workload's",
                _LONGEST,
            )
        )
    effects = [e for e in found["effects"] if all_rows or e["verdict"] not in _QUIET]
    cells = [
        (
            e["verdict"],
            escape(e["target_b"], 80),
            e["kind"],
            escape(e["label"], 80),
            e["quantity"],
            _number(e["a"]),
            _number(e["b"]),
            _number(e["ratio"]),
            f"{_number(e['low'])} – {_number(e['high'])}",
            escape(e["reason"], 300),
        )
        for e in sorted(effects, key=lambda e: (e["target_b"], e["verdict"], -(e["ratio"] or 0.0)))
    ]
    columns = ("verdict", "target", "kind", "workload", "cost", "A", "B", "B / A", "95 % interval", "why")
    if cells:
        show_table("", columns, cells, right=(5, 6, 7))
    relative = " beyond the common shift" if found["shift_removed"] else ""
    counts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(found["verdicts"].items()))
    typer.echo(f"{counts}{relative}; {found['only_a']} workloads are in A only, {found['only_b']} in B only")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
