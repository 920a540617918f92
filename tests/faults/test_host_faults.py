"""What happens to a host: it is killed, its disk is full, a second one wants the same board."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.measure.journal import read_journal
from tests.faults import host
from tests.faults.arena import Arena, Bench, wait_until
from tests.faults.campaigns import RUN, Running, judge, records
from tests.faults.chaos_runtime import Task
from tests.faults.places import fill, is_full, make_room, small_disk

TASKS = [Task(number, sleep_s=0.2) for number in range(8)]


def test_a_host_that_is_killed_is_continued_by_the_next_one(arena: Arena, bench: Bench, tmp_path: Path) -> None:
    """The board goes on with what it has; the same command again measures nothing twice and misses nothing."""
    given = host.order(arena, tmp_path, {bench.device.id: (bench, TASKS)})
    first = host.start(given)
    bench.wait_for_job(done=2)
    first.kill()
    first.communicate()
    second = host.start(given)
    assert host.outcomes(second)[bench.device.id]["error"] == ""
    verdict = judge(bench, TASKS, tmp_path)
    assert verdict.kept, verdict
    assert verdict.ended == len(TASKS)
    assert verdict.repeats == 0
    contents = read_journal(tmp_path / "results" / bench.device.id / RUN / "journal.jsonl")
    assert not contents.corrupt


def test_a_full_disk_of_the_host_is_a_typed_end_and_the_same_command_goes_on(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "results", 2) as mounted:
        if not mounted:
            pytest.skip("mounting a small disk is not permitted here")
        with Running(bench, TASKS, tmp_path) as running:
            bench.wait_for_job(done=1)
            fill(tmp_path / "results")
            assert is_full(tmp_path / "results")
        assert type(running.error).__name__ == "StorageError", running.error
        assert "space" in str(running.error)
        make_room(tmp_path / "results")
        with Running(bench, TASKS, tmp_path) as again:
            pass
        assert again.error is None, again.error
        verdict = judge(bench, TASKS, tmp_path)
        assert verdict.kept, verdict
        assert (verdict.ended, verdict.repeats) == (len(TASKS), 0)


def test_of_two_hosts_one_has_the_board_and_the_other_is_told_who(arena: Arena, bench: Bench, tmp_path: Path) -> None:
    """They share nothing but the board: not even the folder of leases."""
    board = bench.device.id
    few = [Task(number) for number in range(100, 104)]
    first = host.start(host.order(arena, tmp_path / "a", {board: (bench, TASKS)}), tmp_path / "home-a")
    bench.wait_for_job()
    impatient = host.start(host.order(arena, tmp_path / "b", {board: (bench, few)}, wait_s=0.0), tmp_path / "home-b")
    refused = host.outcomes(impatient)[board]
    assert refused["error"] == "DeviceBusy", refused
    assert f"process {first.pid}" in refused["text"]
    patient = host.start(host.order(arena, tmp_path / "b", {board: (bench, few)}, wait_s=60.0), tmp_path / "home-b")
    assert host.outcomes(first)[board]["error"] == ""
    assert host.outcomes(patient)[board]["error"] == ""
    assert judge(bench, TASKS, tmp_path / "a").lost == []
    assert [r.status for r in records(tmp_path / "b", board)] == ["ok"] * 4
    assert set(bench.starts().values()) == set(bench.ends().values()) == {1}
    assert len(bench.ends()) == len(TASKS) + len(few)


def test_an_agent_that_hangs_is_ended_for_the_next_host(arena: Arena, bench: Bench, tmp_path: Path) -> None:
    """Its host was killed and will not come back with this run; the lease is taken from the dead."""
    board = bench.device.id
    first = host.start(host.order(arena, tmp_path / "a", {board: (bench, [Task(0, "hang")])}), tmp_path / "home-a")
    bench.wait_for_job()
    (stale,) = bench.agents()
    first.kill()
    first.communicate()
    second = host.start(host.order(arena, tmp_path / "b", {board: (bench, TASKS[:2])}), tmp_path / "home-b")
    found = host.outcomes(second)[board]
    assert found["error"] == "", found
    assert stale not in bench.agents()
    assert [r.status for r in records(tmp_path / "b", board)] == ["ok"] * 2
    wait_until(lambda: not bench.workers(), "the hanging worker to be gone")
