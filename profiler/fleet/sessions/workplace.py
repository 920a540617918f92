"""A board's folder of ours: where it is, and how one command finds it, makes it, and starts what lies in it."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.errors import DeviceError
from profiler.fleet.messages import escape
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult, Transport

__all__ = ["MARK", "Arrival", "Workplace", "arrive_command", "complaint", "prepare", "unusable"]

COMMAND_S = 60.0
"""For a short command on a slow board."""

MARK = "edgecost:"

_HASH = "import hashlib,sys;print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())"

MAKE_WORKDIR = (
    'case "$d" in "~/"*) d="$HOME/${d#??}";; esac; '
    'if ! test -d "$d"; then t=$d; while q=${t%/*} && ! test -d "$q/"; do t=$q; done; '
    'mkdir -p -- "$d" && t=$(cd -- "${t%/*}/" && pwd -P)/${t##*/} && '
    'printf "%s\\n" "$t" > "$d/made" || exit 1; fi; '
)
"""Makes the workdir `$d`, and notes in it the topmost folder that had to be made for it: removing will go that far."""

_FIND = (
    "umask 077; d=$1; p=$2; s=$3; shift 3; "
    f"{MAKE_WORKDIR}"
    'case "$p" in "~/"*) p="$HOME/${p#??}";; esac; '
    'mkdir -p -- "$d/agent" "$d/artefacts" "$d/sessions" && cd -- "$d" && test -w artefacts || exit 1; '
    'd=$(pwd -P); f="agent/$s.pyz"; h=-; '
    'if test -f "$f"; then h=$(sha256sum "$f" < /dev/null 2> /dev/null) || '
    f'h=$("$p" -c "{_HASH}" "$f" < /dev/null 2> /dev/null); fi; '
    f'printf \'\\n{MARK}%s\\n\' "$HOME" "$d" "${{h%% *}}"; '
)
"""Makes the workdir `$1` (0700) where it is missing, and prints home, workdir and the SHA-256 of the agent `$3`.

They stand behind a mark: a login shell's rc file may print lines of its own before them. It is one line, because some
login shells take no line breaks inside quotes.
"""

_ATTACH = _FIND + 'test -z "$h" || test "${h%% *}" = "$s" || exit 0; exec "$p" -u "$d/$f" attach "$d" "$@"'
"""Where nothing could be hashed, Python itself is missing, and its absence is what is to be reported."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Absolute paths on the board.

    Attributes:
        home: what "~" stands for there.
        folder: the device's workdir.
        python: the interpreter.
    """

    home: str
    folder: str
    python: str

    @property
    def lease(self) -> str:
        """The file that is locked by whoever uses the board."""
        return f"{self.folder}/lease"

    def agent(self, sha256: str) -> str:
        """Where an agent of that hash lies."""
        return f"{self.folder}/agent/{sha256}.pyz"

    def artefact(self, sha256: str, suffix: str) -> str:
        """Where an artefact of that hash lies; `suffix` begins with a dot."""
        return f"{self.folder}/artefacts/{sha256}{suffix}"


class Arrival:
    """Collects what the marked lines of a command say.

    Args:
        device: whose workdir it is.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._words: list[str] = []

    def take(self, line: bytes) -> bool:
        """Read a line; whether there is nothing more to read."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.startswith(MARK):
            self._words.append(text.removeprefix(MARK))
        return len(self._words) == 3

    @property
    def workplace(self) -> Workplace | None:
        """Where the command found itself; None where it did not say so, or said what no path can be."""
        paths = self._words[:2]
        if len(self._words) != 3 or not all(p.startswith("/") and p.isprintable() and len(p) < 4096 for p in paths):
            return None
        home, folder = paths
        python = self._device.python
        return Workplace(home, folder, home + python[1:] if python.startswith("~/") else python)

    @property
    def agent_sha256(self) -> str:
        """Of the agent that lies there; "-" where none does."""
        return self._words[2] if len(self._words) == 3 else ""


def arrive_command(device: Device, sha256: str, *attach: str) -> list[str]:
    """Prints the marked lines and, where the agent of that hash lies there whole, becomes its `attach` in the workdir.

    One command, because a login shell may take half a second to start one.
    """
    return ["sh", "-c", _ATTACH, "sh", device.workdir, device.python, sha256, *attach]


def prepare(transport: Transport, device: Device) -> Workplace:
    """Make the workdir (0700) where it is missing, and learn the absolute paths.

    Raises:
        DeviceError: it cannot be made or written to.
    """
    result = transport.run(["sh", "-c", _FIND, "sh", device.workdir, device.python, ""], timeout_s=COMMAND_S)
    arrival = Arrival(device)
    for line in result.stdout.splitlines():
        if arrival.take(line):
            break
    place = arrival.workplace
    if result.exit_status != 0 or place is None:
        raise unusable(device, complaint(result))
    return place


def unusable(device: Device, reason: str) -> DeviceError:
    """The error for a workdir that cannot be made or written to."""
    return DeviceError(
        f"The workdir {device.workdir} of {device.id} cannot be used ({reason}): make it writable for "
        f"{device.user}, free some space, or give another `workdir` in devices.yaml.",
        device.id,
    )


def complaint(result: CommandResult) -> str:
    """A command's last words, safe to show."""
    text = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
    return escape(text.splitlines()[-1], 200) if text else f"exit status {result.exit_status}"
