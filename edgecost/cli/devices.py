"""`edgecost devices`: which boards there are, adding one, whether they are ready, and whose host key is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecost.cli.options import DevicesOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table
from edgecost.cli.provisioning import deprovision, provision

if TYPE_CHECKING:
    from profiler.fleet.targets import Device

__all__ = ["app"]

app = typer.Typer(
    help="Add, list, check and trust the boards of devices.yaml.", no_args_is_help=True, rich_markup_mode=None
)

FileOption = typer.Option(Path("devices.yaml"), "--devices", help="The file that is edited.")
YesOption = typer.Option(False, "--yes", help="Do not ask; for scripts that compared the fingerprint themselves.")


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
    """Compare all that is declared of each board with the board, and run a model for every target; say how to mend it.

    Example: edgecost devices check rpi5
    """
    from edgecost.stages.targets import all_devices, declared_entries, select_targets
    from profiler.fleet.checks import check_all

    found = all_devices(devices)
    chosen = list(dict.fromkeys(d for d, _ in select_targets(found, ids))) if ids else list(found)
    answer = {}
    for device, findings in check_all(chosen, declared_entries(devices)):
        answer[device.id] = findings
        errors = sum(f.level == "error" for f in findings)
        say(f"{device.id}: {f'{errors} to mend' if errors else 'ready'}")
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
    devices: Path = FileOption,
    jump: bool = typer.Option(False, "--jump", help="Pin the key of the jump host before it instead."),
    yes: bool = YesOption,
    json_: bool = JsonOption,
) -> None:
    """Show the host key of a board, or of its jump host, and pin it in devices.yaml: the explicit, one-time act.

    Example: edgecost devices trust rpi5
    """
    from edgecost.stages.targets import all_devices
    from profiler.errors import ConfigError
    from profiler.fleet.inventory.devices import find_device
    from profiler.fleet.inventory.editing import pin

    device = find_device(all_devices(devices), device_id)
    if jump and device.jump is None:
        raise ConfigError(f"{device.id!r} in {devices} is reached without a jump host: leave out `--jump`.")
    pinned = device.jump.host_key if jump and device.jump else device.host_key
    kind, fingerprint = _shown_key(device, of_jump=jump, pinned=pinned, yes=yes)
    pin(devices, device.id, fingerprint, of_jump=jump)
    if json_:
        emit_json({"id": device.id, "jump": jump, "type": kind, "host_key": fingerprint})
    else:
        of = f"the jump host of {device.id}" if jump else device.id
        typer.echo(f"pinned {kind} {fingerprint} for {of} in {devices}")


@app.command()
def init(
    device_id: str = typer.Argument(..., help="A name for the board: small letters, digits, hyphens."),
    host: str = typer.Option(..., "--host", "-H", help="Its address, or that which the jump host reaches it by."),
    user: str = typer.Option(..., "--user", "-U", help="Who logs in."),
    port: int = typer.Option(22, "--port", "-p", min=1, max=65535),
    identity: Path | None = typer.Option(None, "--identity", "-i", help="Private key [default: your keys in ~/.ssh]."),
    jump: str | None = typer.Option(
        None, "--jump", "-J", help="The SSH server before it: user@host or user@host:port."
    ),
    emulation: str = typer.Option("", "--emulation", help="loopback or qemu, where it is no hardware."),
    devices: Path = FileOption,
    yes: bool = YesOption,
    json_: bool = JsonOption,
) -> None:
    """Reach a board never seen before, show its host key, ask it what it is, and write its entry into devices.yaml.

    Example: edgecost devices init rpi5 --host 192.0.2.11 --user pi
    """
    from edgecost.stages.inventory import Newcomer

    newcomer = Newcomer(devices, device_id, host, port, user, identity, jump, emulation)
    for of_jump in (True, False) if jump else (False,):
        _, fingerprint = _shown_key(newcomer.device, of_jump=of_jump, pinned=None, yes=yes)
        newcomer.trust(fingerprint, of_jump=of_jump)
    say(f"asking {device_id} what it is")
    notes = newcomer.ask()
    for note in notes:
        say(f"{device_id}: {note}")
    written = newcomer.write()
    if json_:
        emit_json({"id": device_id, "devices": str(devices), "entry": newcomer.entry(), "notes": list(notes)})
        return
    typer.echo(written, nl=False)
    say(f"written to {devices}; next: `edgecost devices provision {device_id}`, `edgecost devices check {device_id}`")


@app.command()
def schema(
    out: Path | None = typer.Option(None, "--out", help="The file to write [default: print it]."),
    json_: bool = JsonOption,
) -> None:
    """Print the JSON Schema of devices.yaml, by which editors complete and check it.

    Example: edgecost devices schema --out schemas/devices.schema.json
    """
    from profiler.fleet.inventory.schema import schema_text
    from profiler.fleet.inventory.yamltext import write_atomically

    if out is None:
        typer.echo(schema_text(), nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, schema_text())
    if json_:
        emit_json({"file": str(out)})
    else:
        say(f"written to {out}")


def _shown_key(device: Device, *, of_jump: bool, pinned: str | None, yes: bool) -> tuple[str, str]:
    """The type and fingerprint of the key that a server shows, once somebody has agreed to pin it."""
    from profiler.fleet.transport.ssh import fetch_host_key

    key = fetch_host_key(device, of_jump=of_jump)
    server = device.jump if of_jump and device.jump else device
    name = f"the jump host of {device.id}" if of_jump else device.id
    say(f"{name} at {server.host}:{server.port} shows the host key {key.kind} {key.fingerprint}")
    if pinned == key.fingerprint:
        say("this is the one pinned already")
    elif pinned:
        say(f"this DIFFERS from the one pinned, {pinned}: was it set up anew?")
    if not yes:
        typer.confirm("pin it?", abort=True, err=True)
    return key.kind, key.fingerprint


app.command()(provision)
app.command()(deprovision)
