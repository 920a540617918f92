"""What a campaign makes of a board that drifts: the sentinel finds it, and what it does not vouch for is done again."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from profiler.errors import AgentCrashed, ArtefactError, UnsupportedOperator
from profiler.measure.campaign import CampaignResult, CampaignStopped
from profiler.measure.journal import read_journal
from profiler.measure.record import Measurement
from profiler.measure.sentinel import sentinel_workload
from profiler.measure.watch import VERDICT, estimate_of

SENTINEL = sentinel_workload().key


@pytest.fixture
def world(fakes: ModuleType):
    return fakes.World(noise=0.001)


def run(fakes: ModuleType, world, results: Path, **changes: Any) -> CampaignResult:
    campaign = fakes.campaign(world, results, **{"config": fakes.WATCHED, **changes})
    return campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")


def records(results: Path) -> tuple[Measurement, ...]:
    return read_journal(results / "fake" / "r1" / "journal.jsonl").measurements


def verdicts(found: tuple[Measurement, ...], round_: int = 0) -> list[str]:
    return [m.env[VERDICT] for m in found if m.role.kind == "sentinel" and m.round == round_]


def final(found: tuple[Measurement, ...]) -> dict[tuple[str, int], Measurement]:
    """What tables go by: the last line with a figure of each job in each round."""
    return {(m.job_key, m.round): m for m in found if m.role.kind != "sentinel" and m.status == "ok"}


def measured(world) -> list[str]:
    return [e for e in world.events if len(e) == 32]


def assert_true(fakes: ModuleType, found: tuple[Measurement, ...], tolerance: float = 0.015) -> None:
    """Every figure that counts is what the job costs on a board that has not drifted."""
    costs = {job.workload.key: fakes.true_cost_ns(job.workload) for job in fakes.some_jobs()}
    last = final(found)
    assert len(last) == 33
    for m in last.values():
        estimate = estimate_of(m)
        assert estimate is not None
        assert estimate.median == pytest.approx(costs[m.workload_key], rel=tolerance)


def while_between(world, begin: int, end: int, factor: float) -> Callable[[], float]:
    """Slower from the begin-th job that the board measures (sentinels counted) until before the end-th."""
    return lambda: factor if begin <= len(measured(world)) < end else 1.0


def test_the_sentinel_stands_around_every_stretch_of_a_round(tmp_path: Path, fakes: ModuleType, world):
    result = run(fakes, world, tmp_path)
    assert (result.measured, result.repeated, result.failures) == (33, 0, {})
    for round_ in range(3):
        kinds = [m.role.kind == "sentinel" for m in records(tmp_path) if m.round == round_]
        places = [i for i, is_sentinel in enumerate(kinds) if is_sentinel]
        assert places[0] == 0
        assert places[-1] == len(kinds) - 1
        # after every four jobs, but no group is torn apart, so that up to two more may come
        assert all(b - a - 1 <= 6 for a, b in pairwise(places))
        assert verdicts(records(tmp_path), round_) == ["reference", *["good"] * (len(places) - 1)]
    marks = [e for e in world.events if len(e) != 32]
    assert marks == ["connect", "worker", "worker", "worker", "finish", "close"]
    assert len({m.job_key for m in records(tmp_path)}) == len(records(tmp_path))


def test_the_same_command_again_does_nothing(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    before = records(tmp_path)
    again = fakes.World()
    assert run(fakes, again, tmp_path).resumed == 33
    assert measured(again) == []
    assert records(tmp_path) == before


def test_no_sentinel_where_it_is_switched_off(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path, config=fakes.CONFIG)
    assert SENTINEL not in measured(world)


def test_a_drift_that_passes_costs_one_stretch(tmp_path: Path, fakes: ModuleType, world):
    # the 1st is the sentinel, jobs follow, and the 6th to 8th that run are slow, the sentinel among them
    progress = fakes.Recorder()
    stop = Seconds()
    world.level = lambda: 1.06 if "moved" not in world.__dict__ and len(measured(world)) >= 8 else 1.0
    limits = replace(fakes.LIMITS, pause_s=5.0)

    def over(seconds: float) -> None:
        world.moved = True

    stop.waited = over
    result = run(fakes, world, tmp_path, progress=progress, stop=stop, limits=limits)
    found = records(tmp_path)
    assert verdicts(found).count("drifted") == 1
    assert 4 <= result.repeated <= 6, "one stretch, and no more"
    assert stop.seconds == [5.0]
    assert_true(fakes, found)
    assert not any("drifted" in m.issues for m in found)
    assert any("moved by +6." in text or "moved by +5." in text for text in progress.messages)
    assert result.measured == 33
    assert len(progress.labels) == 33


class Seconds(threading.Event):
    """A stop that never comes, and that notes how long it would have been waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.waited: Callable[[float], None] = lambda seconds: None

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        self.waited(timeout)
        return False


