"""`edgecost table import` and `export`: other projects' tables in, ours out."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import EmulatedOption, ResultsOption
from edgecost.cli.output import JsonOption, emit_json, say
from profiler.errors import ConfigError

__all__ = ["export", "import_"]


def export(
    file: Path = typer.Argument(
        ...,
        help="Where to: a name ending in .csv, .parquet or .json; .yaml for once-for-all's and ProxylessNAS's form.",
    ),
    format_: str = typer.Option(
        "", "--format", help="In another project's form, of blocks: ofa, proxylessnas or hwnasbench [default: ours]."
    ),
    target: str | None = typer.Option(None, "--target", "-t", help="With --format: whose blocks."),
    results: Path = ResultsOption,
    with_emulated: bool = EmulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Write the whole table to a file, or a target's blocks in another project's form.

    Example: edgecost table export costs.parquet
    """
    if not format_ and file.suffix.lower() in (".yaml", ".yml"):
        raise ConfigError(f"{file} is to be in another project's form; say which with --format ofa or proxylessnas")
    if target is not None and not format_:
        raise ConfigError("--target belongs to --format: the table in our own form holds all targets")
    table = read_table(results, with_emulated=with_emulated)
    if format_:
        from edgecost.stages.costs import resolve_target
        from edgecost.stages.table_files import export_layers

        if target is None:
            ids = [t.id for t in table.targets]
            if len(ids) != 1:
                raise ConfigError(f"the table has several targets; say which with --target: {', '.join(ids)}")
            target = ids[0]
        found = export_layers(table, resolve_target(table, target), format_, file)
    else:
        table.export(file)
        rows = len(table.rows())
        found = {"file": str(file), "rows": rows, "sentence": f"{rows} rows written to {file}"}
    if json_:
        emit_json({name: value for name, value in found.items() if name != "sentence"})
    else:
        typer.echo(found["sentence"])


def import_(
    file: Path = typer.Argument(
        ...,
        help="A table of layers (.yaml, .json, .parquet) or a folder in S3NAS's layout; or hw-nas-bench: its costs of "
        "whole networks on six devices, out of EDGECOST_DATA.",
    ),
    target: str = typer.Option(
        "", "--target", "-t", help="What it was measured on, such as note10/litert-fp32-t1; files of layers do not say."
    ),
    out: Path = typer.Option(..., "--out", help="The file to write: a name ending in .json or .parquet."),
    format_: str = typer.Option("auto", "--format", help="auto, ofa, proxylessnas, hwnasbench or s3nas."),
    unit: str = typer.Option("", "--unit", help="Of its figures: ns, us, ms or s [default: ms; ns of S3NAS's]."),
    device: str = typer.Option("", "--device", help="Of HW-NAS-Bench's table: raspi4, pixel3, eyeriss or fpga."),
    json_: bool = JsonOption,
) -> None:
    """Read another project's table as one of ours, which verbs take in place of a folder of results.

    Example: edgecost table import 224_lookup_table.yaml --target note10/litert-fp32-t1 --out note10.json
    """
    from edgecost.stages.network_tables import NAME, import_networks
    from edgecost.stages.table_files import import_table

    if file.name == NAME:
        if target or format_ != "auto" or unit or device:
            raise ConfigError(f"{NAME} names its devices and units; leave out --target, --format, --unit and --device")
        networks = import_networks(file, out)
        if json_:
            emit_json({name: value for name, value in networks.items() if name != "sentence"})
        else:
            typer.echo(networks["sentence"])
        return
    if not target:
        raise ConfigError("say with --target what the table was measured on, such as note10/litert-fp32-t1")
    found = import_table(file, format_, target, out, unit, device)
    if json_:
        emit_json({name: value for name, value in found.items() if name != "sentence"})
        return
    typer.echo(found["sentence"])
    for note in found["notes"]:
        say(note)
