from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from profiler.errors import DeviceBusy, StorageError
from profiler.fleet.leases import BOARD_LEASE, BUSY_EXIT, machine_lease, owner_text

ROOT = Path(__file__).parents[3]


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with (
        machine_lease("rack 1/a", "profiling rpi5", wait_s=0, folder=tmp_path),
        pytest.raises(DeviceBusy, match=rf"'rack 1/a' is in use: profiling rpi5 of .*process {os.getpid()}"),
        machine_lease("rack 1/a", "something else", wait_s=0.1, folder=tmp_path),
    ):
        pytest.fail("two held it")


def test_machines_do_not_disturb_each_other_whatever_their_names(tmp_path: Path) -> None:
    names = ["a/b", "a_b", "a b", "../a", "ä", "x" * 300, "x" * 301]
    held = [machine_lease(name, "it", wait_s=0, folder=tmp_path) for name in names]
    for lease in held:
        lease.__enter__()
    assert len(list(tmp_path.iterdir())) == len(names)
    for lease in held:
        lease.__exit__(None, None, None)


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with machine_lease("m", "second", wait_s=20, folder=tmp_path):
            order.append("second")

    with machine_lease("m", "first", wait_s=0, folder=tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_an_error_inside_releases_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), machine_lease("m", "it", wait_s=0, folder=tmp_path):
        raise RuntimeError
    with machine_lease("m", "it", wait_s=0, folder=tmp_path):
        pass


def test_a_killed_holder_releases_it(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom profiler.fleet.leases import machine_lease\n"
        "with machine_lease('m', 'it', wait_s=0, folder=Path(sys.argv[1])):\n    print('held', flush=True)\n"
        "    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DeviceBusy), machine_lease("m", "it", wait_s=0, folder=tmp_path):
            pytest.fail("two held it")
        holder.kill()
    with machine_lease("m", "it", wait_s=5, folder=tmp_path):
        pass


def test_a_folder_of_somebody_elses_making_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with (
        pytest.raises(StorageError, match="somebody else"),
        machine_lease("m", "it", wait_s=0, folder=tmp_path / "link"),
    ):
        pytest.fail("it was taken")


def take(path: Path, owner: str, wait_s: float, *agent: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BOARD_LEASE, str(path), owner, str(wait_s), *agent]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def agent(tmp_path: Path) -> list[str]:
    """Prints its arguments, and lives until its input ends."""
    path = tmp_path / "agent.py"
    path.write_text("import sys; print(sys.argv[1:], flush=True); sys.stdin.read()")
    return [str(path), "serve", "a b"]


def test_the_boards_lease_becomes_the_agent_and_excludes_others(tmp_path: Path, agent: list[str]) -> None:
    lock = tmp_path / "lease"
    owner = owner_text("a session")
    with take(lock, owner, 0, *agent) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"['serve', 'a b']\n"
        with take(lock, "another", 0.2, *agent) as second:
            out, err = second.communicate(timeout=20)
            assert (second.returncode, out, err.decode()) == (BUSY_EXIT, b"", owner)
        first.communicate(timeout=20)
    with take(lock, "x", 0, *agent) as third:
        assert third.stdout is not None
        assert third.stdout.readline() == b"['serve', 'a b']\n"
        assert lock.read_text() == "x", "a longer owner before must not show through"
        third.send_signal(signal.SIGKILL)
        third.communicate(timeout=20)
    with take(lock, "y", 0, *agent) as fourth:
        assert fourth.communicate(timeout=20)[0] == b"['serve', 'a b']\n"


def test_the_boards_lease_is_python_of_2018() -> None:
    import ast

    ast.parse(BOARD_LEASE, feature_version=(3, 7))
