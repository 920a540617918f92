"""What a campaign makes of boards and links that fail."""

import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import (
    AgentCrashed,
    AuthenticationFailed,
    DeviceBusy,
    DeviceLost,
    DeviceTimeout,
    Unreachable,
)
from profiler.measure.campaign import CampaignResult, CampaignStopped
from profiler.measure.journal import read_journal
from profiler.measure.record import Measurement


@pytest.fixture
def world(fakes: ModuleType):
    return fakes.World(noise=0.001)


def run(fakes: ModuleType, world, results: Path, **changes) -> CampaignResult:
    return fakes.campaign(world, results, **changes).run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")


def records(results: Path) -> tuple[Measurement, ...]:
    return read_journal(results / "fake" / "r1" / "journal.jsonl").measurements


def measured(world) -> list[str]:
    return [e for e in world.events if len(e) == 32]


def assert_each_once(found: tuple[Measurement, ...], count: int = 33) -> None:
    assert len({m.job_key for m in found}) == len(found) == count


@pytest.mark.parametrize("fault", [DeviceLost, AgentCrashed, DeviceTimeout])
def test_a_fault_is_met_with_a_new_connection(tmp_path: Path, fakes: ModuleType, world, fault):
    victim = fakes.some_jobs()[0].workload.key

    def faults(artefact, attempt: int):
        if artefact.workload.key == victim and attempt <= 2:
            raise fault("it broke", "fake")

    world.faults = faults
    assert run(fakes, world, tmp_path).failures == {}
    assert world.events.count("connect") == 3
    assert_each_once(records(tmp_path))


def test_a_cut_link_costs_no_measurement(tmp_path: Path, fakes: ModuleType, world):
    """The board goes on by itself: what it did meanwhile is asked for, not done again."""
    cuts = iter([False, True, False, False, True, True, *[False] * 100])
    world.cut = lambda artefact: next(cuts)
    assert run(fakes, world, tmp_path).failures == {}
    assert len(measured(world)) == 33
    assert world.events.count("connect") == 4
    assert_each_once(records(tmp_path))


def test_what_the_board_did_for_a_host_that_died_is_journaled_and_not_done_again(
    tmp_path: Path, fakes: ModuleType, world
):
    def die(artefact) -> bool:
        if len(measured(world)) == 4:
            raise KeyboardInterrupt
        return False

    world.cut = die
    with pytest.raises(KeyboardInterrupt):
        run(fakes, world, tmp_path)
    assert len(records(tmp_path)) == 3, "the fourth was done, and nobody was there to hear of it"
    world.cut = lambda artefact: False
    result = run(fakes, world, tmp_path)
    assert (result.measured, result.resumed) == (30, 3)
    assert len(measured(world)) == 33
    assert_each_once(records(tmp_path))


def test_other_settings_do_not_get_results_of_the_old_ones(tmp_path: Path, fakes: ModuleType, world):
    """A run that was cut off, its folder deleted, and begun again with another configuration."""
    world.cut = lambda artefact: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(fakes, world, tmp_path)
    (tmp_path / "fake" / "r1" / "run.json").unlink()
    world.cut = lambda artefact: False
    run(fakes, world, tmp_path, config=replace(fakes.CONFIG, min_batches=9))
    assert {len(m.samples_ns) for m in records(tmp_path)} == {9}


@pytest.mark.parametrize(
    ("fault", "status", "rounds"), [(DeviceLost, "link_lost", 3), (AgentCrashed, "crashed", 1)], ids=["link", "agent"]
)
def test_a_job_that_takes_the_board_down_three_times_is_given_up(
    tmp_path: Path, fakes: ModuleType, world, fault, status: str, rounds: int
):
    victim = fakes.some_jobs()[0].workload

    def faults(artefact, attempt: int):
        if artefact.workload.key == victim.key:
            raise fault("it broke", "fake")

    world.faults = faults
    run(fakes, world, tmp_path)
    found = [m for m in records(tmp_path) if m.workload_key == victim.key]
    assert {m.status for m in found} == {status}
    assert all("3 times" in m.error and "it broke" in m.error for m in found)
    # an agent that dies of a job is the job's doing; a board that is lost is not, so the next round tries again
    assert len(found) == rounds
    assert measured(world).count(victim.key) == 3 * rounds
    assert len([m for m in records(tmp_path) if m.status == "ok"]) == 30


def test_two_deaths_are_forgiven(tmp_path: Path, fakes: ModuleType, world):
    def faults(artefact, attempt: int):
        if attempt <= 2:
            raise AgentCrashed("it died", "fake")

    world.faults = faults
    assert run(fakes, world, tmp_path).failures == {}
    assert_each_once(records(tmp_path))


