"""`edgecost fleet`: boards of this machine: six SSH servers, six simulated boards, and an emulated one of another
architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecost.cli.output import JsonOption, emit_json, say, show_table
from edgecost.stages.places import fleet_root
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.fleet.virtual.background import FleetStatus

__all__ = ["app"]

app = typer.Typer(
    help="Start and stop six loopback boards: this machine's CPU in six configurations, not six boards; "
    "or six simulated boards, to try out how boards are measured; or an emulated aarch64 board, for what is not about "
    "timing.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RootOption = typer.Option(
    None,
    "--root",
    help="Folder of keys, homes and status [default: .edgecost/fleet, or simulated or aarch64 below it].",
)
Aarch64Option = typer.Option(
    False, "--aarch64", help="The aarch64 board that QEMU emulates, in place of the six; needs root, Debian and QEMU."
)
SimulatedOption = typer.Option(
    False,
    "--simulated",
    help="Six simulated boards, in place of the loopback ones: virtual time, and no figure of theirs is a board's.",
)


@app.command()
def up(
    root: Path | None = RootOption,
    aarch64: bool = Aarch64Option,
    simulated: bool = SimulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Start the fleet in the background and write its devices.yaml.

    Example: edgecost fleet up
    """
    from profiler.fleet.virtual.background import start, start_module

    place = _place(root, aarch64, simulated)
    if not aarch64:
        _tell(start(place, boards="simulated" if simulated else "loopback"), json_)
        return
    from profiler.fleet.virtual.aarch64.root import build

    build(say=say)  # here, where its steps are seen: the first time takes a while
    arguments = ["up", "--root", str(place.absolute())]
    _tell(start_module(place, "profiler.fleet.virtual.aarch64", arguments), json_)


@app.command()
def down(
    root: Path | None = RootOption,
    aarch64: bool = Aarch64Option,
    simulated: bool = SimulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Stop the fleet and end everything that runs on its boards.

    Example: edgecost fleet down
    """
    from profiler.fleet.virtual.background import stop

    stopped = stop(_place(root, aarch64, simulated))
    if json_:
        emit_json({"stopped": stopped})
    else:
        typer.echo("the fleet is down" if stopped else "no fleet was up")


@app.command()
def status(
    root: Path | None = RootOption,
    aarch64: bool = Aarch64Option,
    simulated: bool = SimulatedOption,
    json_: bool = JsonOption,
) -> None:
    """Say whether the fleet is up, and at which ports.

    Example: edgecost fleet status --json
    """
    from profiler.fleet.virtual.background import status as look

    _tell(look(_place(root, aarch64, simulated)), json_)


def _place(root: Path | None, aarch64: bool, simulated: bool) -> Path:
    if aarch64 and simulated:
        raise ConfigError("--aarch64 and --simulated are two fleets: give one of them, and call again for the other")
    below = "aarch64" if aarch64 else "simulated" if simulated else ""
    return root or fleet_root() / below


def _tell(found: FleetStatus, json_: bool) -> None:
    if json_:
        paths = {"devices_path": str(found.devices_path), "log_path": str(found.log_path)}
        emit_json({"up": found.up, "pid": found.pid, "ports": dict(found.ports), "stale": found.stale, **paths})
    elif found.up:
        show_table("", ("board", "port"), sorted(found.ports.items()), right=(1,))
        typer.echo(f"up as process {found.pid}; boards are listed in {found.devices_path}")
    else:
        typer.echo("the fleet is down" + ("; its last process died without a farewell" if found.stale else ""))
