from __future__ import annotations

import os
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from profiler.errors import AuthenticationFailed, ConfigError, DeviceError, DeviceLost, StorageError, Unreachable
from profiler.fleet.inventory.devices import load_document
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import SSHTransport, connect
from profiler.fleet.virtual.boards import BOARDS, prepare
from profiler.fleet.virtual.loopback import Fleet


def read(link: SSHTransport, script: str) -> str:
    return link.run(["sh", "-c", script], timeout_s=20).stdout.decode()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} outlived its board's connection"
        time.sleep(0.05)


def test_six_boards_with_a_target_each(fleet: Fleet) -> None:
    devices = fleet.devices()
    assert [d.id for d in devices] == [b.id for b in BOARDS]
    assert [t.id for d in devices for t in d.targets] == [
        "ort-fp32-t1/onnxruntime-fp32-t1",
        "ort-int8-t1/onnxruntime-int8-t1",
        "ort-fp32-t2/onnxruntime-fp32-t2",
        "litert-fp32-t1/litert-fp32-t1",
        "litert-int8-t1/litert-int8-t1",
        "torch-fp32-t1/torch-fp32-t1",
    ]


def test_each_has_its_own_key_port_and_home_and_they_share_the_machine(fleet: Fleet) -> None:
    devices = fleet.devices()
    assert len({d.host_key for d in devices}) == len({d.port for d in devices}) == 6
    assert {(d.host, d.machine, d.emulation, d.python) for d in devices} == {
        ("127.0.0.1", "this-host", "loopback", sys.executable)
    }
    homes = set()
    for device in devices:
        link = connect(device)
        homes.add(read(link, "echo $HOME; pwd"))
        link.close()
    assert len(homes) == 6
    assert all(len(set(home.split())) == 1 for home in homes), "HOME is not where commands start"


def test_they_say_plainly_that_they_are_not_boards(fleet: Fleet) -> None:
    assert "not six boards" in fleet.devices_path.read_text(encoding="utf-8")
    assert all("not a board" in entry.description for entry in load_document(fleet.devices_path).devices)


def test_commands_see_a_small_environment(board: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    link = connect(board)
    names = {line.partition("=")[0] for line in read(link, "env").splitlines()}
    link.close()
    known = {
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
        "TZ",
        "USER",
        "LOGNAME",
        "PWD",
        "_",
        "SHLVL",
    }
    assert names <= known
    assert {"PATH", "HOME", "LANG"} <= names


def test_private_keys_and_homes_are_private(fleet: Fleet) -> None:
    private = list(fleet.root.rglob("*_key"))
    assert len(private) == 7
    assert {stat.S_IMODE(p.stat().st_mode) for p in private} == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (fleet.root, *fleet.root.glob("boards/*/home"))} == {0o700}


@pytest.mark.parametrize("path", ["/etc/hostname", "../host_key", "link"])
def test_files_outside_a_boards_home_are_not_served(board: Device, path: str) -> None:
    link = connect(board)
    home = read(link, 'ln -sf /etc/hostname link; printf %s "$HOME"')
    with pytest.raises(DeviceError, match="outside"):
        link.exists(path)
    with pytest.raises(DeviceError, match="outside"):
        link.put(b"x", f"{home}/../x")
    assert not Path(home).parent.joinpath("x").exists()
    link.close()


def test_there_is_no_login_shell(board: Device) -> None:
    link = connect(board)
    channel = link._link.client.open_session(timeout=5)  # the transport itself never asks for one
    channel.settimeout(5)
    channel.invoke_shell()
    assert b"no login shell" in channel.recv_stderr(1000)
    assert channel.recv_exit_status() == 1
    link.close()


def test_a_lost_connection_ends_the_command_and_its_children(board: Device) -> None:
    link = connect(board)
    channel = link.open(["sh", "-c", 'trap "" TERM; sleep 300 & echo $!; echo $$; while :; do sleep 1; done'])
    pids = [int(channel.read_line(10) or b"0") for _ in range(2)]
    link._link.client.sock.close()  # without a farewell
    for pid in pids:
        wait_until_gone(pid)
    link.close()


def test_the_end_of_input_reaches_the_command(board: Device) -> None:
    link = connect(board)
    assert (
        link.run(["sh", "-c", "cat > f; wc -c < f"], timeout_s=10, stdin=b"x" * 3_000_000).stdout.strip() == b"3000000"
    )
    link.close()


def test_many_commands_at_once(board: Device) -> None:
    link = connect(board)
    channels = [link.open(["cat"]) for _ in range(8)]
    for number, channel in enumerate(channels):
        channel.write_line(b"%d" % number)
    assert [channel.read_line(10) for channel in channels] == [b"%d" % number for number in range(8)]
    link.close()


def test_coming_up_again_keeps_keys_homes_and_ports(tmp_path: Path) -> None:
    with Fleet(tmp_path) as first:
        before = first.devices()
        link = connect(before[0])
        channel = link.open(["sh", "-c", "echo $$; touch kept; exec sleep 300"])
        pid = int(channel.read_line(10) or b"0")
    wait_until_gone(pid)
    with pytest.raises(DeviceLost):
        channel.read_line(10)
    with pytest.raises(Unreachable):
        connect(before[0])
    with Fleet(tmp_path) as second:
        assert second.devices() == before
        link = connect(before[0])
        assert link.exists("kept")
        link.close()


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    with Fleet(tmp_path) as first:
        before = first.devices()
    with socket.create_server(("127.0.0.1", before[2].port)), Fleet(tmp_path) as second:
        after = second.devices()
        assert after[2].port != before[2].port
        assert after[2].host_key == before[2].host_key
        connect(after[2]).close()


def test_one_process_serves_a_root(fleet: Fleet) -> None:
    with pytest.raises(ConfigError, match=rf"up already \(process {os.getpid()}\).*edgecost fleet down"):
        Fleet(fleet.root).up()
    connect(fleet.devices()[0]).close()  # the first is not disturbed


def test_going_down_twice_and_coming_up_twice_are_allowed(tmp_path: Path) -> None:
    up = Fleet(tmp_path).up()
    assert up.up() is up
    up.down()
    up.down()
    assert not (tmp_path / "fleet.json").exists()


def test_another_fleets_key_is_refused(board: Device, tmp_path: Path) -> None:
    from dataclasses import replace

    prepare(tmp_path)
    with pytest.raises(AuthenticationFailed):
        connect(replace(board, identity_file=str(tmp_path / "client_key")))


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be prepared"):
        Fleet(tmp_path / "file").up()


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "client_key").write_text("damaged")
    with pytest.raises(ConfigError, match="client_key is no private key"):
        Fleet(tmp_path).up()


@pytest.mark.filterwarnings("error")
def test_a_command_that_is_left_in_the_middle_of_a_flood_leaves_no_open_pipes(tmp_path: Path) -> None:
    import gc

    with Fleet(tmp_path) as up:
        link = connect(up.devices()[0])
        channel = link.open(["sh", "-c", "echo $$; exec yes"])
        pid = int(channel.read_line(10) or b"0")
        time.sleep(0.3)  # until every buffer on the way is full
        channel.close()
        wait_until_gone(pid)
        link.close()
    gc.collect()  # what is still open complains here, and warnings are errors
