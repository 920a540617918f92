from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from profiler.errors import DeviceBusy, StorageError
from profiler.fleet.leases import machine_lease

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
    assert len(list(tmp_path.glob("*.lease"))) == len(names)
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


def test_who_has_just_had_it_does_not_get_it_again_before_those_who_wait(tmp_path: Path) -> None:
    order = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with machine_lease("m", "second", wait_s=20, folder=tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with machine_lease("m", "first", wait_s=0, folder=tmp_path):
        thread.start()
        waiting.wait(20)
        time.sleep(0.3)  # until it stands in line
    with machine_lease("m", "first again", wait_s=20, folder=tmp_path):
        order.append("first again")
    thread.join(20)
    assert order == ["second", "first again"]
