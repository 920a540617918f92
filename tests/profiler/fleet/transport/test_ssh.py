from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from profiler.errors import (
    AuthenticationFailed,
    ConfigError,
    DeviceLost,
    DeviceTimeout,
    HostKeyMismatch,
    Unreachable,
)
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import Limits, SSHTransport, connect, fetch_host_key
from profiler.fleet.transport.ssh_channel import collect

BRIEF = Limits(connect_s=5, handshake_s=0.5, auth_s=5, channel_s=2, transfer_s=1)


def public_line(board: Device) -> str:
    """The board's host key as known_hosts writes it."""
    assert board.identity_file is not None
    key = Path(board.identity_file).parent / "boards" / board.id / "host_key"
    return " ".join(asyncssh.read_private_key(key).export_public_key().decode().split()[:2])


def other_line() -> str:
    key = asyncssh.generate_private_key("ssh-ed25519")
    return " ".join(key.export_public_key().decode().split()[:2])


@pytest.fixture
def knowing(board: Device, tmp_path: Path) -> Callable[..., Device]:
    """The board, checked against a known_hosts file of these lines ("{host}" is its name there)."""

    def make(*lines: str) -> Device:
        path = tmp_path / "known_hosts"
        path.write_text("".join(line.replace("{host}", f"[{board.host}]:{board.port}") + "\n" for line in lines))
        return replace(board, host_key=None, known_hosts=str(path))

    return make


