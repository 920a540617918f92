"""A board behind a jump host: two servers, each checked, and errors that say which of them it was."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from ssh_servers import BentServer

from profiler.errors import (
    AuthenticationFailed,
    ConfigError,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    HostKeyMismatch,
    Unreachable,
)
from profiler.fleet.targets import Device, JumpHost
from profiler.fleet.transport.ssh import Limits, connect, fetch_host_key
from profiler.fleet.virtual.openssh import find_sshd

BRIEF = Limits(connect_s=5, handshake_s=10, auth_s=5, channel_s=2, transfer_s=2)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BentServer]:
    with BentServer(tmp_path_factory.mktemp("gate"), forwards=True) as up:
        yield up


@pytest.fixture
def behind(gate: BentServer, board: Device) -> Device:
    """The board, reached through the gate."""
    return replace(board, jump=gate.jump())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_board_behind_a_jump_host_is_used_like_any_other(gate: BentServer, behind: Device, tmp_path: Path) -> None:
    gate.requested.clear()
    link = connect(behind)
    try:
        assert gate.requested == [(behind.host, behind.port)]
        assert gate.commands == [], "nothing runs on the jump host"
        home = link.run(["sh", "-c", "pwd -P"], timeout_s=10).stdout.decode().strip()
        link.put(b"x" * 3_000_000, f"{home}/{tmp_path.name}")
        assert link.run(["wc", "-c", f"{home}/{tmp_path.name}"], timeout_s=10).stdout.split()[0] == b"3000000"
        channel = link.open(["cat"])
        channel.write_line(b"hello")
        assert channel.read_line(10) == b"hello"
    finally:
        link.close()


def test_both_connections_end_with_the_link(behind: Device) -> None:
    before = {t for t in threading.enumerate() if isinstance(t, paramiko.Transport)}
    link = connect(behind)
    ours = {t for t in threading.enumerate() if isinstance(t, paramiko.Transport)} - before
    assert len(ours) == 2
    link.close()
    for transport in ours:
        transport.join(10)
        assert not transport.is_alive()


def test_a_jump_host_that_is_down_is_named(behind: Device, gate: BentServer) -> None:
    port = free_port()
    device = replace(behind, jump=gate.jump(port=port))
    with pytest.raises(Unreachable, match=rf"the jump host of {behind.id} \(127.0.0.1:{port}\).*`jump` of {behind.id}"):
        connect(device)


def test_a_board_that_is_down_behind_a_jump_host_is_told_from_it(behind: Device) -> None:
    with pytest.raises(Unreachable, match=rf"the jump host .* works, and cannot reach {behind.id} \("):
        connect(replace(behind, port=free_port()))


def test_a_jump_host_that_forwards_nothing_is_told_what_to_set(board: Device, tmp_path: Path) -> None:
    with (
        BentServer(tmp_path) as closed,
        pytest.raises(DeviceError, match=r"the jump host of .* does not forward .*`AllowTcpForwarding yes`"),
    ):
        connect(replace(board, jump=closed.jump()))


@pytest.mark.skipif(find_sshd() is None, reason="OpenSSH's sshd is not installed here")
def test_openssh_that_forwards_nothing_is_understood_too(board: Device, openssh_board: Device) -> None:
    gate = JumpHost(
        *(openssh_board.host, openssh_board.user, openssh_board.port),
        *(openssh_board.identity_file, openssh_board.host_key),
    )
    with pytest.raises(DeviceError, match="`AllowTcpForwarding yes`"):
        connect(replace(board, jump=gate))


@pytest.mark.parametrize("pinned", ["SHA256:" + "A" * 43, None])
def test_a_jump_host_whose_key_is_not_known_is_refused_before_our_key_is_shown(
    behind: Device, gate: BentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: str | None
) -> None:
    def offered(*_: object) -> None:
        pytest.fail("a key was offered before the host was checked")

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", offered)
    (tmp_path / "known_hosts").write_text("")
    device = replace(behind, jump=gate.jump(host_key=pinned, known_hosts=str(tmp_path / "known_hosts")))
    words = "has changed" if pinned else "is unknown"
    with pytest.raises(
        HostKeyMismatch, match=f"host key of the jump host .* {words}.*devices trust {behind.id} --jump"
    ):
        connect(device)


def test_a_boards_key_is_checked_behind_a_jump_host_too(behind: Device) -> None:
    with pytest.raises(
        HostKeyMismatch, match=rf"The host key of {behind.id} \(.*has changed.*devices trust {behind.id}`"
    ):
        connect(replace(behind, host_key="SHA256:" + "A" * 43))


def test_a_jump_host_that_refuses_our_key_is_named(behind: Device, gate: BentServer) -> None:
    with pytest.raises(AuthenticationFailed, match=r"the jump host of .* refuses our key"):
        connect(replace(behind, jump=gate.jump(identity_file=behind.identity_file)))
    with pytest.raises(ConfigError, match=r"for the jump host of .*`jump` of"):
        connect(replace(behind, jump=gate.jump(identity_file="/nonexistent")))


def test_the_keys_of_both_can_be_fetched(behind: Device, gate: BentServer) -> None:
    assert fetch_host_key(behind).fingerprint == behind.host_key
    stranger = replace(behind, jump=gate.jump(host_key=None, identity_file="/nonexistent"))
    key = fetch_host_key(stranger, of_jump=True)
    assert (key.kind, key.fingerprint) == ("ssh-ed25519", gate.fingerprint)


def test_a_jump_host_that_goes_is_named_rather_than_the_board(board: Device, tmp_path: Path) -> None:
    with BentServer(tmp_path, forwards=True) as gate:
        link = connect(replace(board, jump=gate.jump()), BRIEF)
        channel = link.open(["cat"])
        channel.write_line(b"hello")
        assert channel.read_line(10) == b"hello"
        gate.cut()
        with pytest.raises(DeviceLost, match="The link to the jump host of"):
            channel.read_line(10)
        link.close()


def test_a_jump_host_that_falls_silent_never_hangs_us(
    board: Device, gate: BentServer, silence: Silence, tmp_path: Path
) -> None:
    link = connect(replace(board, jump=gate.jump(port=silence.port)), BRIEF)
    folder = f"{link.run(['pwd', '-P'], timeout_s=10).stdout.decode().strip()}/{tmp_path.name}"
    link.run(["mkdir", folder], timeout_s=10)
    link.exists(folder)
    silence.begin()
    start = time.monotonic()
    with pytest.raises(DeviceTimeout):
        link.put(b"x" * 50_000_000, f"{folder}/x")
    with pytest.raises((DeviceLost, DeviceTimeout)):
        link.run(["true"], timeout_s=0.5)
    link.close()
    assert time.monotonic() - start < 60


class Silence:
    """Between us and the gate, until it takes no more bytes and gives none."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._silent, self._sockets = threading.Event(), [self._listener]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def begin(self) -> None:
        self._silent.set()

    def _serve(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._target)
        self._sockets += [near, far]
        for source, target in ((near, far), (far, near)):
            thread = threading.Thread(target=self._pump, args=(source, target), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._silent.is_set() and (data := source.recv(65536)):
                target.sendall(data)

    def end(self) -> None:
        for link in self._sockets:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def silence(gate: BentServer) -> Iterator[Silence]:
    between = Silence(gate.port)
    yield between
    between.end()
