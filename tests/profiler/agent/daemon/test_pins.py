"""Governors that real processes have set, after these processes were killed; cpufreq is a folder of files here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import leaf
from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.runtime_spec import AgentPlugin

Job = dict[str, Any]
Until = Callable[[Callable[[], bool]], None]

FAKE = """\
import os
from ..leaf import Leaf

CPUS = "/sys/devices/system/cpu/"

def real(path):
    return os.environ["FAKE_CPUFREQ"] + path if path.startswith(CPUS) else path

class Fake(Leaf):
    def read(self, path):
        return Leaf.read(self, real(path))
    def write(self, path, value):
        Leaf.write(self, real(path), value)

def make_leaf():
    return Fake()
"""

BEFORE = {"scaling_governor": "schedutil", "scaling_min_freq": "600000", "scaling_max_freq": "1500000"}
BOARD = {"governor": "performance", "clock": "1200"}


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent((AgentPlugin("fake", FAKE),))[0])
    return path


class CpuFreq:
    """The files of all CPUs that may be used."""

    def __init__(self, root: Path) -> None:
        self.folders = [root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq" for cpu in os.sched_getaffinity(0)]
        for folder in self.folders:
            folder.mkdir(parents=True)
            for name, value in BEFORE.items():
                (folder / name).write_text(value + "\n")

    def all_are(self, **values: str) -> bool:
        return all((folder / name).read_text().strip() == value for folder in self.folders
                   for name, value in values.items())  # fmt: skip

    @property
    def pinned(self) -> bool:
        return self.all_are(scaling_governor="performance", scaling_min_freq="1200000", scaling_max_freq="1200000")

    @property
    def restored(self) -> bool:
        return self.all_are(**BEFORE)


@pytest.fixture
def cpufreq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CpuFreq:
    root = tmp_path / "fake"
    monkeypatch.setenv(leaf.VARIABLE, "fake")
    monkeypatch.setenv("FAKE_CPUFREQ", str(root))
    return CpuFreq(root)


@pytest.fixture
def pinned(endless: Job) -> Job:
    return endless | {"board": BOARD}


def test_a_block_is_pinned_and_the_board_is_put_back_after_it(
    cpufreq: CpuFreq, attach: Any, good_job: Job, until: Until
) -> None:
    agent = attach()
    agent.hello()
    result = agent.run(good_job | {"board": BOARD})
    assert result.status == "ok"
    assert not {"unpinned", "governor_refused"} & set(result.issues)
    assert (result.env["governor"], result.env["pinned"]) == ("performance", True)
    until(lambda: cpufreq.restored)
    assert len(agent.workers()) == 1
    assert not (agent.workdir / "pinned.json").exists()
    assert agent.run(good_job | {"board": BOARD}).env["governor"] == "performance"


def test_a_governor_that_may_not_be_set_is_told(cpufreq: CpuFreq, attach: Any, good_job: Job) -> None:
    if os.geteuid() == 0:  # to whom permissions mean nothing
        for folder in cpufreq.folders:
            (folder / "scaling_governor").unlink()
            (folder / "scaling_governor").mkdir()
    else:
        for folder in cpufreq.folders:
            (folder / "scaling_governor").chmod(0o444)
    agent = attach()
    agent.hello()
    result = agent.run(good_job | {"board": {"governor": "performance"}})
    assert result.status == "ok"
    assert {"unpinned", "governor_refused"} <= set(result.issues)


def test_a_killed_worker_leaves_nothing_behind(cpufreq: CpuFreq, start: Any, pinned: Job, until: Until) -> None:
    agent = start()
    worker = agent.busy(pinned, until)
    assert cpufreq.pinned
    os.kill(worker, signal.SIGKILL)
    until(lambda: cpufreq.restored)


def test_a_killed_agent_leaves_nothing_behind(
    cpufreq: CpuFreq, start: Any, pinned: Job, until: Until, alive: Callable[[int], bool]
) -> None:
    """Its worker notices."""
    agent = start()
    worker = agent.busy(pinned, until)
    assert cpufreq.pinned
    os.kill(agent.pid, signal.SIGKILL)
    until(lambda: cpufreq.restored and not alive(worker))


def kill_both(agent: Any, worker: int, until: Until, alive: Callable[[int], bool]) -> None:
    os.kill(agent.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    os.kill(agent.pid, signal.SIGKILL)
    until(lambda: not alive(agent.pid) and not alive(worker))


def test_what_nobody_was_left_to_put_back_the_next_agent_does(
    cpufreq: CpuFreq, start: Any, attach: Any, pinned: Job, until: Until, alive: Callable[[int], bool]
) -> None:
    agent = start()
    kill_both(agent, agent.busy(pinned, until), until, alive)
    assert cpufreq.pinned
    attach(session="fedcba9876543210", wait_s=5.0).hello()
    assert cpufreq.restored


def test_an_agent_that_has_to_be_killed_is_cleared_up_after(
    cpufreq: CpuFreq, start: Any, pinned: Job, until: Until, pyz: Path
) -> None:
    agent = start()
    worker = agent.busy(pinned, until)
    begin = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()[19]
    for pid in (worker, agent.pid):
        os.kill(pid, signal.SIGSTOP)
    end = [sys.executable, str(pyz), "end", str(agent.workdir), str(agent.pid), begin]
    assert subprocess.run(end, timeout=60).returncode == 0
    assert cpufreq.restored


@pytest.mark.parametrize("way", ["quit", "told", "drop"])
def test_an_agent_that_ends_or_drops_its_jobs_puts_the_board_back(
    cpufreq: CpuFreq, start: Any, pinned: Job, until: Until, way: str
) -> None:
    agent = start()
    agent.busy(pinned, until)
    assert cpufreq.pinned
    if way == "quit":
        agent.quit()
    elif way == "told":
        os.kill(agent.pid, signal.SIGTERM)
    else:
        assert agent.ask({"op": "drop"}).event == "dropped"
    until(lambda: cpufreq.restored)
