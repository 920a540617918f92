"""A board that speaks SSH properly and lies about everything else: a server of the tests and an agent that is none.

What is asked of its shell runs for real in a folder of its own, up to the moment when the agent is started: there a
`Pretender` answers, who keeps to the protocol wherever an attack does not tell it otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

from tests.faults.fuzzing import FACTS, HELLO, RESULT

_CHUNK_BYTES = 65536
_ANSWER_S = 15.0

NASTY = "\x1b]0;pwned\x07\x1b[2J\r\n\u202e<script>alert(1)</script>\0../../etc/passwd"
"""A title for the terminal, a cleared screen, a line of its own, a turned direction, HTML, a path."""

Process = asyncssh.SSHServerProcess[bytes]
Hook = Callable[["Pretender", dict[str, Any]], Awaitable[None]]
"""What a pretender does instead of the proper answer to one request."""


class Gone(Exception):
    """The host hung up."""


class Pretender:
    """The far end of one conversation.

    Args:
        process: the command that the host believes to be its agent.
        home: where it says that it is.
        hooks: by request ("hello", "facts", "have", "block", ...), and "start" for what comes before.
    """

    def __init__(self, process: Process, hooks: dict[str, Hook], home: Path) -> None:
        self._process = process
        self._hooks = hooks
        self._home = home
        self._seq = 0
        # sh -c SCRIPT sh WORKDIR PYTHON SHA256 SESSION OWNER WAIT_S
        words = [*shlex.split(process.command or ""), *[""] * 10]
        self.sha256, self.session = words[6], words[7]

    async def say(self, message: dict[str, Any]) -> None:
        """One message, whatever is in it."""
        await self.write(json.dumps(message).encode("utf-8", "surrogatepass") + b"\n")

    async def write(self, data: bytes) -> None:
        """Bytes, as they are."""
        if self._process.stdout.is_closing():
            raise Gone
        self._process.stdout.write(data)
        await self._process.stdout.drain()

    async def murmur(self, data: bytes) -> None:
        """Bytes to stderr."""
        if self._process.stderr.is_closing():
            raise Gone
        self._process.stderr.write(data)
        await self._process.stderr.drain()

    async def hear(self) -> dict[str, Any]:
        """The host's next request."""
        line = await self._process.stdin.readline()
        if not line.endswith(b"\n"):
            raise Gone
        request = json.loads(line)
        assert isinstance(request, dict)
        return request

    async def sulk(self) -> None:
        """Say no more until the host hangs up."""
        with contextlib.suppress(Exception):
            while await self._process.stdin.read(_CHUNK_BYTES):
                pass
        raise Gone

    def exit(self, status: int) -> None:
        """End."""
        self._process.exit(status)
        raise Gone

    def seq(self) -> int:
        """The number of the next entry of its journal."""
        self._seq += 1
        return self._seq - 1

    async def converse(self) -> None:
        """Answer until the host has gone."""
        with contextlib.suppress(Gone, BrokenPipeError, ConnectionError, asyncssh.Error):
            await (self._hooks["start"](self, {}) if "start" in self._hooks else self.arrive())
            while True:
                request = await self.hear()
                hook = self._hooks.get(str(request.get("op")))
                await (hook(self, request) if hook else self.answer(request))

    async def arrive(self, home: str = "", folder: str = "", sha256: str = "") -> None:
        """Say where the workdir is, and that the agent lies in it."""
        place = self._home / "work"
        for name in ("agent", "artefacts", "sessions"):
            (place / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        words = (home or str(self._home), folder or str(place), sha256 or self.sha256)
        await self.write(b"\n" + b"".join(f"edgecost:{word}\n".encode() for word in words))

    async def answer(self, request: dict[str, Any]) -> None:
        """As the protocol has it."""
        kind = request.get("op")
        if kind == "hello":
            await self.say({**HELLO, "session": self.session, "entries": 0})
        elif kind == "facts":
            await self.say({"event": "facts", "facts": FACTS})
        elif kind == "have":
            await self.say({"event": "missing", "places": []})
        elif kind == "block":
            await self.say({"event": "queued", "jobs": len(request["jobs"])})
            for job in request["jobs"]:
                await self.say({"event": "started", "seq": self.seq(), "id": job["id"]})
                await self.say({**RESULT, "seq": self.seq(), "id": job["id"]})
        elif kind == "drop":
            await self.say({"event": "dropped"})
        elif kind == "quit":
            await self.say({"event": "bye", "why": "asked to"})
            self.exit(0)


@dataclass(frozen=True)
class Attack:
    """One way to be hostile.

    Attributes:
        hooks: of the pretender.
        shell: what commands for the shell answer; (output, exit status) or None to run them for real.
        files: serves the SFTP subsystem by hand; None serves files properly.
        pause_s: so long does the host look away between the facts and its block of jobs.
        raw: speaks instead of an SSH server.
    """

    hooks: dict[str, Hook]
    shell: Callable[[str], tuple[bytes, int] | None] | None = None
    files: Callable[[Process], Awaitable[None]] | None = None
    pause_s: float = 0.0
    raw: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None


class HostileBoard:
    """One board; its commands run in `home`. A context manager.

    Attributes:
        key: the private key that it admits.
        fingerprint: of its host key.
        attack: what it does; may be changed between two connections.
    """

    def __init__(self, root: Path) -> None:
        self._home = root / "home"
        self._home.mkdir(parents=True)
        self.key = root / "key"
        self.attack = Attack({})
        self.fingerprint = ""
        self._tasks: set[asyncio.Task[Any]] = set()
        client = asyncssh.generate_private_key("ssh-ed25519")
        client.write_private_key(self.key)
        self.key.chmod(0o600)
        self._admitted = client.export_public_key()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile-board", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_ANSWER_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_ANSWER_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()

    async def _listen(self) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.fingerprint = key.convert_to_public().get_fingerprint("sha256")
        self._server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(self),
            server_host_keys=[key],
            authorized_client_keys=asyncssh.import_authorized_keys(self._admitted.decode()),
            encoding=None,
            line_editor=False,
        )
        self._raw = await asyncio.start_server(self._speak, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        """Where it listens for the present attack."""
        return int(self._raw.sockets[0].getsockname()[1] if self.attack.raw else self._server.get_port())

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.attack.raw is not None:
                await self.attack.raw(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        self._raw.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def attend(self, process: Process) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(Gone, BrokenPipeError, ConnectionError, asyncssh.Error):
                await self._serve(process)
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(OSError, asyncssh.Error):
                process.exit(0)

    async def _serve(self, process: Process) -> None:
        attack, command = self.attack, process.command or ""
        if attack.files is not None and process.subsystem is not None:
            await attack.files(process)
        elif " attach " in command:
            await Pretender(process, attack.hooks, self._home).converse()
        else:
            await self._run(process, command, attack.shell(command) if attack.shell else None)

    async def _run(self, process: Process, command: str, answer: tuple[bytes, int] | None) -> None:
        if answer is None:
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=self._home,
                env={**os.environ, "HOME": str(self._home)},
            )  # fmt: skip
            data = await process.stdin.read()
            out, err = await child.communicate(data)
            process.stderr.write(err)
            answer = out, child.returncode or 0
        process.stdout.write(answer[0])
        await process.stdout.drain()
        process.exit(answer[1])


class _Door(asyncssh.SSHServer):
    """One connection; the right key has been asked for before anything here is."""

    def __init__(self, board: HostileBoard) -> None:
        self._board = board

    def session_requested(self) -> _Session:
        """A command, or the file server."""
        properly = self._board.attack.files is None
        files = (lambda channel: asyncssh.SFTPServer(channel)) if properly else None
        return _Session(self._board.attend, files, 3, False)


class _Session(asyncssh.SSHServerProcess[bytes]):
    """A process whose file server may be served by hand."""

    def subsystem_requested(self, subsystem: str) -> bool:
        """There is one."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Serve files by hand where nobody does it properly."""
        assert self._chan is not None
        if self._chan.get_subsystem() == "sftp" and self._sftp_factory is None:
            self._chan._subsystem = "sftp by hand"
        super().session_started()
