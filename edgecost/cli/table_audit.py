"""`edgecost table audit`: what a finished table's own figures say about how far to trust them."""

from __future__ import annotations

from typing import Any

import typer

from edgecost.cli.output import JsonOption, emit_json, show_table

__all__ = ["audit"]

_LONGEST = 2000


def audit(
    file: str = typer.Argument(
        ...,
        help="A table (.json, .parquet, .csv; once-for-all's or ProxylessNAS's .yaml), a folder of results, or "
        "hwnasbench, hwnasbench-layers, help-nasbench201, help-fbnet out of the folder that EDGECOST_DATA names.",
    ),
    latency_column: str = typer.Option("", "--latency-column", help="The column of latencies [default: by its name]."),
    energy_column: str = typer.Option("", "--energy-column", help="The column of energies [default: by its name]."),
    key_columns: str = typer.Option("", "--key-columns", help="Columns that name a row, with commas between them."),
    unit: str = typer.Option(
        "", "--unit", help="Of the latencies: ns, us, ms or s [default: the column's name, or ms]."
    ),
    energy_unit: str = typer.Option(
        "", "--energy-unit", help="Of the energies: nJ, uJ, mJ or J [default: alike, or mJ]."
    ),
    device_class: str = typer.Option(
        "", "--device-class", help="What the device is, for bounds of power and speed [default: by its name]."
    ),
    check: list[str] = typer.Option([], "--check", help="Only this check; several times for several."),
    rows: int = typer.Option(3, "--rows", min=0, help="So many rows are printed of each kind of finding."),
    json_: bool = JsonOption,
) -> None:
    """Check a finished table, ours or anybody's: power, order, doubled rows, spread, units, drift.

    Exit code 1 where a finding is an error: a figure that cannot be true, or a table that contradicts itself.

    Example: edgecost table audit hwnasbench
    """
    from edgecost.stages.auditing import audit_file
    from profiler.tables.formats.columns import ColumnOptions

    keys = tuple(name.strip() for name in key_columns.split(",") if name.strip())
    options = ColumnOptions(latency_column, energy_column, keys, unit, energy_unit, device_class)
    found = audit_file(file, options, check)
    if json_:
        emit_json(found)
    else:
        _show(found, rows)
    if found["counts"]["error"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any], rows: int) -> None:
    from profiler.fleet.messages import escape

    looked_at = ", ".join(f"{t['device']} ({t['rows']} rows, {t['class']})" for t in found["tables"])
    typer.echo(escape(f"looked at {looked_at}", _LONGEST))
    cells = [
        (s["severity"], escape(s["device"], 80), s["check"], s["findings"], escape(s["reason"], _LONGEST))
        for s in found["summary"]
    ]
    show_table("", ("severity", "device", "check", "findings", "what, or the first of them"), cells, right=(3,))
    _show_rows(found, rows)
    counts = found["counts"]
    typer.echo(", ".join(f"{n} {severity}{'' if n == 1 else 's'}" for severity, n in counts.items()))


def _show_rows(found: dict[str, Any], most: int) -> None:
    """Some single rows of each kind of finding."""
    from profiler.fleet.messages import escape

    shown: dict[tuple[str, str, str], int] = {}
    for finding in found["findings"]:
        kind = (finding["device"], finding["check"], finding["severity"])
        if finding["index"] is None or shown.get(kind, 0) >= most:
            continue
        shown[kind] = shown.get(kind, 0) + 1
        where = f"{finding['device']}, row {finding['index']} ({finding['key'][:80]})"
        typer.echo(escape(f"{finding['severity']}: {where}: {finding['reason']}", _LONGEST))
