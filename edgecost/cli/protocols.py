"""`edgecost validate --protocol`: transfer between devices by a published protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.output import emit_json, progress, show_table
from edgecost.cli.transfer import listed

__all__ = ["OutOption", "ProtocolOption", "ProtocolSourcesOption", "ProtocolTargetsOption", "SamplesOption",
           "SeedsOption", "TablesOption", "validate_protocol"]  # fmt: skip

ProtocolOption = typer.Option(
    None,
    "--protocol",
    help="Transfer between devices instead: nasflat:ND, FD, F1-F4 or FA, help:10, single-device:900, transfer:SPACE.",
)
TablesOption = typer.Option([], "--data", help="With --protocol: a table of devices' latencies; may be repeated.")
ProtocolSourcesOption = typer.Option(None, "--sources", help="With --protocol: other sources, apart by commas.")
ProtocolTargetsOption = typer.Option(None, "--targets", help="With --protocol: other targets, apart by commas.")
SamplesOption = typer.Option(None, "--samples", help="With --protocol: architectures measured on each target.")
SeedsOption = typer.Option(6, "--seeds", help="With --protocol or --left-out: how many seeds.")
OutOption = typer.Option(None, "--out", help="With --protocol or --left-out: the JSON file to write.")


def validate_protocol(
    name: str,
    data: list[Path],
    sources: str | None,
    targets: str | None,
    samples: int | None,
    seeds: int,
    out: Path | None,
    json_: bool,
) -> None:
    """Run a protocol and show every method, mean over targets and by target."""
    from edgecost.stages.protocols import run_protocol

    with progress(f"protocol {name}", quiet=json_) as bar:
        bar.start(0)
        answer = run_protocol(
            name, data, listed(sources) or (), listed(targets) or (), samples, seeds, out, bar.message
        )
    if json_:
        emit_json(answer)
        return
    columns = ("method", "target", "Spearman", "+-", "within 5 %", "within 10 %", "MAPE %", "in 90 % interval", "+- %")
    shown = [_shown(row) for row in answer["summary"]]
    shown += [(f"published: {k}", "mean", f"{v:.3f}", *[""] * 6) for k, v in _published(answer).items()]
    show_table(
        f"{name}: {answer['samples']} architectures a target, {len(answer['seeds'])} seeds", columns, shown,
        right=range(2, 9),
    )  # fmt: skip
    if answer["missing_targets"]:
        typer.echo(f"not in the data: {', '.join(answer['missing_targets'])}; the mean is over the other targets")
    if out is not None:
        typer.echo(out)


def _published(answer: dict[str, Any]) -> dict[str, float]:
    """Published means; nothing where the data lack targets, since means over others do not compare."""
    return {} if answer["missing_targets"] else answer["published_mean_spearman"]


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    def figure(key: str, scale: float = 1.0, digits: int = 3) -> str:
        value = row.get(key)
        return "–" if value is None else f"{scale * value:.{digits}f}"

    return (
        row["method"], row["target"], figure("spearman", 1, 4), figure("spearman_sd"), figure("within_5", 100, 1),
        figure("within_10", 100, 1), figure("mape", 100, 1), figure("covered", 100, 1),
        figure("half_width", 100, 1),
    )  # fmt: skip
