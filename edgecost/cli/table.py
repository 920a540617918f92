"""`edgecost table`: look at cost tables and take them elsewhere."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import ResultsOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table
from edgecost.cli.table_audit import audit
from edgecost.cli.table_diff import diff

__all__ = ["app"]

app = typer.Typer(help="Show, export, audit and compare cost tables.", no_args_is_help=True, rich_markup_mode=None)

EmulatedOption = typer.Option(
    False, "--with-emulated", help="Let in what emulated processors gave; such latencies say nothing about hardware."
)


@app.command()
def show(
    target: str | None = typer.Option(None, "--target", "-t", help="Only this target."),
    kind: str = typer.Option("kernel", "--kind", help="kernel, block, model or all."),
    results: Path = ResultsOption,
    with_emulated: bool = EmulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Print the rows of the cost table, with intervals, spread between rounds and issue codes.

    Example: edgecost table show --target ort-fp32-t1/onnxruntime-fp32-t1
    """
    from edgecost.stages.costs import row_dict, table_rows

    table = read_table(results, with_emulated=with_emulated)
    rows = [row_dict(r) for r in table_rows(table, target, kind)]
    if json_:
        emit_json({"rows": rows, "corrupt_lines": table.corrupt_lines})
        return
    if table.corrupt_lines:
        say(f"{table.corrupt_lines} corrupt journal lines were skipped; the rows they held can be measured again")
    cells = [
        (
            r["target"],
            r["label"],
            _us(r["latency_us"]),
            f"{_us(r['low_us'])} – {_us(r['high_us'])}",
            _us(r["isolated_us"]),
            "–" if r["spread_pct"] is None else f"{r['spread_pct']:.1f}",
            r["status"] if r["status"] != "ok" else " ".join(r["issues"]),
        )
        for r in rows
    ]
    columns = ("target", "workload", "µs", "95 % interval", "isolated µs", "spread %", "issues")
    show_table(f"{len(cells)} rows", columns, cells, right=(2, 4, 5))


def _us(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@app.command()
def export(
    file: Path = typer.Argument(..., help="Where to: a name ending in .csv, .parquet or .json."),
    results: Path = ResultsOption,
    with_emulated: bool = EmulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Write the whole table to a file.

    Example: edgecost table export costs.parquet
    """
    table = read_table(results, with_emulated=with_emulated)
    table.export(file)
    if json_:
        emit_json({"file": str(file), "rows": len(table.rows())})
    else:
        typer.echo(f"{len(table.rows())} rows written to {file}")


app.command()(audit)
app.command()(diff)
