"""`edgecost devices provision` and `deprovision`: the runtimes that a board's targets need, and the way back."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecost.cli.options import DevicesOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table

if TYPE_CHECKING:
    from profiler.fleet.provisioning import Provisioned
    from profiler.fleet.targets import Device

__all__ = ["deprovision", "provision"]


class Via(StrEnum):
    """Where wheels come from."""

    auto = "auto"
    host = "host"
    board = "board"


def provision(
    device_id: str = typer.Argument(..., metavar="ID", help="The board."),
    runtime: list[str] = typer.Option(None, "--runtime", help="Only this runtime of its targets; may be repeated."),
    via: Via = typer.Option(Via.auto, "--via", help="Whose pip finds the wheels: this host's, or the board's own."),
    force: bool = typer.Option(False, "--force", help="Install the newest versions although something works already."),
    cache: Path | None = typer.Option(None, "--cache", help="Folder of wheels here [default: .edgecost/wheels]."),
    devices: Path | None = DevicesOption,
    json_: bool = JsonOption,
) -> None:
    """Give a board the runtimes that its targets need: wheels for its platform, tried by running a model there.

    The board needs Python and nothing else: no pip, no internet, no root. A second time changes nothing.

    Example: edgecost devices provision rpi5
    """
    from edgecost.stages.places import wheel_cache
    from profiler.fleet.provisioning import provision as provision_device

    found = provision_device(
        _device(devices, device_id),
        cache=wheel_cache() if cache is None else cache,
        runtimes=runtime or None,
        via=via.value,
        force=force,
        say=say,
    )
    if json_:
        emit_json([asdict(one) for one in found])
    else:
        columns = ("runtime", "", "package", "MB", "from", "tried")
        show_table("", columns, [_row(one) for one in found], right=(3,))
    failures = [one.error for one in found if one.state == "failed"]
    for failure in failures:
        say(failure)
    if failures:
        raise typer.Exit(2)


def _row(one: Provisioned) -> tuple[str, ...]:
    tried = "; ".join(f"{version}: {outcome}" for version, outcome in one.tried)
    name = f"{one.package} {one.version}".strip() or "-"
    return one.runtime, one.state, name, f"{one.size_mb:.1f}", one.via or "-", tried or "-"


def deprovision(
    device_id: str = typer.Argument(..., metavar="ID", help="The board."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    devices: Path | None = DevicesOption,
    json_: bool = JsonOption,
) -> None:
    """Remove everything that edgecost has put on a board, and end its agents there.

    Example: edgecost devices deprovision rpi5
    """
    from profiler.fleet.provisioning import deprovision as deprovision_device

    device = _device(devices, device_id)
    if not yes:
        question = f"remove runtimes, models and unfinished runs from {device.workdir} on {device.id}?"
        typer.confirm(question, abort=True, err=True)
    removed = deprovision_device(device, say=say)
    if json_:
        emit_json({"id": device.id, **asdict(removed), "kept": list(removed.kept)})
        return
    if not removed.folder:
        typer.echo(f"nothing of ours is on {device.id}")
        return
    if removed.kept:
        typer.echo(f"cleared {removed.folder} on {device.id}; not ours, and left there: {', '.join(removed.kept)}")
    else:
        typer.echo(f"removed {removed.folder} from {device.id}; nothing is left")


def _device(devices: Path | None, device_id: str) -> Device:
    from edgecost.stages.targets import all_devices, select_targets

    (device, _), *_ = select_targets(all_devices(devices), [device_id])
    return device
