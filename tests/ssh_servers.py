"""SSH servers whose surroundings tests bend: another PATH or home, an rc file that prints, forwarding or none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

from profiler.fleet.targets import Device, JumpHost, Target

USER = "someone"


class BentServer:
    """One SSH server on loopback, in a thread with an event loop of its own.

    Args:
        folder: where its keys lie, and its home unless `home` is given.
        prelude: shell text that runs before every command, as an rc file would.
        environment: of its commands; HOME and PATH have defaults.
        home: HOME and working folder of its commands.
        forwards: whether it forwards connections, as a jump host does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prelude: str = "",
        environment: dict[str, str] | None = None,
        home: Path | None = None,
        forwards: bool = False,
    ) -> None:
        self.home = home or folder / "home"
        if home is None:
            self.home.mkdir(parents=True)
        self.prelude, self.forwards = prelude, forwards
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            **(environment or {}),
        }
        self.requested: list[tuple[str, int]] = []
        self.commands: list[str] = []
        self._host_key, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.identity = folder / "client_key"
        client.write_private_key(self.identity)
        self.identity.chmod(0o600)
        self._client_keys = client.export_public_key().decode()
        self.fingerprint = self._host_key.get_fingerprint("sha256")
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._groups: set[int] = set()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._listener: asyncssh.SSHAcceptor | None = None

    def device(self, *targets: Target, **fields: Any) -> Device:
        """As a devices.yaml would describe it."""
        known: dict[str, Any] = {
            "id": "bent",
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "identity_file": str(self.identity),
            "host_key": self.fingerprint,
            "python": sys.executable,
            "machine": str(self.home),
            "emulation": "loopback",
            "targets": targets or (Target("bent", "onnxruntime", "fp32"),),
        }
        return Device(**{**known, **fields})

    def jump(self, **fields: Any) -> JumpHost:
        """As the jump host of another board."""
        known = {"host_key": self.fingerprint, "identity_file": str(self.identity), "port": self.port}
        return JumpHost(**{"host": "127.0.0.1", "user": USER, **known, **fields})

    def admit(self, identity: Path) -> None:
        """Another private key whose owner may log in from the next connection on."""
        self._client_keys += asyncssh.read_private_key(identity).export_public_key().decode()

    def cut(self) -> None:
        """Break every connection, without a word."""
        self._loop.call_soon_threadsafe(self._abort)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        self.port = self._listener.get_port()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(self),
            server_host_keys=[self._host_key],
            process_factory=self._execute,
            sftp_factory=True,
            encoding=None,
            allow_pty=False,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
        )

    async def _execute(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.commands.append(process.command or "")
        child = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"{self.prelude}\n{process.command}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=self.environment,
            start_new_session=True,
        )
        self._groups.add(child.pid)
        assert child.stdin is not None
        taking = asyncio.ensure_future(_feed(process.stdin, child.stdin))
        await asyncio.gather(_show(child.stdout, process.stdout), _show(child.stderr, process.stderr))
        status = await child.wait()
        taking.cancel()
        process.exit(status if status >= 0 else 128 - status)

    def _abort(self) -> None:
        for connection in tuple(self._connections):
            connection.abort()

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._abort()
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        if self._listener is not None:
            await self._listener.wait_closed()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(tasks, timeout=5) if tasks else None


async def _feed(source: asyncssh.SSHReader[bytes], target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


async def _show(source: asyncio.StreamReader | None, target: asyncssh.SSHWriter[bytes]) -> None:
    while source is not None and (data := await source.read(65536)):
        with contextlib.suppress(ConnectionError, asyncssh.Error):
            target.write(data)
            await target.drain()


class _Door(asyncssh.SSHServer):
    def __init__(self, server: BentServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._server._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        assert self._connection is not None
        self._connection.set_authorized_keys(asyncssh.import_authorized_keys(self._server._client_keys))
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        self._server.requested.append((dest_host, dest_port))
        if not self._server.forwards:  # as OpenSSH says it
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")
        return True
