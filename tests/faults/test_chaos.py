"""The judge finds what it is there to find, the plan holds what was asked for, and the long form runs in small."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from profiler.fleet.targets import Device
from profiler.measure.journal import Journal
from profiler.measure.record import Measurement, Status
from tests.faults import chaos
from tests.faults.arena import Bench
from tests.faults.campaigns import RUN, Verdict, judge
from tests.faults.chaos_runtime import Task
from tests.faults.injection import FAULTS

TASKS = [Task(0), Task(1), Task(2, "segv")]


@dataclass
class Board:
    """What a judge asks of a board."""

    begun: Counter[str]
    ended: Counter[str]
    device: Device

    def starts(self) -> Counter[str]:
        return self.begun

    def ends(self) -> Counter[str]:
        return self.ended


def verdict(
    folder: Path, *lines: tuple[int, Status, str], begun: tuple[str, ...] = (), ended: tuple[str, ...] = (), **more: int
) -> Verdict:
    """Of journals that say so: (number of the task, status, error) on the host, keys of jobs on the board."""
    path = folder / "results" / "b" / RUN / "journal.jsonl"
    path.parent.mkdir(parents=True)
    with Journal(path) as journal:
        for number, status, error in lines:
            task = TASKS[number] if number < len(TASKS) else Task(number)
            role, good = task.job.role, status == "ok"
            journal.append(
                Measurement(
                    f"k{number}", task.workload.key, "", "b", "b/chaos-fp32-t1", role, 0, status,
                    samples_ns=(5,) if good else (), runs_per_batch=1 if good else 0, error=error,
                )
            )  # fmt: skip
    board = Board(Counter(begun or ("k0", "k1", "k2")), Counter(ended or ("k0", "k1", "k2")), Device("b", "", "", ()))
    return judge(cast(Bench, board), TASKS, folder, **more)


GOOD: list[tuple[int, Status, str]] = [(0, "ok", ""), (1, "ok", ""), (2, "crashed", "SIGSEGV")]


def test_a_run_without_fault_is_found_to_be_one(tmp_path: Path) -> None:
    found = verdict(tmp_path, *GOOD)
    assert found.kept
    assert (found.jobs, found.ended, found.repeats) == (3, 3, 0)


def test_what_is_lost_twice_or_a_stranger_is_found(tmp_path: Path) -> None:
    assert len(verdict(tmp_path / "a", *GOOD[:2]).lost) == 1
    assert len(verdict(tmp_path / "b", *GOOD, GOOD[0]).twice) == 1
    assert len(verdict(tmp_path / "c", *GOOD, (7, "ok", "")).strangers) == 1
    assert len(verdict(tmp_path / "d", *GOOD, ended=("k0", "k0", "k1", "k2")).board_twice) == 1


def test_a_failure_of_the_surroundings_is_no_end_yet(tmp_path: Path) -> None:
    assert verdict(tmp_path / "a", (0, "disk_full", ""), *GOOD).kept
    assert len(verdict(tmp_path / "b", (0, "disk_full", ""), *GOOD[1:]).lost) == 1


def test_repeats_are_counted_and_other_hosts_jobs_are_not(tmp_path: Path) -> None:
    begun = ("k0", "k0", "k1", "k1.1", "k2", "stranger", "stranger")
    assert verdict(tmp_path, *GOOD, begun=begun).repeats == 2


def test_a_wrong_type_is_found_unless_a_fault_accounts_for_it(tmp_path: Path) -> None:
    segv: tuple[int, Status, str] = (0, "crashed", "signal 11 (SIGSEGV)")
    assert len(verdict(tmp_path / "a", segv, *GOOD[1:]).wrong) == 1
    assert verdict(tmp_path / "b", segv, *GOOD[1:], worker_kills=1).kept
    assert len(verdict(tmp_path / "c", segv, (1, "crashed", "SIGSEGV"), GOOD[2], worker_kills=1).wrong) == 1
    assert len(verdict(tmp_path / "d", (0, "timed_out", ""), *GOOD[1:], worker_kills=1).wrong) == 1
    given_up: tuple[int, Status, str] = (0, "crashed", "the agent died 3 times while it ran")
    thrice = ("k0", "k0", "k0", "k1", "k2")
    assert verdict(tmp_path / "e", given_up, *GOOD[1:], begun=thrice).excused == Counter({"given up": 1})
    assert len(verdict(tmp_path / "f", given_up, *GOOD[1:]).wrong) == 1


@pytest.mark.parametrize("count", [5, 100])
def test_a_plan_has_as_many_faults_as_asked_for_each_where_it_can_be_done(count: int) -> None:
    able = {kind: ["a", "b"] for kind in FAULTS} | {"board clock steps": ["b"], "host disk full": []}
    planned = chaos.plan(count, np.random.default_rng(3), able)
    assert sum(map(len, planned.values())) == count
    assert "board clock steps" not in planned["a"]
    assert "host disk full" not in planned["a"] + planned["b"]
    if count >= len(FAULTS):
        assert set(planned["a"] + planned["b"]) == set(FAULTS) - {"host disk full"}
        assert abs(len(planned["a"]) - len(planned["b"])) < 10
    assert planned == chaos.plan(count, np.random.default_rng(3), able)


def test_the_long_form_in_small(tmp_path: Path) -> None:
    options = argparse.Namespace(jobs=12, faults=3, seed=1, least=1)
    found = chaos.run(options, tmp_path)
    assert found["broken"] == []
    assert (found["jobs"], found["ended"]) == (12, 12)
    assert found["faults"] >= 1
    assert json.dumps(found)
