from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.errors import ConfigError, StorageError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual import serve
from profiler.fleet.virtual.background import start, status, stop
from profiler.fleet.virtual.loopback import Fleet
from profiler.fleet.virtual.state import FleetState, is_alive, process_start, read_state, this_process, write_state


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop(tmp_path)


def test_up_status_down(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # so that only the installed package, or the one in use, can be found
    up = start(root)
    assert (up.up, up.stale) == (True, False)
    assert up.pid is not None
    assert up.pid != os.getpid()
    devices = load_devices(up.devices_path)
    assert {d.id: d.port for d in devices} == dict(up.ports)
    link = connect(devices[-1])
    assert link.run(["echo", "hello"], timeout_s=10).stdout == b"hello\n"
    link.close()
    assert start(root) == up, "a second start changes nothing"
    with pytest.raises(ConfigError, match=f"process {up.pid}"):
        Fleet(root).up()
    assert stop(root)
    down = status(root)
    assert (down.up, down.pid, dict(down.ports), down.stale) == (False, None, {}, False)
    assert process_start(up.pid) is None
    assert not stop(root)


def test_a_killed_fleet_is_stale_and_comes_up_again(root: Path) -> None:
    first = start(root)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while status(root).up:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert status(root).stale
    second = start(root)
    assert second.up
    assert second.pid != first.pid


def test_a_pid_that_has_passed_to_another_process_is_stale(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            write_state(tmp_path, FleetState(stranger.pid, "another start", {"a": 1}))
            found = status(tmp_path)
            assert (found.up, found.stale) == (False, True)
            assert not stop(tmp_path)
            assert stranger.poll() is None, "a stranger was ended"
            assert read_state(tmp_path) is None, "the stale file was kept"
        finally:
            stranger.kill()


def test_this_process_lives_and_a_dead_one_does_not() -> None:
    assert is_alive(this_process({}))
    with subprocess.Popen(["true"]) as process:
        state = FleetState(process.pid, process_start(process.pid) or "ended", {})
    assert not is_alive(state)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 9}', '{"schema": 2, "pid": "x"}', "\xff"])
def test_a_status_file_that_is_none_counts_as_down(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.json").write_text(text, encoding="latin-1")
    assert read_state(tmp_path) is None
    assert not status(tmp_path).up
    assert not stop(tmp_path)


def test_the_status_file_survives_a_round_trip(tmp_path: Path) -> None:
    state = this_process({"a": 1, "b": 2}, "openssh", [os.getppid()])
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert json.loads((tmp_path / "fleet.json").read_text())["schema"] == 2


def test_a_fleet_that_cannot_start_gives_its_reason(root: Path) -> None:
    (root / "boards").write_text("in the way")
    with pytest.raises(ConfigError, match=r"did not start: The fleet's folder .* cannot be prepared"):
        start(root)
    assert not status(root).up


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        start(tmp_path / "file")


def test_the_server_itself_says_one_sentence_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boards").write_text("in the way")
    old = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert serve.main(["--root", str(tmp_path)]) == 2
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_heavy_is_imported_to_serve() -> None:
    code = (
        "import sys, profiler.fleet.virtual.serve\n"
        "print([m for m in ('torch', 'onnxruntime', 'pandas', 'numpy', 'paramiko') if m in sys.modules])"
    )
    root = Path(serve.__file__).parents[3]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root, text=True).stdout
    assert out.strip() == "[]"
