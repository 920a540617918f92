"""What happens on a board: its agent or worker dies, an operator is ill, its power goes, its disk is full, its clock
jumps. Every job ends once; at most the one that was in hand is begun again."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.arena import Bench, wait_until
from tests.faults.campaigns import Running, judge, records
from tests.faults.chaos_runtime import HEAVY, KINDS, Task
from tests.faults.conftest import Faulty
from tests.faults.places import Clock, faketime_library, fill, is_full, make_room, small_disk


def test_an_agent_that_is_killed_is_replaced_and_repeats_what_it_had_in_hand(bench: Bench, survive: Faulty) -> None:
    verdict = survive(bench, lambda: wait_until(bench.kill_agent, "an agent to kill"))
    assert len(bench.starts()) == 6
    assert verdict.repeats <= 1


def test_a_worker_that_dies_costs_the_job_in_hand_only(bench: Bench, survive: Faulty) -> None:
    verdict = survive(bench, lambda: wait_until(bench.kill_worker, "a worker to kill"), worker_kills=1)
    assert verdict.repeats == 0
    assert verdict.excused.total() <= 1


def test_every_illness_of_an_operator_has_its_own_name(bench: Bench, survive: Faulty) -> None:
    """Hanging, eating memory, segfaulting, refusing, lying: each by itself, and its neighbours are measured."""
    tasks = [Task(number, kind) for number, kind in enumerate([*KINDS, "ok"])]
    assert survive(bench, lambda: None, tasks).repeats == 0


def test_a_board_that_reboots_comes_back_to_its_jobs(bench: Bench, survive: Faulty) -> None:
    def reboot() -> None:
        bench.off()
        assert not bench.processes(), "power is gone, and something runs"
        time.sleep(0.3)
        bench.on()

    verdict = survive(bench, reboot)
    assert verdict.repeats <= 1


def test_a_board_that_gives_up_the_ghost_with_a_torn_journal(bench: Bench, survive: Faulty) -> None:
    """Power goes in the middle of a write: half a line is what is left of it."""

    def reboot() -> None:
        bench.off()
        (journal,) = bench.workdir.glob("sessions/*/journal.jsonl")
        with journal.open("ab") as file:
            file.write(b'0badc0de {"event": "result", "seq"')
        bench.on()

    assert survive(bench, reboot).repeats <= 1


def test_a_full_disk_of_a_board_delays_its_journal_and_loses_nothing(
    bench: Bench, survive: Faulty, tmp_path: Path
) -> None:
    with small_disk(bench.workdir, 4) as mounted:
        if not mounted:
            pytest.skip("mounting a small disk is not permitted here")

        def full() -> None:
            fill(bench.workdir)
            assert is_full(bench.workdir)
            wait_until(lambda: len(records(tmp_path, bench.device.id)) == 6, "the host to hear of all jobs")
            assert sum(bench.ends().values()) < 6, "the disk was not full"
            make_room(bench.workdir)
            wait_until(lambda: sum(bench.ends().values()) == 6 or not bench.agents(), "the journal to be caught up")

        assert survive(bench, full).repeats == 0
        end(bench)


def test_a_disk_that_is_too_small_for_the_artefacts_is_a_typed_failure(bench: Bench, tmp_path: Path) -> None:
    """The agent fits, large artefacts do not; with room, the same command measures what was left."""
    tasks = [Task(0), Task(HEAVY), Task(HEAVY + 1)]
    with small_disk(bench.workdir, 4) as mounted:
        if not mounted:
            pytest.skip("mounting a small disk is not permitted here")
        with Running(bench, tasks[:1], tmp_path):
            pass
        wait_until(lambda: not bench.agents(), "the first agent to end")
        fill(bench.workdir)
        with Running(bench, tasks, tmp_path) as running:
            pass
        assert running.error is None, running.error
        assert [r.status for r in records(tmp_path, bench.device.id)] == ["ok", "disk_full", "disk_full"]
        make_room(bench.workdir)
        with Running(bench, tasks, tmp_path) as running:
            pass
        assert running.error is None, running.error
        verdict = judge(bench, tasks, tmp_path)
        assert verdict.kept, verdict
        assert (verdict.ended, verdict.repeats) == (3, 0)
        end(bench)


def test_a_clock_that_jumps_changes_no_figure_and_no_order(bench: Bench, survive: Faulty) -> None:
    """A day ahead, two years back: leases, limits and durations go by steady clocks."""
    library = faketime_library()
    if library is None:
        pytest.skip("libfaketime is not installed")
    clock = Clock(bench.home, library)
    device = replace(bench.device, python=str(clock.python))

    def jump() -> None:
        clock.step(86400)
        assert clock.seen() > time.time() + 80000, "the board's clock cannot be set"
        bench.wait_for_job(done=2)
        clock.step(-2 * 365 * 86400)
        assert clock.seen() < time.time() - 80000
        bench.proxy.cut()

    verdict = survive(replace(bench, device=device), jump)
    assert verdict.repeats == 0


def end(bench: Bench) -> None:
    """Nothing shall have its folder open when the disk below it goes."""
    wait_until(lambda: bench.kill_agent() is False, "the agent to end")
