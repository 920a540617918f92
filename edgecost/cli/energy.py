"""`edgecost energy`: which power sensors a board has, what they showed, and calibrating them against a meter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from edgecost.cli.options import DevicesOption, ResultsOption, TargetOption
from edgecost.cli.output import JsonOption, emit_json, progress, say, show_table

__all__ = ["app"]

app = typer.Typer(
    help="List and calibrate what a board's power is read from.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def sensors(target: str = TargetOption, devices: Path | None = DevicesOption, json_: bool = JsonOption) -> None:
    """Ask a board which power sensors it has, named as devices.yaml wants them.

    Example: edgecost energy sensors --target jetson-orin-nano
    """
    from edgecost.stages.sensing import find_sensors
    from edgecost.stages.targets import all_devices

    found = find_sensors(all_devices(devices), target)
    if json_:
        emit_json({"sensors": found})
        return
    if not found:
        say("there is none: put a meter beside the board (kind: external)")
        return
    rows = [(s["kind"], s["name"], ", ".join(s["channels"]), s["note"]) for s in found]
    show_table("", ("kind", "name", "channels", "note"), rows)


@app.command()
def show(target: str = TargetOption, results: Path = ResultsOption, json_: bool = JsonOption) -> None:
    """Show a target's energies with their uncertainties, what has none and why, and what reading the sensor costs.

    Example: edgecost energy show --target jetson-orin-nano
    """
    from edgecost.stages.energy_shown import energies

    answer = energies(results, target)
    if json_:
        emit_json(answer)
        return
    rows = [
        (
            row["label"],
            row["kind"],
            f"< {row['upper_mj']:.4g}" if row["upper_mj"] is not None else _figure(row["energy_mj"]),
            _figure(row["u_mj"]),
            _figure(row["gross_mj"]),
            row["scope"],
            ", ".join(row["issues"]),
        )
        for row in answer["rows"]
    ]
    columns = ("workload", "kind", "mJ a run", "U (k = 2)", "with idle", "scope", "issues")
    show_table(answer["target"], columns, rows, right=(2, 3, 4))
    typer.echo(answer["sentence"])
    for note in answer["notes"]:
        say(note)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


@app.command()
def calibrate(
    target: str = TargetOption,
    meter: str = typer.Option(
        ...,
        "--meter",
        help="joulescope[:SERIAL], tcp:HOST:PORT, serial:/dev/ttyUSB0[:115200] or command:'PROGRAM ...'.",
    ),
    scope: str = typer.Option(
        ..., "--scope", help="What the meter includes: wall, board-in, module-in, SoC-rails, core-rail, battery."
    ),
    levels: int = typer.Option(5, "--levels", help="Loads to run, 2 to 6; each takes about a minute."),
    meter_gain_u: float = typer.Option(
        0.0, "--meter-gain-u", min=0.0, help="The meter's own uncertainty of gain, relative, k = 2."
    ),
    meter_offset_u_mw: float = typer.Option(0.0, "--meter-offset-u-mw", min=0.0, help="And of offset, in mW."),
    across: str = typer.Option(
        "", "--across", help="A name for the relation, where sensor and meter are of different scopes."
    ),
    out: Path | None = typer.Option(None, "--out", help="The JSON file [default: beside the run in --results]."),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Hold a board's sensor against an external meter under several loads: gain and offset, with uncertainties.

    Example: edgecost energy calibrate --target jetson-orin-nano --meter joulescope --scope module-in
    """
    from edgecost.stages.energy import calibrate as run_calibration
    from edgecost.stages.energy import check, write
    from edgecost.stages.metering import open_meter
    from edgecost.stages.targets import all_devices

    found = all_devices(devices)
    device_id = target.split("/", 1)[0]
    path = out or results / device_id / f"calibration-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    check(found, target, scope, levels, across, path)
    beside = open_meter(meter, scope, meter_gain_u, meter_offset_u_mw * 1e3)
    with progress(f"calibrate {target}", quiet=json_) as bar:
        run = run_calibration(found, target, beside, levels, results, across=across, progress=bar)
    write(path, run)
    if json_:
        emit_json({"file": str(path), **run.to_dict()})
        return
    for words in run.left_out:
        say(f"left out: {words}")
    line = run.found
    rows = [
        (p.what, f"{p.shown_uw / 1e3:.1f}", f"{p.true_uw / 1e3:.1f}", f"{100 * off:+.2f}")
        for p, off in zip(line.points, line.residuals, strict=True)
    ]
    show_table(f"{run.sensor} by {run.meter}", ("window", "sensor mW", "meter mW", "off %"), rows, right=(1, 2, 3))
    typer.echo(
        f"power = ({line.gain:.5f} ± {line.gain * line.gain_u:.5f}) x shown + ({line.offset_uw / 1e3:.1f} ± "
        f"{line.offset_u_uw / 1e3:.1f}) mW (k = 2), from {line.low_uw / 1e3:.0f} to {line.high_uw / 1e3:.0f} mW"
    )
    fields = ", ".join(f"{name}: {value}" for name, value in run.entry().items())
    say(f"written to {path}; for the sensor's entry in devices.yaml: {fields}")
