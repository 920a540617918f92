from __future__ import annotations

import getpass
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import AuthenticationFailed, ConfigError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.sessions.identity import process_start
from profiler.fleet.sessions.session import connect as connect_session
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual import openssh
from profiler.fleet.virtual.background import start, stop
from profiler.fleet.virtual.boards import prepare
from profiler.fleet.virtual.loopback import Fleet
from profiler.fleet.virtual.openssh import find_sshd
from profiler.fleet.virtual.simulated.boards import SIMULATED_BOARDS
from profiler.fleet.virtual.state import read_state


def test_without_sshd_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh, "find_sshd", lambda: None)
    with pytest.raises(ConfigError, match="not installed"):
        Fleet(tmp_path, "openssh").up()
    assert read_state(tmp_path) is None


def test_an_sshd_that_ends_at_once_gives_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "sshd"
    broken.write_text("#!/bin/sh\necho 'Bad configuration option: Fog' >&2\nexit 255\n")
    broken.chmod(0o755)
    monkeypatch.setattr(openssh, "find_sshd", lambda: str(broken))
    with pytest.raises(ConfigError, match="Bad configuration option: Fog"):
        Fleet(tmp_path / "root", "openssh").up()


if find_sshd() is not None:  # the rest needs the real one

    def test_boards_have_homes_keys_and_the_present_user(openssh_fleet: Fleet) -> None:
        devices = openssh_fleet.devices()
        assert {d.user for d in devices} == {getpass.getuser()}
        assert len({d.host_key for d in devices}) == 6
        for device in devices[:2]:
            link = connect(device)
            home = link.run(["sh", "-c", 'printf %s "$HOME"'], timeout_s=10).stdout.decode()
            link.close()
            assert Path(home) == (openssh_fleet.root / "boards" / device.id / "home").resolve()

    def test_what_a_board_has_in_its_environment_reaches_its_agent(tmp_path: Path) -> None:
        with Fleet(tmp_path, "openssh", SIMULATED_BOARDS[:1]) as up, connect_session(up.devices()[0]) as session:
            assert session.facts().arch == "simulated"

    def test_another_key_and_another_user_are_refused(openssh_board: Device, tmp_path: Path) -> None:
        prepare(tmp_path)
        with pytest.raises(AuthenticationFailed):
            connect(replace(openssh_board, identity_file=str(tmp_path / "client_key")))
        with pytest.raises(AuthenticationFailed):
            connect(replace(openssh_board, user="nobody-of-that-name"))

    def test_going_down_ends_servers_connections_and_commands(tmp_path: Path) -> None:
        with Fleet(tmp_path, "openssh") as up:
            state = read_state(tmp_path)
            assert state is not None
            assert state.server == "openssh"
            device = up.devices()[0]
            channel = connect(device).open(["sh", "-c", "echo $$; exec sleep 300"])
            pid = int(channel.read_line(10) or b"0")
            assert process_start(pid) is not None
        assert process_start(pid) is None
        with socket.create_server(("127.0.0.1", device.port)):
            pass  # the port is free again

    def test_in_the_background(tmp_path: Path) -> None:
        found = start(tmp_path, "openssh")
        try:
            link = connect(load_devices(found.devices_path)[-1])
            channel = link.open(["sh", "-c", "echo $$; exec sleep 300"])
            pid = int(channel.read_line(10) or b"0")
        finally:
            assert stop(tmp_path)
        link.close()
        deadline = time.monotonic() + 10
        while process_start(pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
