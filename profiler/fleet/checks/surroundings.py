"""What surrounds our commands on a board: its login shell, clock, disk and Python."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from profiler.errors import DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet.checks.findings import Finding, error, ok, warning
from profiler.fleet.checks.probe import Probe, find_pythons
from profiler.fleet.sessions.workplace import COMMAND_S, Workplace, complaint
from profiler.fleet.transport.base import Transport

__all__ = [
    "OLDEST_PYTHON",
    "check_clock",
    "check_logout",
    "check_python",
    "check_shell",
    "check_space",
    "command_seconds",
]

OLDEST_PYTHON = (3, 7)

ENOUGH_MB, LEAST_MB = 500, 50
"""Free space for runtimes and artefacts: below the first a warning, below the second an error."""

SLOW_SHELL_S = 0.3
WRONG_CLOCK_S = 300

_TRIES = 3

_RC_REMEDY = "end the rc file early for commands: begin ~/.bashrc with `case $- in *i*) ;; *) return ;; esac`"


def command_seconds(transport: Transport, path: str) -> float:
    """How long a command that does nothing takes, the network's share taken off; raises as Transport.run.

    An SSH server has the user's login shell start every command. A command costs three round trips, a look at a path
    one; the best of a few tries is free of chance.

    Args:
        transport: the link.
        path: of a folder that our files may be in.
    """
    times, trips = [], []
    transport.exists(path)  # the first look starts the file service
    for _ in range(_TRIES):
        begin = time.perf_counter()
        transport.run(["true"], timeout_s=COMMAND_S)
        times.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        transport.exists(path)
        trips.append(time.perf_counter() - begin)
    return max(0.0, min(times) - 3 * min(trips))


def check_shell(transport: Transport, probe: Probe) -> Iterator[Finding]:
    """Whether the login shell is quick and silent."""
    if probe.banner:
        yield warning(
            f'its login shell prints before every command ("{probe.banner[0]}"'
            f"{', and more' if len(probe.banner) > 1 else ''}), which breaks file transfer by other tools",
            _RC_REMEDY,
        )
    try:
        took_s = command_seconds(transport, probe.home or ".")
    except (DeviceLost, DeviceTimeout):
        raise
    except DeviceError as problem:
        yield error(
            f"its file service (SFTP) does not work: {problem}",
            "keep the login shell silent, and see that its sshd_config has `Subsystem sftp internal-sftp`",
        )
        return
    if took_s > SLOW_SHELL_S:
        yield warning(f"its login shell takes {took_s:.2f} s to start each command", _RC_REMEDY)


def check_clock(probe: Probe) -> Finding:
    """Hold the board's clock against this host's."""
    if probe.clock_s is None:
        return warning("its clock cannot be read", "see what `date +%s` says on the board")
    apart_s = abs(probe.clock_s - probe.asked_s)
    if apart_s <= WRONG_CLOCK_S:
        return ok("its clock agrees with this host's")
    length = f"{apart_s / 86400:.0f} days" if apart_s > 2 * 86400 else f"{apart_s / 60:.0f} minutes"
    side = "behind" if probe.clock_s < probe.asked_s else "ahead of"
    return warning(
        f"its clock is {length} {side} this host's: certificates are refused, and installing from the network fails",
        "set it there: `sudo timedatectl set-ntp true`, or by hand with `sudo date -s`",
    )


def check_logout(probe: Probe) -> Iterator[Finding]:
    """Whether what we leave running survives our leaving."""
    if probe.logout_kills:
        yield warning(
            "its login manager ends all processes of a user who logs out, so that a lost link ends the agent, too",
            "set KillUserProcesses=no in /etc/systemd/logind.conf there, then `sudo systemctl restart systemd-logind`",
        )


def check_space(transport: Transport, place: Workplace) -> Iterator[Finding]:
    """Whether there is room in the workdir."""
    yield ok(f"the workdir {place.folder} can be written")
    result = transport.run(["df", "-Pk", place.folder], timeout_s=COMMAND_S)
    try:
        free_mb = int(result.stdout.decode("ascii", "replace").splitlines()[-1].split()[3]) // 1024
    except (IndexError, ValueError):
        yield warning(f"its free space is unknown ({complaint(result)})", "look with `df` on the board")
        return
    what, remedy = f"{free_mb} MB are free there", f"free some space: {ENOUGH_MB} MB are enough for most campaigns"
    if free_mb < LEAST_MB:
        yield error(what, f"{remedy}, or give another `workdir` in devices.yaml")
    else:
        yield warning(what, remedy) if free_mb < ENOUGH_MB else ok(what)


def check_python(transport: Transport, python: str) -> Finding:
    """Whether the declared interpreter is one, and young enough."""
    code = "import json, sys; print(json.dumps(list(sys.version_info[:3])))"
    result = transport.run([python, "-c", code], timeout_s=COMMAND_S)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    try:
        version = tuple(int(part) for part in json.loads(result.stdout.decode("utf-8", "replace").splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return error(f"{python!r} runs no Python ({complaint(result)})", _other_pythons(transport, oldest))
    text = ".".join(map(str, version))
    if result.exit_status != 0 or version < OLDEST_PYTHON:
        return error(f"{python!r} is Python {text}, older than {oldest}", _other_pythons(transport, oldest))
    return ok(f"Python {text} at {python}")


def _other_pythons(transport: Transport, oldest: str) -> str:
    found = [python for python in find_pythons(transport) if python.version >= OLDEST_PYTHON]
    if not found:
        return f"install Python {oldest} or later there, and set `python` in devices.yaml to its path"
    best = max(found, key=lambda python: python.version)
    return f"set `python: {best.path}` in devices.yaml, which is Python {'.'.join(map(str, best.version))}"