@contextmanager
def server(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that is none of SSH: answers every connection as `speak` does; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                link, _ = listener.accept()
                with link:
                    speak(link)
        except OSError:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


# Who is it?


def test_the_pinned_key_is_accepted(board: Device) -> None:
    connect(board).close()


def test_a_changed_host_key_is_refused_and_the_remedy_named(board: Device, boards: dict[str, Device]) -> None:
    moved = replace(board, port=boards["torch-fp32-t1"].port)
    with pytest.raises(HostKeyMismatch, match=r"has changed: SHA256:.*edgecost devices trust ort-fp32-t1"):
        connect(moved)


def test_an_unknown_host_key_is_refused_and_the_remedy_named(knowing: Callable[..., Device]) -> None:
    device = knowing("# nobody")
    with pytest.raises(HostKeyMismatch, match=r"is unknown: .*edgecost devices trust ort-fp32-t1"):
        connect(device)
    assert Path(device.known_hosts or "").read_text() == "# nobody\n", "nothing is learned by itself"


def test_nothing_of_ours_is_shown_to_a_host_that_is_not_known(
    knowing: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offered(*_: object) -> None:
        pytest.fail("a key was offered before the host was checked")

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", offered)
    with pytest.raises(HostKeyMismatch):
        connect(knowing())


def test_a_key_of_known_hosts_is_accepted(knowing: Callable[..., Device], board: Device) -> None:
    connect(knowing("nonsense", "", f"{{host}} {public_line(board)} comment")).close()


def test_a_hashed_line_of_known_hosts_is_accepted(knowing: Callable[..., Device], board: Device) -> None:
    hashed = paramiko.HostKeys.hash_host(f"[{board.host}]:{board.port}")
    connect(knowing(f"{hashed} {public_line(board)}")).close()


def test_another_key_in_known_hosts_is_a_change(knowing: Callable[..., Device]) -> None:
    with pytest.raises(HostKeyMismatch, match="has changed: known_hosts has ssh-ed25519"):
        connect(knowing(f"{{host}} {other_line()}"))


def test_the_key_of_another_port_does_not_count(knowing: Callable[..., Device], board: Device) -> None:
    with pytest.raises(HostKeyMismatch, match="unknown"):
        connect(knowing(f"{board.host} {public_line(board)}"))


def test_a_revoked_key_is_refused_although_it_is_listed_too(knowing: Callable[..., Device], board: Device) -> None:
    key = public_line(board)
    with pytest.raises(HostKeyMismatch, match="revoked"):
        connect(knowing(f"{{host}} {key}", f"@revoked {{host}} {key}"))


def test_a_known_hosts_file_that_is_named_must_exist(board: Device, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known_hosts"):
        connect(replace(board, host_key=None, known_hosts=str(tmp_path / "none")))


def test_the_fingerprint_can_be_fetched_without_trust_or_key(board: Device) -> None:
    stranger = replace(board, host_key="SHA256:" + "A" * 43, identity_file="/nonexistent")
    assert fetch_host_key(stranger).fingerprint == board.host_key


# Who are we?


def test_a_wrong_client_key_is_refused(board: Device, tmp_path: Path) -> None:
    path = tmp_path / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    with pytest.raises(AuthenticationFailed, match=r"refuses our key \(SHA256:.*authorized_keys"):
        connect(replace(board, identity_file=str(path)))


def test_a_wrong_user_is_refused(board: Device) -> None:
    with pytest.raises(AuthenticationFailed, match="root@"):
        connect(replace(board, user="root"))


def test_no_password_is_accepted(board: Device) -> None:
    link = paramiko.Transport((board.host, board.port))
    try:
        link.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as caught:
            link.auth_password(board.user, "")
        assert caught.value.allowed_types == ["publickey"]
    finally:
        link.close()


@pytest.mark.parametrize("content", [None, "no key", "passphrase"])
def test_a_private_key_that_cannot_be_used_is_named(board: Device, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    expected = {None: "No such file", "no key": "no private key", "passphrase": "passphrase"}[content]
    if content == "passphrase":
        key = ed25519.Ed25519PrivateKey.generate()
        locked = serialization.BestAvailableEncryption(b"secret")
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, locked))
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"{path}.*{expected}.*identity_file"):
        connect(replace(board, identity_file=str(path)))


def test_without_identity_file_the_users_own_keys_are_offered(
    board: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    with pytest.raises(ConfigError, match="ssh-keygen"):
        connect(replace(board, identity_file=None))
    assert board.identity_file is not None
    (tmp_path / ".ssh" / "id_rsa").write_text("a key of no use")
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(Path(board.identity_file).read_bytes())
    connect(replace(board, identity_file=None)).close()


# Is it there?


def test_an_unreachable_host_is_named_with_what_to_check(board: Device) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=rf"ort-fp32-t1 \(127.0.0.1:{port}\).*refused.*devices.yaml"):
        connect(replace(board, port=port))


def test_a_name_that_does_not_resolve_is_unreachable(board: Device) -> None:
    with pytest.raises(Unreachable, match="no-such-host"):
        connect(replace(board, host="no-such-host.invalid"))
    with pytest.raises(Unreachable):
        connect(replace(board, host="a" * 70 + ".example"))


def test_something_else_that_answers_is_unreachable(board: Device) -> None:
    with (
        server(lambda link: link.sendall(b"HTTP/1.1 400 Bad Request\r\n\x1b[31m\r\n")) as port,
        pytest.raises(Unreachable, match="no SSH server") as caught,
    ):
        connect(replace(board, port=port))
    assert "\x1b" not in str(caught.value)


def test_a_server_that_says_nothing_is_a_timeout(board: Device) -> None:
    silent = threading.Event()
    with server(lambda _: silent.wait(10) and None) as port:
        try:
            with pytest.raises(DeviceTimeout, match="said nothing for"):
                connect(replace(board, port=port), BRIEF)
        finally:
            silent.set()


# Does it stay?


@pytest.fixture
def link(proxy: Any, board: Device) -> Iterator[SSHTransport]:
    """A link through `proxy`."""
    link = connect(replace(board, port=proxy.port), replace(BRIEF, handshake_s=10))
    yield link
    link.close()


@pytest.mark.parametrize("act", ["run", "open", "put", "exists"])
def test_a_board_that_falls_silent_never_hangs_us(proxy: Any, link: SSHTransport, act: str) -> None:
    link.run(["true"], timeout_s=10)
    link.exists("x")
    proxy.stall()
    actions: dict[str, Callable[[], object]] = {
        "run": lambda: link.run(["true"], timeout_s=0.5),
        "open": lambda: link.open(["cat"]),
        "put": lambda: link.put(b"x" * 10_000_000, "x"),
        "exists": lambda: link.exists("x"),
    }
    with pytest.raises(DeviceTimeout):
        actions[act]()
    with pytest.raises((DeviceLost, DeviceTimeout)):  # and the link is not used again
        link.run(["true"], timeout_s=0.5)


def test_a_board_that_falls_silent_during_a_conversation(proxy: Any, link: SSHTransport) -> None:
    channel = link.open(["cat"])
    channel.write_line(b"hello")
    assert channel.read_line(10) == b"hello"
    proxy.stall()
    with pytest.raises(DeviceTimeout):
        channel.read_line(0.3)
    with pytest.raises(DeviceTimeout):
        channel.write_line(b"x" * 50_000_000)


def test_a_link_that_breaks_is_not_mistaken_for_a_command_that_ends(proxy: Any, link: SSHTransport) -> None:
    channel = link.open(["cat"])
    channel.write_line(b"hello")
    assert channel.read_line(10) == b"hello"
    threading.Timer(0.2, proxy.cut).start()
    with pytest.raises(DeviceLost, match="link to ort-fp32-t1 broke"):
        channel.read_line(10)
    with pytest.raises(DeviceLost):
        link.run(["true"], timeout_s=5)


def test_a_link_that_breaks_under_a_command_is_lost(proxy: Any, link: SSHTransport) -> None:
    threading.Timer(0.3, proxy.cut).start()
    with pytest.raises(DeviceLost):
        link.run(["sleep", "30"], timeout_s=10)


@pytest.mark.parametrize("talk", ["lines", "collected"])
@pytest.mark.parametrize("stream", ["", " >&2"])
def test_a_link_that_breaks_as_its_window_is_widened_is_lost(
    board: Device, monkeypatch: pytest.MonkeyPatch, talk: str, stream: str
) -> None:
    """The sender is granted more after every tenth of its window; paramiko says EOFError where it cannot be."""
    link = connect(board)
    channel = link.open(["sh", "-c", f"head -c 1000000 /dev/zero{stream}; sleep 60"])
    time.sleep(0.5)  # for it to have arrived

    def broken(*_: object) -> None:
        raise EOFError

    monkeypatch.setattr(paramiko.Transport, "_send_user_message", broken)
    with pytest.raises(DeviceLost, match="link to ort-fp32-t1 broke while"):
        if talk == "lines":
            channel.read_line(10)
        else:
            collect(channel._channel, channel._link, "head", time.monotonic() + 10)
    channel.close()
    monkeypatch.undo()
    link.close()


def test_a_command_that_dies_of_a_signal_is_no_lost_link(board: Device) -> None:
    link = connect(board)
    channel = link.open(["sh", "-c", "kill -9 $$"])
    assert channel.read_line(10) is None
    assert channel.exit_status(10) in (-1, 137)  # the signal itself, or as the login shell tells it
    assert link.run(["echo", "on"], timeout_s=10).stdout == b"on\n"
    link.close()
    with pytest.raises(DeviceLost):
        link.run(["true"], timeout_s=5)


def test_a_flood_without_a_newline_is_refused(board: Device) -> None:
    from profiler.errors import AgentCrashed

    link = connect(board)
    channel = link.open(["head", "-c", str(17 * 1024 * 1024), "/dev/zero"])
    start = time.monotonic()
    with pytest.raises(AgentCrashed, match="longer than"):
        channel.read_line(60)
    assert time.monotonic() - start < 60
    link.close()
