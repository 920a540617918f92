"""One board of the embedded fleet: an SSH server on loopback whose commands are real processes with their own home.

It admits one user with one key, runs what is asked by the shell as sshd does, and serves files below the board's home.
There is no terminal, no forwarding and no password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from profiler.fleet.virtual.boards import USER, BoardFiles

__all__ = ["Activity", "listen"]

_CHUNK_BYTES = 65536
_GRACE_S = 1.0
"""For a command to end by itself once nobody is connected to it, and again once it was asked to."""

_INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TZ")
"""Of the server's own environment: what a relocated Python may need to start, and how text is encoded."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The connections that are open and the commands that run, so that they can be ended."""

    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    commands: set[asyncio.Task[Any]] = field(default_factory=set)

    async def end(self) -> None:
        """End every command with its children, then break every connection."""
        commands = tuple(self.commands)
        for task in commands:
            task.cancel()
        await asyncio.gather(*commands, return_exceptions=True)
        connections = tuple(self.connections)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.wait_closed() for connection in connections), return_exceptions=True)


async def listen(files: BoardFiles, port: int, activity: Activity) -> asyncssh.SSHAcceptor:
    """Serve one board on 127.0.0.1; port 0 takes any that is free. OSError when the port is taken."""
    home = files.home

    async def execute(process: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.current_task()
        assert task is not None
        activity.commands.add(task)
        try:
            await _execute(process, home, files.environment)
        finally:
            activity.commands.discard(task)

    return await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=lambda: _Door(files.authorized_keys, activity.connections),
        server_host_keys=[str(files.host_key)],
        process_factory=execute,
        sftp_factory=lambda channel: _Files(channel, home),
        encoding=None,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        public_key_auth=True,
        allow_pty=False,
        line_editor=False,
        allow_scp=False,
        agent_forwarding=False,
        x11_forwarding=False,
        login_timeout=20,
        keepalive_interval=15,
        keepalive_count_max=3,
        reuse_address=True,
    )


class _Door(asyncssh.SSHServer):
    """Admits the board's one user with a key of its authorized_keys."""

    def __init__(self, authorized_keys: Path, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._authorized_keys = authorized_keys
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember the connection, whose keys are set once the user is known."""
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._connection is not None:
            self._connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        """Also for users who have no key here: who exists is not for strangers to find out."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Asked for keys that are not in authorized_keys."""
        return False

    def begin_auth(self, username: str) -> bool:
        """Authentication is always asked for; only the one user has keys that could succeed."""
        if username == USER and self._connection is not None:
            self._connection.set_authorized_keys(str(self._authorized_keys))
        return True


class _Files(asyncssh.SFTPServer):
    """The files below the board's home, by the same absolute paths that its commands see."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        """Relative paths start at home; nothing outside it is served, links included."""
        folder, name = os.path.split(os.path.normpath(os.path.join(self._home, path)))
        # a link that is to be removed or renamed is meant itself, so only its folder is followed
        place = os.path.join(os.path.realpath(folder), name)
        if not all(self._is_inside(candidate) for candidate in (place, os.path.realpath(place))):
            raise asyncssh.SFTPPermissionDenied("outside the board's home")
        return place

    def _is_inside(self, path: bytes) -> bool:
        return path == self._home or path.startswith(self._home + b"/")


async def _execute(process: asyncssh.SSHServerProcess[bytes], home: Path, environment: Mapping[str, str]) -> None:
    """Run the command asked for until it ends, or until nobody is connected to it any more."""
    if process.command is None or process.subsystem is not None:
        process.stderr.write(b"This board runs commands and serves files; it has no login shell.\n")
        process.exit(1)
        return
    pipe = asyncio.subprocess.PIPE
    try:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                process.command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=home,
                env={**_environment(home), **environment},
                start_new_session=True,  # so that all of its children can be ended together
            )
        )
        try:
            # asyncio may wait for ever for a process whose start is cancelled half-way: let it start, then end it
            child = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _end(await starting)
            raise
    except OSError as error:
        process.stderr.write(f"cannot start the command: {error.strerror}\n".encode())
        process.exit(126)
        return
    try:
        await _attend(process, child)
    finally:
        await _end(child)


def _environment(home: Path) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.environ.get("PATH", os.defpath)
    return {"LANG": "C.UTF-8", **environment, "PATH": path, "HOME": str(home), "USER": USER, "LOGNAME": USER}


async def _attend(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    to_child = asyncio.ensure_future(_forward_input(process, child, child.stdin))
    from_child = asyncio.gather(
        _forward_output(child.stdout, process.stdout), _forward_output(child.stderr, process.stderr), child.wait()
    )
    gone = asyncio.ensure_future(process.wait_closed())
    either: set[asyncio.Future[Any]] = {from_child, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            _report(process, from_child.result()[2])
    finally:
        for task in (to_child, from_child, gone):
            task.cancel()
        await asyncio.gather(to_child, from_child, gone, return_exceptions=True)


async def _forward_input(
    process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process, stdin: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        while True:
            try:
                data = await process.stdin.read(_CHUNK_BYTES)
            except asyncssh.SignalReceived as received:
                _signal(child, getattr(signal, f"SIG{received.signal}", signal.SIGTERM))
                continue
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue
            if not data:
                break
            stdin.write(data)
            await stdin.drain()
    stdin.close()


async def _forward_output(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    # read() returns what there is, so nothing waits for a buffer to fill
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()


def _report(process: asyncssh.SSHServerProcess[bytes], status: int) -> None:
    if status >= 0:
        process.exit(status)
    else:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))


async def _end(child: asyncio.subprocess.Process) -> None:
    """End whatever of the command's process group is still there, politely at first."""
    try:
        # the end of its input tells an agent to end its worker, which is in a group of its own, and then itself
        if child.stdin is not None:
            child.stdin.close()
        for number in (None, signal.SIGTERM):
            if child.returncode is None:
                if number is not None:
                    _signal(child, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), _GRACE_S)
    finally:
        # children may outlive the command itself; the group is theirs too
        _signal(child, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(child.wait(), _discard(child.stdout), _discard(child.stderr)), _GRACE_S
            )


async def _discard(stream: asyncio.StreamReader | None) -> None:
    """Read to the end: a pipe whose reader has stopped half-way would not notice that it is over."""
    while stream is not None and await stream.read(_CHUNK_BYTES):
        pass


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