@pytest.mark.parametrize("begin", [2, 5, 9, 14, 17])
def test_a_drift_of_a_whole_stretch_is_found_by_its_sentinel_and_measured_again(
    tmp_path: Path, fakes: ModuleType, world, begin: int
):
    """Wherever in the round it begins: the figures that count are those of the board as it was."""
    since: list[int] = []

    def level() -> float:
        if len(measured(world)) < begin:
            return 1.0
        if len(since) < 2 and measured(world)[-1] == SENTINEL:
            since.append(len(measured(world)))  # the sentinels that find it
            return 1.05
        return 1.0 if len(since) == 2 else 1.05

    world.level = level
    run(fakes, world, tmp_path)
    found = records(tmp_path)
    first = next(i for i, m in enumerate(found) if m.env.get(VERDICT) == "drifted")
    slow = [
        i for i, m in enumerate(found) if m.role.kind != "sentinel" and i < first
        and estimate_of(m).median > 1.03 * next(
            fakes.true_cost_ns(j.workload) for j in fakes.some_jobs() if j.workload.key == m.workload_key
        )
    ]  # fmt: skip
    between = [
        found[i].env[VERDICT] for i in range(min(slow, default=first), first) if found[i].role.kind == "sentinel"
    ]
    assert between in ([], ["doubtful"])
    assert_true(fakes, found)


def test_noise_alone_starts_nothing(tmp_path: Path, fakes: ModuleType):
    world = fakes.World(noise=0.03)
    result = run(fakes, world, tmp_path, config=replace(fakes.WATCHED, gate_noise=1.0, min_batches=9))
    assert result.repeated == 0


def test_a_sentinel_that_is_off_once_is_asked_again_and_costs_nothing_else(tmp_path: Path, fakes: ModuleType, world):
    once = iter([1.03])
    world.level = lambda: next(once, 1.0) if len(measured(world)) > 3 and measured(world)[-1] == SENTINEL else 1.0
    stop = Seconds()
    result = run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, pause_s=5.0))
    assert verdicts(records(tmp_path))[:3] == ["reference", "doubtful", "good"]
    assert (result.repeated, stop.seconds) == (0, [])
    assert_true(fakes, records(tmp_path))


def test_one_that_is_far_off_is_no_noise_even_if_the_next_one_is_good(tmp_path: Path, fakes: ModuleType, world):
    """A spell that ends between two sentinels: the jobs before them may have been in it."""
    # from the 4th job on, up to the second sentinel, itself included
    world.level = lambda: 1.06 if len(measured(world)) >= 4 and SENTINEL not in measured(world)[1:-1] else 1.0
    result = run(fakes, world, tmp_path)
    found = records(tmp_path)
    assert verdicts(found)[:3] == ["reference", "drifted", "good"]
    assert 4 <= result.repeated <= 6
    assert_true(fakes, found)


def test_a_board_that_stays_moved_is_given_up_on_after_bounded_tries(tmp_path: Path, fakes: ModuleType, world):
    """Of a confirmed reference: the rest of the round keeps its figures, as ones that have drifted; no more tries."""
    world.level = lambda: 1.1 if len(measured(world)) >= 9 and world.events.count("worker") == 1 else 1.0
    stop = Seconds()
    result = run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, pause_s=5.0, longest_pause_s=8.0))
    found = records(tmp_path)
    last = final(found)
    assert len(last) == 33
    for m in last.values():
        true = next(fakes.true_cost_ns(j.workload) for j in fakes.some_jobs() if j.workload.key == m.workload_key)
        assert ("drifted" in m.issues) or estimate_of(m).median == pytest.approx(true, rel=0.015)
    assert 1 < sum("drifted" in m.issues for m in last.values()) < 11
    assert {m.round for m in last.values() if "drifted" in m.issues} == {0}, "each round has its own reference"
    # pauses grow up to their limit, and once the board is given up on there are none
    assert stop.seconds == [5.0, *[8.0] * (fakes.WATCHED.sentinel_tries - 1)]
    assert result.repeated == 0, "nothing is measured on a board that is not what it was"
    again = fakes.World()
    assert run(fakes, again, tmp_path).measured == 0
    assert measured(again) == []


