"""The machine as a measurement sees it, and how another one takes its place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.agent import leaf
from profiler.agent.leaf import Leaf
from profiler.fleet.agent_bundle import PACKAGE, build_agent
from profiler.fleet.runtime_spec import AgentPlugin

ROOT = Path(leaf.__file__).parents[2]

Until = Callable[[Callable[[], bool]], None]


def test_nothing_lies_between_a_sample_and_the_clock() -> None:
    assert Leaf().clock_ns is time.perf_counter_ns


def test_files_of_the_kernel(tmp_path: Path) -> None:
    board = Leaf()
    path = tmp_path / "value"
    path.write_bytes(b" 1500000\n")
    assert (board.read(str(path)), board.number(str(path))) == ("1500000", 1_500_000)
    board.write(str(path), "many")
    assert (board.read(str(path)), board.number(str(path))) == ("many", None)
    assert (board.read(str(tmp_path / "gone")), board.number(str(tmp_path / "gone"))) == (None, None)
    assert board.glob(str(tmp_path / "v*")) == [str(path)]
    with pytest.raises(OSError, match="gone"):
        board.write(str(tmp_path / "gone" / "x"), "1")


def test_a_program_that_is_missing_fails_or_takes_too_long_says_nothing() -> None:
    board = Leaf()
    assert board.run(["echo", "throttled=0x0"]) == "throttled=0x0"
    assert board.run(["/no/such/program"]) is None
    assert board.run(["false"]) is None
    assert board.run(["sleep", "20"], timeout_s=0.05) is None


def test_what_is_done_beside_goes_on_until_it_is_stopped(until: Until) -> None:
    times: list[float] = []
    beside = Leaf().beside(0.001, lambda: times.append(time.monotonic()))
    until(lambda: len(times) >= 3)
    beside.stop()
    number = len(times)
    time.sleep(0.02)
    assert len(times) == number
    assert beside.error is None


def test_what_fails_beside_ends_and_is_told(until: Until) -> None:
    def fail() -> None:
        raise KeyError("zone")

    beside = Leaf().beside(0.001, fail)
    until(lambda: beside.error is not None)
    beside.stop()
    assert isinstance(beside.error, KeyError)


BESIDE = """\
import os, threading
from profiler.agent.leaf import Leaf
os.setpriority(os.PRIO_PROCESS, 0, max(15, os.getpriority(os.PRIO_PROCESS, 0)))
board, seen, done = Leaf(), [], threading.Event()
cpus = board.affinity()
board.bind(cpus[:1])
def look():
    seen.append((os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    done.set()
beside = board.beside(0.01, look)
done.wait(20)
beside.stop()
elsewhere = seen[0][0] == set(cpus[1:] or cpus)
print(elsewhere, seen[0][1], board.affinity() == cpus[:1])
"""


def test_what_is_done_beside_keeps_off_the_measurements_cores_and_lets_it_go_first() -> None:
    """Of a process that others go before already."""
    run = subprocess.run([sys.executable, "-c", BESIDE], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert run.stdout + run.stderr == "True 19 True\n"


def test_a_core_that_is_not_there_is_refused() -> None:
    with pytest.raises((OSError, ValueError)):
        Leaf().bind([65000])
    assert set(Leaf().affinity()) == os.sched_getaffinity(0)


@pytest.mark.parametrize("size", [1, leaf.PIECE_BYTES, 5 * leaf.PIECE_BYTES + 7])
def test_evicting_overwrites_memory_in_pieces(size: int) -> None:
    evict = Leaf().evictor(size)
    whole = next(cell.cell_contents for cell in evict.__closure__ or () if type(cell.cell_contents) is memoryview
                 and not cell.cell_contents.readonly)  # fmt: skip
    assert len(whole) >= size
    evict()
    assert bytes(whole) == b"\xa5" * len(whole)


def test_nobody_else_works_in_a_process_that_observes_nothing() -> None:
    before = threading.active_count()
    Leaf().clock_ns()
    assert threading.active_count() == before


OTHER = """\
from ..leaf import Leaf

class Other(Leaf):
    simulated = True
    def read(self, path):
        return "6" if path.endswith("loadavg") else "aarch64" if path.endswith("/arch") else None

def make_leaf():
    return Other()
"""


def facts_with(pyz: Path, name: str) -> subprocess.CompletedProcess[str]:
    program = (
        f"import sys; sys.path.insert(0, sys.argv[1]); from {PACKAGE} import facts, leaf; "
        "print(leaf.current().simulated, facts.moment()['load_1min'], facts.facts()['arch'])"
    )
    environment = os.environ | {leaf.VARIABLE: name}
    return subprocess.run([sys.executable, "-c", program, str(pyz)], capture_output=True, text=True, env=environment)


def test_a_plug_in_takes_the_machines_place_where_the_environment_says_so(tmp_path: Path) -> None:
    pyz = tmp_path / "agent.pyz"
    pyz.write_bytes(build_agent((AgentPlugin("other", OTHER),))[0])
    assert facts_with(pyz, "other").stdout == "True 6.0 aarch64\n"
    assert facts_with(pyz, "").stdout.startswith("False ")
    refused = facts_with(pyz, "os")
    assert refused.returncode == 1
    assert "names 'os', and this agent brought no such plug-in along" in refused.stderr
