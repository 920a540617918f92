"""`edgecost table`: look at cost tables, make them, and take them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import EmulatedOption, ResultsOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table
from edgecost.cli.table_audit import audit
from edgecost.cli.table_build import build
from edgecost.cli.table_diff import diff
from edgecost.cli.table_files import export, import_

__all__ = ["app"]

app = typer.Typer(
    help="Show, build, import, export, audit and compare cost tables.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def show(
    target: str | None = typer.Option(None, "--target", "-t", help="Only this target."),
    kind: str = typer.Option("kernel", "--kind", help="kernel, block, model or all."),
    results: Path = ResultsOption,
    all_rows: bool = typer.Option(False, "--all-rows", help="Also rows that failed a gate, which say so."),
    with_emulated: bool = EmulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Print the rows of the cost table that passed their gates: latency, energy, spread between rounds, issue codes.

    An energy is of one run, the board's idle power taken off, with its uncertainty (k = 2) and what the sensor
    includes; "< x" is a bound where it could not be told from noise.

    Example: edgecost table show --target ort-fp32-t1/onnxruntime-fp32-t1
    """
    from edgecost.stages.costs import row_dict, table_rows

    table = read_table(results, with_emulated=with_emulated)
    found = table_rows(table, target, kind)
    rows = [row_dict(r) for r in found if all_rows or not r.gated]
    gated = sum(r.gated for r in found)
    hidden = 0 if all_rows else gated
    if json_:
        emit_json({"rows": rows, "gated": gated, "hidden": hidden, "corrupt_lines": table.corrupt_lines})
        return
    if table.corrupt_lines:
        say(f"{table.corrupt_lines} corrupt journal lines were skipped; the rows they held can be measured again")
    with_energy = any(r["energy_mj"] is not None or r["energy_upper_mj"] is not None for r in rows)
    cells = [
        (
            r["target"],
            r["label"],
            _us(r["latency_us"]),
            f"{_us(r['low_us'])} – {_us(r['high_us'])}",
            _us(r["isolated_us"]),
            "–" if r["spread_pct"] is None else f"{r['spread_pct']:.1f}",
            *((_energy(r), r["energy_scope"]) if with_energy else ()),
            r["status"] if r["status"] != "ok" else " ".join(r["issues"]),
        )
        for r in rows
    ]
    energy = ("mJ a run", "scope") if with_energy else ()
    columns = ("target", "workload", "µs", "95 % interval", "isolated µs", "spread %", *energy, "issues")
    show_table(f"{len(cells)} rows", columns, cells, right=(2, 4, 5, 6) if with_energy else (2, 4, 5))
    others = () if rows or hidden else sorted({r.kind for r in table_rows(table, target, "all")})
    if others:
        say(f"there is no {kind} in it, but {' and '.join(f'{k}s' for k in others)}: --kind {others[0]} shows them")
    if hidden:
        say(f"{hidden} rows that failed a gate are left out; --all-rows shows them")
    simulated = sorted({r["target"] for r in rows if r["emulation"] == "simulated"})
    if simulated:
        say(f"simulated, and no figure of any hardware: {', '.join(simulated)}")


def _us(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _energy(row: dict[str, Any]) -> str:
    """An energy with its uncertainty, a bound, or a dash; never a nought for what is not known."""
    if row["energy_mj"] is not None:
        return f"{row['energy_mj']:.4g}" + ("" if row["energy_u_mj"] is None else f" ± {row['energy_u_mj']:.2g}")
    return "–" if row["energy_upper_mj"] is None else f"< {row['energy_upper_mj']:.4g}"


app.command()(export)
app.command("import")(import_)
app.command()(build)
app.command()(audit)
app.command()(diff)