def test_a_board_that_drifts_whenever_it_works_is_tried_so_often_and_no_more(tmp_path: Path, fakes: ModuleType, world):
    """It cools in every pause and moves again in every stretch."""
    cooled_at = [1]  # the sentinel that is measured next finds it cool

    def level() -> float:
        return 1.0 if len(measured(world)) <= cooled_at[0] else 1.1

    stop = Seconds()
    stop.waited = lambda seconds: cooled_at.__setitem__(0, len(measured(world)) + 1)
    world.level = level
    limits = replace(fakes.LIMITS, pause_s=5.0)
    result = run(fakes, world, tmp_path, config=replace(fakes.WATCHED, rounds=1), stop=stop, limits=limits)
    found = records(tmp_path)
    tries = Counter(m.job_key for m in found if m.role.kind != "sentinel" and "drifted" not in m.issues)
    assert max(tries.values()) == 1 + 2
    assert result.measured == 11
    assert any("drifted" in m.issues for m in final(found).values())


def test_a_reference_that_was_itself_off_is_replaced(tmp_path: Path, fakes: ModuleType, world):
    world.level = lambda: 1.2 if len(measured(world)) == 1 else 1.0
    run(fakes, world, tmp_path)
    found = records(tmp_path)
    assert verdicts(found)[:3] == ["reference", "drifted", "reference"]
    assert set(verdicts(found)[3:]) == {"good"}
    assert not any("drifted" in m.issues for m in found)
    assert_true(fakes, found)


def test_a_worker_that_died_of_a_job_brings_no_false_alarm_upon_the_round(tmp_path: Path, fakes: ModuleType, world):
    """The new process has a level of its own: it becomes the reference, and its stretch is measured in it."""
    victim = fakes.some_jobs()[4].workload.key
    world.faults = lambda artefact, n: (
        fakes.Reply(status="crashed", error="SIGSEGV") if artefact.workload.key == victim else None
    )
    world.level = lambda: 1.04 if victim in measured(world) else 1.0
    run(fakes, world, tmp_path)
    found = records(tmp_path)
    assert "drifted" not in {code for m in found for code in m.issues}
    assert verdicts(found, 1) == ["reference", *["good"] * (len(verdicts(found, 1)) - 1)]
    assert len([m for m in found if m.status == "crashed"]) == 1


# What is in doubt survives


@pytest.mark.parametrize("at", [3, 5, 8, 11, 14, 17, 20])
@pytest.mark.parametrize("factor", [1.0, 1.08])
def test_a_campaign_that_dies_finds_again_what_was_in_doubt(
    tmp_path: Path, fakes: ModuleType, world, at: int, factor: float
):
    """The board drifts, the host dies before any sentinel has said so, and the board is as it was when it is back."""

    def die(key: str) -> None:
        if len(measured(world)) == at:
            raise KeyboardInterrupt

    whole = fakes.World()
    run(fakes, whole, tmp_path / "whole")
    last = max(i for i, key in enumerate(measured(whole)[: at - 1], 1) if key == SENTINEL)
    world.level = lambda: factor if len(measured(world)) > last else 1.0
    world.on_measure = die
    with pytest.raises(KeyboardInterrupt):
        run(fakes, world, tmp_path)
    survived = records(tmp_path)
    again = fakes.World(noise=0.001)
    run(fakes, again, tmp_path)
    found = records(tmp_path)
    assert found[: len(survived)] == survived
    assert_true(fakes, found)
    assert len(found) <= 33 + 3 * 4 + 2 * 6, "at most what lay behind the last sentinel is measured again"


def test_a_block_in_doubt_at_the_end_of_a_round_is_looked_at_when_the_run_is_continued(
    tmp_path: Path, fakes: ModuleType, world
):
    """All jobs are journaled; only the last sentinel is missing. The new worker disagrees with the old reference."""

    def die(key: str) -> None:
        if key == SENTINEL and len(records(tmp_path)) > 11 and len(set(measured(world))) == 12:
            raise KeyboardInterrupt

    config = replace(fakes.WATCHED, rounds=1)
    world.on_measure = die
    with pytest.raises(KeyboardInterrupt):
        run(fakes, world, tmp_path, config=config)
    in_doubt = 0
    for m in reversed(records(tmp_path)):
        if m.role.kind == "sentinel":
            break
        in_doubt += 1
    assert in_doubt
    again = fakes.World(noise=0.001)
    again.level = lambda: 1.1
    result = run(fakes, again, tmp_path, config=config)
    assert (result.measured, result.repeated) == (0, in_doubt)
    assert verdicts(records(tmp_path))[-2:] == ["reference", "good"]


