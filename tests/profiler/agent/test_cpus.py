"""Cores: how they are clocked, and which are of one kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.agent import cpus, facts


@pytest.fixture
def cpufreq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CPUs 0 and 1 pinned to 1.5 GHz, CPUs 2 and 3 free from 0.6 to 2.4 GHz: a big.LITTLE board."""
    for cpu in range(4):
        folder = tmp_path / f"cpu{cpu}"
        folder.mkdir()
        low, high, now = (1_500_000,) * 3 if cpu < 2 else (600_000, 2_400_000, 1_800_000)
        (folder / "scaling_min_freq").write_text(f"{low}\n")
        (folder / "scaling_max_freq").write_text(f"{high}\n")
        (folder / "scaling_cur_freq").write_text(f"{now}\n")
        (folder / "scaling_governor").write_text("performance\n" if cpu < 2 else "schedutil\n")
    monkeypatch.setattr(cpus, "CPUFREQ", str(tmp_path / "cpu%d" / "%s"))
    return tmp_path


def test_the_clock_of_the_cpus_that_may_be_used_counts(cpufreq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "allowed_cpus", lambda: [0, 1])
    now = facts.moment()
    assert (now["pinned"], now["governor"], now["freq_mhz"], now["affinity"]) == (True, "performance", 1500.0, "0-1")
    monkeypatch.setattr(facts, "allowed_cpus", lambda: [1, 2])
    now = facts.moment()
    assert (now["pinned"], now["governor"], now["freq_mhz"]) == (False, "performance,schedutil", 1800.0)


def test_an_unknown_clock_is_not_pinned(cpufreq: Path) -> None:
    assert not cpus.is_pinned([])
    assert not cpus.is_pinned([17])
    assert cpus.is_pinned([0])
    assert not cpus.is_pinned([0, 17])


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 3], "0-3"), ([0, 2, 3, 5, 8, 9], "0,2-3,5,8-9")]
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert cpus.ranges(numbers) == text


class Board:
    """Cores as /sys shows them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setattr(cpus, "CPUFREQ", str(folder / "cpu%d" / "cpufreq" / "%s"))
        monkeypatch.setattr(cpus, "CAPACITY", str(folder / "cpu%d" / "cpu_capacity"))
        monkeypatch.setattr(cpus, "POLICIES", str(folder / "policies"))

    def core(self, cpu: int, capacity: int | None, khz: int | None, governor: str = "") -> None:
        folder = self.folder / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        if capacity is not None:
            (folder.parent / "cpu_capacity").write_text(f"{capacity}\n")
        if khz is not None:
            (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")
        if governor:
            (folder / "scaling_governor").write_text(f"{governor}\n")

    def policy(self, name: str, related: str, khz: int) -> None:
        folder = self.folder / "policies" / name
        folder.mkdir(parents=True)
        (folder / "related_cpus").write_text(f"{related}\n")
        (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(tmp_path, monkeypatch)


def test_the_kinds_of_a_big_little_board_are_told_apart(board: Board) -> None:
    for cpu in range(4):
        board.core(cpu, 485, 1_416_000, "schedutil")
    for cpu in (4, 5):
        board.core(cpu, 1024, 1_800_000, "performance")
    assert cpus.clusters([0, 1, 2, 3, 4, 5]) == [
        {"cpus": [4, 5], "capacity": 1024, "max_mhz": 1800, "governor": "performance"},
        {"cpus": [0, 1, 2, 3], "capacity": 485, "max_mhz": 1416, "governor": "schedutil"},
    ]
    assert [kind["cpus"] for kind in cpus.clusters([1, 2])] == [[1, 2]]  # of those that may be used


def test_cores_without_a_capacity_are_told_apart_by_their_clock(board: Board) -> None:
    for cpu, khz in enumerate([5_200_000, 5_300_000, 5_200_000, 3_900_000, 3_900_000]):
        board.core(cpu, None, khz)
    kinds = cpus.clusters([0, 1, 2, 3, 4])
    assert [(kind["cpus"], kind["max_mhz"]) for kind in kinds] == [([0, 1, 2], 5300), ([3, 4], 3900)]


def test_a_core_that_sleeps_has_its_policys_clock(board: Board) -> None:
    board.core(0, None, 1_500_000)
    board.core(1, None, None)
    board.policy("policy0", "0 1", 1_500_000)
    assert [kind["cpus"] for kind in cpus.clusters([0, 1])] == [[0, 1]]


def test_where_nothing_is_known_all_cores_are_of_one_kind(board: Board) -> None:
    assert cpus.clusters([0, 1]) == [{"cpus": [0, 1], "capacity": None, "max_mhz": None, "governor": None}]
    assert cpus.clusters([]) == []


def test_every_core_of_this_machine_is_of_one_kind() -> None:
    found = [cpu for kind in cpus.clusters(cpus.allowed_cpus()) for cpu in kind["cpus"]]
    assert sorted(found) == sorted(os.sched_getaffinity(0))
