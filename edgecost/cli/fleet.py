"""`edgecost fleet`: the embedded fleet, six SSH servers on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecost.cli.output import JsonOption, emit_json, show_table
from edgecost.stages.places import fleet_root

if TYPE_CHECKING:
    from profiler.fleet.virtual.background import FleetStatus

__all__ = ["app"]

app = typer.Typer(
    help="Start and stop six loopback boards: this machine's CPU in six configurations, not six boards.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RootOption = typer.Option(None, "--root", help="Folder of keys, homes and status [default: .edgecost/fleet].")


@app.command()
def up(root: Path | None = RootOption, json_: bool = JsonOption) -> None:
    """Start the fleet in the background and write its devices.yaml.

    Example: edgecost fleet up
    """
    from profiler.fleet.virtual.background import start

    _tell(start(root or fleet_root()), json_)


@app.command()
def down(root: Path | None = RootOption, json_: bool = JsonOption) -> None:
    """Stop the fleet and end everything that runs on its boards.

    Example: edgecost fleet down
    """
    from profiler.fleet.virtual.background import stop

    stopped = stop(root or fleet_root())
    if json_:
        emit_json({"stopped": stopped})
    else:
        typer.echo("the fleet is down" if stopped else "no fleet was up")


@app.command()
def status(root: Path | None = RootOption, json_: bool = JsonOption) -> None:
    """Say whether the fleet is up, and at which ports.

    Example: edgecost fleet status --json
    """
    from profiler.fleet.virtual.background import status as look

    _tell(look(root or fleet_root()), json_)


def _tell(found: FleetStatus, json_: bool) -> None:
    if json_:
        paths = {"devices_path": str(found.devices_path), "log_path": str(found.log_path)}
        emit_json({"up": found.up, "pid": found.pid, "ports": dict(found.ports), "stale": found.stale, **paths})
    elif found.up:
        show_table("", ("board", "port"), sorted(found.ports.items()), right=(1,))
        typer.echo(f"up as process {found.pid}; boards are listed in {found.devices_path}")
    else:
        typer.echo("the fleet is down" + ("; its last process died without a farewell" if found.stale else ""))