@pytest.mark.parametrize(("factor", "repeats"), [(1.0, False), (1.08, True)])
def test_what_the_board_went_on_with_alone_is_taken_and_judged(
    tmp_path: Path, fakes: ModuleType, world, factor: float, repeats: bool
):
    """The host dies; the board finishes the block and its sentinel by itself, which vouches for them, or does not."""

    def cut(artefact) -> bool:
        nonlocal cut_off
        if len(measured(world)) == 3 and not cut_off:
            cut_off = True
            raise KeyboardInterrupt
        return False

    def keep_block(self, block, target, config):
        blocks.append(block)
        yield from real(self, block, target, config)

    cut_off, blocks, real = False, [], fakes.Board.run
    world.cut = cut
    world.level = lambda: factor if 2 < len(measured(world)) <= in_block else 1.0
    in_block = 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fakes.Board, "run", keep_block)
        with pytest.raises(KeyboardInterrupt):
            run(fakes, world, tmp_path)
    (name,) = world.sessions
    for _ in fakes.Board(world, name).run(blocks[-1], fakes.TARGET, fakes.WATCHED):
        pass
    in_block = len(measured(world))
    assert measured(world)[-1] == SENTINEL
    result = run(fakes, world, tmp_path)
    assert (result.repeated > 0) == repeats
    assert_true(fakes, records(tmp_path))


def test_a_link_that_breaks_in_a_block_loses_no_sentinel(tmp_path: Path, fakes: ModuleType, world):
    cuts = iter([True, False, False, False, True, True, *[False] * 200])
    world.cut = lambda artefact: next(cuts)
    result = run(fakes, world, tmp_path)
    assert (result.measured, result.repeated) == (33, 0)
    assert len(measured(world)) == len(records(tmp_path))


# A sentinel that fails


def test_a_target_that_cannot_have_it_is_measured_without(tmp_path: Path, fakes: ModuleType, world):
    progress = fakes.Recorder()
    cache = fakes.Cache({SENTINEL: UnsupportedOperator("no conv2d", ("conv2d",))})
    assert run(fakes, world, tmp_path, cache=cache, progress=progress).measured == 33
    assert SENTINEL not in measured(world)
    assert any("no sentinel" in text and "no conv2d" in text for text in progress.messages)
    again = fakes.World()
    assert run(fakes, again, tmp_path, cache=fakes.Cache({SENTINEL: ArtefactError("no")})).measured == 0
    assert measured(again) == []


@pytest.mark.parametrize("status", ["crashed", "timed_out", "wrong_output", "unsupported_operator"])
def test_one_that_never_succeeds_is_given_up(tmp_path: Path, fakes: ModuleType, world, status: str):
    progress = fakes.Recorder()
    world.faults = lambda artefact, n: (
        fakes.Reply(status=status, error="sorry") if artefact.workload.key == SENTINEL else None
    )
    result = run(fakes, world, tmp_path, progress=progress)
    assert (result.measured, result.repeated, result.failures) == (33, 0, {})
    assert measured(world).count(SENTINEL) <= 2 + fakes.WATCHED.sentinel_tries
    assert "drifted" not in {code for m in records(tmp_path) for code in m.issues}
    assert any("never succeeded" in text for text in progress.messages)


def test_one_that_takes_the_agent_down_is_given_up_like_any_job(tmp_path: Path, fakes: ModuleType, world):
    def faults(artefact, attempt: int):
        if artefact.workload.key == SENTINEL:
            raise AgentCrashed("it died", "fake")

    world.faults = faults
    assert run(fakes, world, tmp_path).measured == 33


def test_one_that_fails_once_is_asked_again(tmp_path: Path, fakes: ModuleType, world):
    world.faults = lambda artefact, n: (
        fakes.Reply(status="crashed", error="hm") if artefact.workload.key == SENTINEL and n == 2 else None
    )
    run(fakes, world, tmp_path)
    found = records(tmp_path)
    assert "failed" in verdicts(found)
    assert not any("drifted" in m.issues for m in found)
    assert_true(fakes, found)


def test_a_stop_ends_the_pause(tmp_path: Path, fakes: ModuleType, world):
    world.level = lambda: 1.2 if len(measured(world)) > 6 else 1.0
    stop = threading.Event()

    class Now(Seconds):
        def wait(self, timeout: float | None = None) -> bool:
            return True

    stop = Now()
    with pytest.raises(CampaignStopped):
        run(fakes, world, tmp_path, stop=stop, limits=replace(fakes.LIMITS, pause_s=5.0))
