"""`edgecost devices`: which boards there are, whether they are ready, and whose host key is trusted."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import DevicesOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table

__all__ = ["app"]

app = typer.Typer(help="List, check and trust the boards of devices.yaml.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(devices: Path | None = DevicesOption, json_: bool = JsonOption) -> None:
    """Show the boards and their targets.

    Example: edgecost devices list --devices devices.yaml
    """
    from edgecost.stages.targets import all_devices

    found = all_devices(devices)
    if json_:
        emit_json(
            [
                {
                    "id": d.id,
                    "host": d.host,
                    "port": d.port,
                    "user": d.user,
                    "description": d.description,
                    "emulation": d.emulation,
                    "targets": [t.id for t in d.targets],
                }
                for d in found
            ]
        )
        return
    rows = [(d.id, f"{d.user}@{d.host}:{d.port}", t.id, d.description) for d in found for t in d.targets]
    show_table("", ("device", "address", "target", "what it is"), rows)


@app.command()
def check(
    ids: list[str] = typer.Argument(None, help="Device ids; all of the file when none is named."),
    devices: Path | None = DevicesOption,
    json_: bool = JsonOption,
) -> None:
    """Log in to each board and run a model with each of its runtimes; say what is missing and how to mend it.

    Example: edgecost devices check rpi5
    """
    from edgecost.stages.targets import all_devices, declared_entries, select_targets
    from profiler.fleet.provision import check as check_device

    found = all_devices(devices)
    chosen = list(dict.fromkeys(d for d, _ in select_targets(found, ids))) if ids else list(found)
    declared = declared_entries(devices)
    answer = {device.id: check_device(device, declared=declared.get(device.id)) for device in chosen}
    if json_:
        emit_json({k: [{"level": f.level, "what": f.what, "remedy": f.remedy} for f in v] for k, v in answer.items()})
    else:
        rows = [(name, f.level, f.what, f.remedy) for name, findings in answer.items() for f in findings]
        show_table("", ("device", "", "found", "remedy"), rows)
    bad = [name for name, findings in answer.items() if any(f.level == "error" for f in findings)]
    if bad:
        say(f"not ready: {', '.join(bad)}")
        raise typer.Exit(1)


@app.command()
def trust(
    device_id: str = typer.Argument(..., help="The board whose host key is to be pinned."),
    devices: Path = typer.Option(Path("devices.yaml"), "--devices", help="The file that is edited."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask; for scripts that compared the fingerprint themselves."),
    json_: bool = JsonOption,
) -> None:
    """Show a board's host key and pin it in devices.yaml: the explicit, one-time act.

    Example: edgecost devices trust rpi5
    """
    from edgecost.stages.targets import all_devices, select_targets
    from profiler.fleet.devices import pin
    from profiler.fleet.transport.ssh import fetch_fingerprint

    (device, _), *_ = select_targets(all_devices(devices), [device_id])
    fingerprint = fetch_fingerprint(device)
    if not yes:
        say(f"{device.id} at {device.host}:{device.port} shows the host key {fingerprint}")
        if device.host_key and device.host_key != fingerprint:
            say(f"this DIFFERS from the one pinned, {device.host_key}: was the board set up anew?")
        typer.confirm("pin it?", abort=True, err=True)
    pin(devices, device.id, fingerprint)
    if json_:
        emit_json({"id": device.id, "host_key": fingerprint})
    else:
        typer.echo(f"pinned {fingerprint} for {device.id} in {devices}")
