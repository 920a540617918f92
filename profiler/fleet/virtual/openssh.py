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
from profiler.fleet.virtual.boards import BoardFiles
from profiler.fleet.yamltext import write_atomically

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
SetEnv HOME={home}
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
        self._servers: list[subprocess.Popen[bytes]] = []
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
            quoted = {name: f'"{path.resolve()}"' for name, path in paths.items()}
            write_atomically(config, _CONFIG.format(port=port, **quoted), mode=0o600)
            with log.open("wb") as file:
                server = subprocess.Popen(
                    [self._sshd, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=file, stderr=file
                )
            self._servers.append(server)
            if _answers(server, port):
                return port
            if server.poll() is None:
                raise DeviceTimeout(f"sshd for {part.board.id} does not answer within {_START_S:g} s: see {log}.")
            if "already in use" not in log.read_text(errors="replace"):
                break  # a port may be taken between our looking and its listening; nothing else mends itself
        words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ConfigError(f"sshd for {part.board.id} did not start ({words[-1][:300]}): see {log}.")

    def stop(self) -> None:
        """End every server with the connections and commands below it."""
        below = [pid for server in self._servers for pid in _descendants(server.pid)]
        for server in self._servers:
            server.terminate()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            deadline = time.monotonic() + _STOP_S
            while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        for server in self._servers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(_STOP_S)
        self._servers.clear()


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


def _descendants(pid: int) -> list[int]:
    """All processes below one; sshd puts every connection into a session of its own, so no group holds them."""
    found = []
    with contextlib.suppress(OSError):
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, listing.read_text(encoding="ascii").split()):
                found += [child, *_descendants(child)]
    return found