def test_lost_links_are_tried_again_by_the_same_command(tmp_path: Path, fakes: ModuleType, world):
    """Also where the board still holds the session, and says that the job was interrupted three times."""
    victim = fakes.some_jobs()[0].workload.key
    finishing = []

    def faults(artefact, attempt: int):
        if artefact.workload.key == victim:
            raise DeviceLost("unplugged", "fake")

    world.faults = faults
    run(fakes, world, tmp_path, config=replace(fakes.CONFIG, rounds=1))
    session = fakes.Session(interrupted=[m.job_key for m in records(tmp_path) if m.workload_key == victim] * 3)
    again = fakes.World()
    real = again.connect

    def connect(device, name: str):
        again.sessions.setdefault(name, session)
        finishing.append(name)
        return real(device, name)

    again.connect = connect
    result = run(fakes, again, tmp_path, config=replace(fakes.CONFIG, rounds=1))
    assert (result.measured, result.resumed, result.failures) == (1, 10, {})
    assert [m.status for m in records(tmp_path) if m.workload_key == victim] == ["link_lost", "ok"]


def test_five_faults_without_an_end_of_a_job_open_the_breaker(
    tmp_path: Path, fakes: ModuleType, world, monkeypatch: pytest.MonkeyPatch
):
    """As of an agent that speaks nonsense: no job is to blame."""

    def faults(artefact, attempt: int):
        if len(set(measured(world))) > 3:
            raise AgentCrashed("nonsense.", "fake")

    world.faults = faults
    monkeypatch.setattr(fakes.Board, "interrupted", lambda self: [])
    with pytest.raises(DeviceLost, match=r"'fake' failed 5 times in a row.*with: nonsense; .*same command again"):
        run(fakes, world, tmp_path)
    assert [m.status for m in records(tmp_path)] == ["ok"] * 3
    assert world.events.count("connect") == 5
    assert run(fakes, fakes.World(), tmp_path).measured == 30


def test_five_jobs_given_up_in_a_row_open_the_breaker_too(tmp_path: Path, fakes: ModuleType, world):
    def faults(artefact, attempt: int):
        if len(set(measured(world))) > 3:
            raise DeviceLost("power is gone", "fake")

    world.faults = faults
    with pytest.raises(DeviceLost, match=r"'fake' had to give up 5 jobs in a row.*power is gone"):
        run(fakes, world, tmp_path)
    assert [m.status for m in records(tmp_path)] == ["ok"] * 3 + ["link_lost"] * 5
    assert run(fakes, fakes.World(), tmp_path).measured == 30


def test_faults_with_jobs_that_end_between_them_do_not_open_it(tmp_path: Path, fakes: ModuleType, world):
    bad = {job.workload.key for job in fakes.some_jobs() if job.role.repeats == 8}

    def faults(artefact, attempt: int):
        if artefact.workload.key in bad:
            raise DeviceLost("flaky", "fake")

    world.faults = faults
    assert run(fakes, world, tmp_path).failures == {"link_lost": 9}


@pytest.mark.parametrize("fault", [Unreachable, DeviceLost, DeviceTimeout, AgentCrashed, DeviceBusy])
def test_a_board_that_was_there_is_called_until_it_is_back(tmp_path: Path, fakes: ModuleType, world, fault):
    def cut(artefact) -> bool:
        if len(measured(world)) == 10:
            world.connect_faults = [fault("no answer", "fake") for _ in range(9)]
            return True
        return False

    world.cut = cut
    progress = fakes.Recorder()
    assert run(fakes, world, tmp_path, progress=progress).failures == {}
    assert_each_once(records(tmp_path))
    assert sum("no answer; calling it again in" in text for text in progress.messages) == 9


def test_patience_ends(tmp_path: Path, fakes: ModuleType, world):
    def cut(artefact) -> bool:
        if len(measured(world)) == 10:
            world.connect_faults = [Unreachable("no answer", "fake") for _ in range(9)]
            return True
        return False

    world.cut = cut
    with pytest.raises(Unreachable, match="no answer"):
        run(fakes, world, tmp_path, limits=replace(fakes.LIMITS, patience_s=0.0))
    assert [m.status for m in records(tmp_path)] == ["ok"] * 9
    world.cut = lambda artefact: False
    world.connect_faults = []
    assert run(fakes, world, tmp_path).measured == 24
    assert len(measured(world)) == 33


