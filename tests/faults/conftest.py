from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.arena import Arena, Bench
from tests.faults.campaigns import Running, Verdict, judge, knowing_chaos
from tests.faults.chaos_runtime import Task


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Six boards behind proxies; every test takes one of its own."""
    with Arena(tmp_path_factory.mktemp("arena")) as up, knowing_chaos():
        yield up


@pytest.fixture(scope="module")
def _unused(arena: Arena) -> list[Bench]:
    return list(arena)


@pytest.fixture
def bench(_unused: list[Bench], arena: Arena, tmp_path: Path) -> Iterator[Bench]:
    """A board whose workdir nobody has used; what a fault has done to its link is undone afterwards."""
    found = _unused.pop()
    _unused.insert(0, found)
    yield found.with_workdir(f"~/{tmp_path.name}")
    found.proxy.heal()


Faulty = Callable[..., Verdict]


@pytest.fixture
def survive(tmp_path: Path) -> Faulty:
    """Runs a campaign during which something happens, and judges it: at most one job was repeated."""

    def run(
        bench: Bench, fault: Callable[[], object], tasks: list[Task] | None = None, worker_kills: int = 0
    ) -> Verdict:
        work = tasks or [Task(number, sleep_s=0.15) for number in range(6)]
        with Running(bench, work, tmp_path) as running:
            bench.wait_for_job(done=1)
            fault()
        assert running.error is None, running.error
        verdict = judge(bench, work, tmp_path, worker_kills)
        assert verdict.kept, verdict
        assert verdict.ended == len(work)
        assert verdict.repeats <= 1
        return verdict

    return run
