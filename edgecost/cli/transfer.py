"""`edgecost transfer`: a new device from a handful of measurements and the tables of other devices."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import SeedOption
from edgecost.cli.output import JsonOption, emit_json, say

__all__ = ["app"]

app = typer.Typer(
    help="A new device from few measurements and the tables of other devices.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TargetNameOption = typer.Option(..., "--target", "-t", help="The new device's name, as in the tables.")
TablesOption = typer.Option(
    [],
    "--data",
    help="A table of devices' latencies (Parquet or CSV: device, latency_ms, arch_str or op_idx); may be repeated.",
)
SourcesOption = typer.Option(
    None, "--sources", help='Devices to learn from, apart by commas; "none" for none [default: all of the tables].'
)


def listed(text: str | None) -> list[str] | None:
    """Names apart by commas; None where nothing was said, an empty list for "none"."""
    if text is None:
        return None
    return [] if text.strip() == "none" else [word.strip() for word in text.split(",") if word.strip()]


@app.command("suggest")
def suggest(
    target: str = TargetNameOption,
    n: int = typer.Option(20, "-n", help="How many architectures to measure."),
    space: str = typer.Option("", "--space", help="nasbench201, fbnet or another [default: that of the tables]."),
    data: list[Path] = TablesOption,
    sources: str | None = SourcesOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Name the architectures that are worth measuring on a new device; it needs no measurement of it.

    Example: edgecost transfer suggest --target raspi4 -n 20 --data help_nasbench201_latency.parquet
    """
    from edgecost.stages.transferring import suggest as suggested

    answer = suggested(target, n, space, data, listed(sources), seed)
    if json_:
        emit_json(answer)
        return
    learnt = f"beside {', '.join(answer['sources'])}" if answer["sources"] else "without other devices"
    say(f"{n} of {answer['pool']} architectures of {answer['space']} to measure on {target}, {learnt}:")
    for name in answer["architectures"]:
        typer.echo(name)


@app.command("fit")
def fit(
    target: str = TargetNameOption,
    measured: Path = typer.Option(..., "--measured", help="A table with the target's rows, as those of --data."),
    data: list[Path] = TablesOption,
    sources: str | None = SourcesOption,
    out: Path | None = typer.Option(None, "--out", help="Write the fit and all predictions to this JSON file."),
    level: float = typer.Option(0.9, "--level", help="Nominal coverage of the intervals."),
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Learn a new device from its measured architectures and other devices' tables, and price all others in ms.

    Whether the other devices are of use it decides itself, and says so.

    Example: edgecost transfer fit --target raspi4 --measured twenty.csv --data help_nasbench201_latency.parquet
    """
    from edgecost.stages.transferring import fit as fitted

    answer = fitted(target, measured, data, listed(sources), out, level, seed)
    if json_:
        emit_json(answer)
        return
    left_out, ceiling = answer["left_out"], answer["noise_ceiling"]
    learnt = ", ".join(answer["sources"]) or "none"
    typer.echo(f"{target}: {answer['n']} architectures of {answer['space']} measured; other devices: {learnt}")
    if answer["sources"]:
        typer.echo(f"{answer['decision']} (probability {answer['transfer_probability']:.2f})")
    for name, figures in (("each predicted from the others", left_out), ("at best, for the noise", ceiling)):
        typer.echo(
            f"{name}: Spearman {figures['spearman']:.3f}, within 5 % {100 * figures['within_5']:.0f} %, "
            f"within 10 % {100 * figures['within_10']:.0f} %"
        )
    if out is not None:
        typer.echo(f"{len(answer['predictions'])} predictions with {100 * level:.0f} % intervals: {out}")