class Pauses(threading.Event):
    """A stop that never comes, and that notes how long it would have been waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def test_pauses_double_up_to_a_limit(tmp_path: Path, fakes: ModuleType, world):
    def cut(artefact) -> bool:
        if len(measured(world)) == 1:
            world.connect_faults = [Unreachable("no answer", "fake") for _ in range(7)]
            return True
        return False

    world.cut = cut
    stop = Pauses()
    run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, retry_wait_s=2.0))
    assert stop.seconds == [2, 4, 8, 16, 30, 30, 30]


def test_a_link_that_breaks_often_is_mended_at_once_as_long_as_jobs_end(tmp_path: Path, fakes: ModuleType, world):
    world.cut = lambda artefact: True
    stop = Pauses()
    run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, retry_wait_s=2.0))
    assert stop.seconds == []
    assert world.events.count("connect") == 34


def test_faults_with_no_end_of_a_job_between_them_are_met_with_growing_pauses(
    tmp_path: Path, fakes: ModuleType, world, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fakes.Board, "interrupted", lambda self: [])

    def faults(artefact, attempt: int):
        if attempt <= 4:
            raise DeviceLost("flaky", "fake")

    world.faults = faults
    stop = Pauses()
    run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, retry_wait_s=2.0))
    assert stop.seconds[:6] == [2, 4, 8, 2, 4, 8]


@pytest.mark.parametrize(("fault", "connects"), [(Unreachable, 1), (DeviceBusy, 1), (DeviceLost, 3)])
def test_a_board_that_never_answered_is_not_waited_for(tmp_path: Path, fakes: ModuleType, world, fault, connects: int):
    world.connect_faults = [fault("no", "fake") for _ in range(9)]
    with pytest.raises(fault):
        run(fakes, world, tmp_path)
    assert world.events == ["connect"] * connects


def test_a_board_that_answered_in_an_earlier_part_of_the_run_is_waited_for(tmp_path: Path, fakes: ModuleType, world):
    world.cut = lambda artefact: len(measured(world)) == 10
    world.connect_faults = []
    stop = threading.Event()
    progress = fakes.Recorder()
    run(fakes, world, tmp_path)
    before = world.events.count("connect")
    world.connect_faults = [Unreachable("no answer", "fake") for _ in range(4)]
    run(fakes, world, tmp_path, stop=stop, progress=progress)
    assert world.events.count("connect") == before + 5
    assert sum("no answer; calling it again in" in text for text in progress.messages) == 4


def test_a_refused_key_is_not_tried_again(tmp_path: Path, fakes: ModuleType, world):
    def cut(artefact) -> bool:
        world.connect_faults = [AuthenticationFailed("no", "fake")]
        return True

    world.cut = cut
    with pytest.raises(AuthenticationFailed):
        run(fakes, world, tmp_path)
    assert world.events.count("connect") == 2


def too_big(fakes: ModuleType, world) -> set[str]:
    """Two of the workloads, for which the board has no room now."""
    jobs = [fakes.some_jobs()[i] for i in (3, 9)]
    world.full = {fakes.Cache().get(job.workload, "", "").sha256 for job in jobs}
    return {job.workload.key for job in jobs}


def test_artefacts_for_which_the_board_has_no_room_are_left_for_later(tmp_path: Path, fakes: ModuleType, world):
    victims = too_big(fakes, world)
    result = run(fakes, world, tmp_path)
    assert result.failures == {"disk_full": 6}
    assert {m.workload_key for m in records(tmp_path) if m.status == "disk_full"} == victims
    assert_each_once(records(tmp_path))
    assert world.events.count("connect") == 1
    again = run(fakes, fakes.World(), tmp_path)
    assert (again.measured, again.resumed, again.failures) == (6, 27, {})


def test_what_does_not_fit_together_is_done_one_by_one(tmp_path: Path, fakes: ModuleType, world):
    too_big(fakes, world)
    world.room = 1
    assert run(fakes, world, tmp_path).failures == {}
    assert world.blocks.count(1) >= 6
    assert_each_once(records(tmp_path))


def test_a_stop_from_outside_ends_after_the_outcome_at_hand(tmp_path: Path, fakes: ModuleType, world):
    stop = threading.Event()

    def on_measure(key: str) -> None:
        if len(measured(world)) == 5:
            stop.set()

    world.on_measure = on_measure
    with pytest.raises(CampaignStopped):
        run(fakes, world, tmp_path, stop=stop)
    assert len(records(tmp_path)) == 5
    assert world.events[-1] == "close"
    world.on_measure = lambda key: None
    assert run(fakes, world, tmp_path).measured == 28


def test_a_board_that_cannot_be_told_of_the_end_fails_nothing(tmp_path: Path, fakes: ModuleType, world, monkeypatch):
    def finish(self) -> None:
        raise DeviceLost("gone at last", "fake")

    monkeypatch.setattr(fakes.Board, "finish", finish)
    progress = fakes.Recorder()
    assert run(fakes, world, tmp_path, progress=progress).measured == 33
    assert any("gone at last" in text for text in progress.messages)


def test_a_session_that_leaves_jobs_out_is_a_fault(tmp_path: Path, fakes: ModuleType, world, monkeypatch):
    real = fakes.Board.run

    def run_some(self, block, target, config):
        yield from real(self, block[:-1] if len(world.blocks) % 2 == 0 else block, target, config)

    monkeypatch.setattr(fakes.Board, "run", run_some)
    progress = fakes.Recorder()
    run(fakes, world, tmp_path, progress=progress)
    assert_each_once(records(tmp_path))
    assert any("left 1 of its jobs out" in text for text in progress.messages)
