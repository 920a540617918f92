"""The boards' SSH servers by OpenSSH: one sshd a board, as the present user, without touching anything in /etc.

Commands see the board's home as HOME, but start in the user's own home folder, as sshd has it; whoever is root can log
in as root only. The in-process servers are the default; this is for those who want the very server that boards have.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from profiler.errors import ConfigError, DeviceTimeout
from profiler.fleet.inventory.yamltext import write_atomically
from profiler.fleet.sessions.identity import process_start
from profiler.fleet.virtual.boards import BoardFiles

__all__ = ["OpenSSH", "find_sshd"]

_START_S = 15.0
_STOP_S = 5.0
_POLL_S = 0.02
_ATTEMPTS = 3

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
PidFile none
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PermitTTY no
PermitUserRC no
DisableForwarding yes
ClientAliveInterval 15
ClientAliveCountMax 3
SetEnv {environment}
Subsystem sftp internal-sftp -d {home}
"""


def find_sshd() -> str | None:
    """Where sshd is, or None; it insists on being started by its absolute path."""
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


class OpenSSH:
    """All boards behind sshd; started once, stopped once."""

    name = "openssh"

    def __init__(self) -> None:
        sshd = find_sshd()
        if sshd is None:
            raise ConfigError("OpenSSH's sshd is not installed here: install openssh-server, or leave out `openssh`.")
        self._sshd = sshd
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self.user = getpass.getuser()

    def start(self, files: Sequence[BoardFiles], wanted: Mapping[str, int]) -> dict[str, int]:
        """Start one sshd a board, at the port wanted where it is free; the ports by id.

        Raises:
            ConfigError: sshd ended at once (its own words are in the message).
            DeviceTimeout: it does not answer.
        """
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where its unprivileged half is confined
        return {part.board.id: self._serve(part, wanted.get(part.board.id, 0)) for part in files}

    def _serve(self, part: BoardFiles, wanted: int) -> int:
        log = part.host_key.with_name("sshd.log")
        for attempt in range(_ATTEMPTS):
            port = _free_port(wanted if attempt == 0 else 0)
            config = part.host_key.with_name("sshd_config").resolve()
            paths = {"host_key": part.host_key, "authorized_keys": part.authorized_keys, "home": part.home}
            home = part.home.resolve()
            quoted = {name: f'"{path.resolve()}"' for name, path in paths.items()}
            environment = " ".join(f'"{name}={value}"' for name, value in {"HOME": home, **part.environment}.items())
            write_atomically(config, _CONFIG.format(port=port, environment=environment, **quoted), mode=0o600)
            with log.open("wb") as file:
                server = subprocess.Popen(
                    [self._sshd, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=file, stderr=file
                )
            self._servers[part.board.id] = server
            if _answers(server, port):
                return port
            if server.poll() is None:
                raise DeviceTimeout(f"sshd for {part.board.id} does not answer within {_START_S:g} s: see {log}.")
            if "already in use" not in log.read_text(errors="replace"):
                break  # a port may be taken between our looking and its listening; nothing else mends itself
        words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ConfigError(f"sshd for {part.board.id} did not start ({words[-1][:300]}): see {log}.")

    def start_one(self, part: BoardFiles, port: int) -> None:
        """Serve a board at exactly this port; raises as `start`."""
        found = self._serve(part, port)
        if found != port:
            self.stop_one(part.board.id)
            raise ConfigError(f"Port {port}, at which {part.board.id} was, has been taken by somebody else.")

    def stop_one(self, board_id: str) -> None:
        """End a board's server with the connections and commands below it."""
        server = self._servers.pop(board_id, None)
        if server is not None:
            _end([server])

    def cut(self, board_id: str) -> None:
        """Break the board's connections: each has a process of its own below the server."""
        server = self._servers.get(board_id)
        for pid in _children(server.pid) if server is not None else []:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """Processes of the servers."""
        return [server.pid for server in self._servers.values()]

    def stop(self) -> None:
        """End every server with the connections and commands below it."""
        _end(list(self._servers.values()))
        self._servers.clear()


def _end(servers: Sequence[subprocess.Popen[bytes]]) -> None:
    below = [pid for server in servers for pid in _descendants(server.pid)]
    for server in servers:
        server.terminate()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        deadline = time.monotonic() + _STOP_S
        while any(process_start(pid) for pid in below) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_S)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise ConfigError("No port of 127.0.0.1 is free for the embedded fleet.")


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it greets as an SSH server in time, and lives."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as link:
            if link.recv(8).startswith(b"SSH-2.0"):
                return server.poll() is None
        time.sleep(_POLL_S)
    return False


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        listings = [path.read_text(encoding="ascii") for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(word) for listing in listings for word in listing.split()]
    return []


def _descendants(pid: int) -> list[int]:
    """The processes below one that belong to it; sshd puts every connection into a session of its own, so no group
    holds them.

    What a command has detached from itself (with a session of its own, as agents do) is left out.
    """
    of_server = _status(pid)[0].startswith("sshd")
    own = [child for child in _children(pid) if of_server or _status(child)[1] != child]
    return [each for child in own for each in (child, *_descendants(child))]


def _status(pid: int) -> tuple[str, int]:
    """A process's name and session; no name and none where it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        before, _, after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        return before.partition("(")[2], int(after.split()[3])
    return "", 0
