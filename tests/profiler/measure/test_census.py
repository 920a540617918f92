"""Boards whose worker processes fall into two states: what is asked of them, and which figures count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from profiler.measure.campaign import CampaignResult
from profiler.measure.census import LEAD, MOST, Census
from profiler.measure.journal import read_journal
from profiler.measure.record import ISSUES, Measurement, Role
from profiler.measure.watch import BEGINS, estimate_of

GAP = 0.05


def sentinel(latency_ns: float, *, begins: bool = True) -> Measurement:
    role = Role("sentinel", "s")
    return Measurement(
        "k", "w", "a", "d", "t", role, 0, "ok", samples_ns=(int(latency_ns * 1000),) * 5, runs_per_batch=1000,
        env={BEGINS: begins},
    )  # fmt: skip


def figure(key: str, *issues: str) -> Measurement:
    return Measurement(key, "w", "a", "d", "t", Role("model", "m"), 0, "ok", issues, (1000,) * 5, 1)


def census_of(slow: Sequence[int], probes: int = 3, spread: float = 0.002, gap: float = GAP) -> Census:
    """Of processes of which these are slow (1) or not (0)."""
    rng = np.random.default_rng(1)
    census = Census(probes)
    for is_slow in slow:
        census.replay(sentinel(1e6 * (1 + gap * is_slow) * (1 + spread * rng.normal())))
    return census


def test_processes_that_agree_are_asked_once_more_than_there_are_probes():
    assert not census_of([0, 0, 0]).complete
    census = census_of([0, 0, 0, 0])
    assert census.complete
    assert census.states is None
    assert census.is_usual()
    assert not census.undecided


@pytest.mark.parametrize(
    ("slow", "usual"),
    [
        ([0, 0, 1, 0, 0, 0, 0], True),
        ([1, 1, 1, 0, 1, 1, 1], True),
        ([0, 0, 0, 0, 0, 0, 1], False),
        ([0, 1, 1, 1, 1, 1, 1, 1, 0], False),
    ],
)
def test_the_state_that_leads_is_the_usual_one(slow: list[int], usual: bool):
    census = census_of(slow)
    states = census.states
    assert states is not None
    assert (states.fast, states.slow) == (slow.count(0), slow.count(1))
    assert states.gap == pytest.approx(np.log(1 + GAP), abs=0.005)
    assert abs(slow.count(0) - slow.count(1)) >= LEAD
    assert census.is_usual() is usual
    assert census.complete
    assert not census.undecided


def test_as_long_as_no_state_leads_every_process_is_as_good_as_another():
    census = census_of([0, 1, 0, 1, 0, 0])
    assert not census.complete
    assert census.undecided
    assert census.is_usual()
    assert census_of([0, 1] * MOST).complete, "there is an end to it"


def test_the_spread_of_processes_is_no_two_states():
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(400):
        census = Census(3)
        sigma = rng.uniform(0.002, 0.008)
        for level in 1e6 * np.exp(sigma * rng.normal(size=8)):
            census.replay(sentinel(level))
        wrong += census.states is not None
    assert wrong <= 4
    assert census_of([0, 1, 0, 0, 1, 0], gap=0.01).states is None, "too close to matter"


def test_a_board_that_moves_has_no_states_and_what_was_before_counts_no_more():
    census = census_of([0] * 5 + [1] * LEAD)
    assert census.states is None
    assert census.is_usual()
    assert not census.undecided
    assert census_of([0, 1, *[0] * 4, *[1] * LEAD]).states is not None, "it came back in between"


def test_figures_of_the_unusual_state_are_known_by_their_job():
    census = Census(1)
    for level, key in ((1.0, "a"), (1.05, "b"), (1.05, "c"), (1.0, "b")):
        census.replay(sentinel(1e6 * level))
        census.replay(sentinel(9e6, begins=False))
        census.replay(figure(key))
    assert not any(census.is_off(key) for key in "abc"), "nobody knows which is the usual one"
    for _ in range(LEAD):
        census.replay(sentinel(1e6))
    census.replay(figure("c", "drifted"))  # journaled anew as it was
    assert [census.is_off(key) for key in "abcd"] == [False, False, True, False]


def test_without_probes_nothing_is_counted():
    census = census_of([0, 1, 0, 0, 0, 0], probes=0)
    assert not census.wanted
    assert census.states is None


# Whole campaigns


@pytest.fixture
def world(fakes: ModuleType):
    return fakes.World(noise=0.0005)


def slow_processes(world, slow: Sequence[int]) -> None:
    """Of the processes in their order these are slow, all behind them fast."""
    world.level = lambda: 1 + GAP * (dict(enumerate(slow)).get(world.events.count("worker") - 1, 0))


def run(fakes: ModuleType, world, results: Path, probes: int = 3, **changes: Any) -> CampaignResult:
    config = replace(fakes.WATCHED, process_probes=probes, sentinel_jobs=50)
    campaign = fakes.campaign(world, results, **{"config": config, **changes})
    return campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")


def records(results: Path) -> tuple[Measurement, ...]:
    return read_journal(results / "fake" / "r1" / "journal.jsonl").measurements


def wrong(fakes: ModuleType, found: Sequence[Measurement]) -> list[tuple[str, int]]:
    """Of the figures that count, those that are not what the job costs in the fast state."""
    costs = {job.workload.key: fakes.true_cost_ns(job.workload) for job in fakes.some_jobs()}
    last = {(m.job_key, m.round): m for m in found if m.role.kind != "sentinel" and m.status == "ok"}
    assert len(last) == 33
    estimates = {key: estimate_of(m) for key, m in last.items()}
    return [
        key for key, e in estimates.items() if e is None or abs(e.median / costs[last[key].workload_key] - 1) > 0.01
    ]


def test_a_board_of_one_state_costs_three_sentinels(tmp_path: Path, fakes: ModuleType, world):
    result = run(fakes, world, tmp_path)
    assert (result.measured, result.repeated) == (33, 0)
    begins = Counter(m.round for m in records(tmp_path) if m.env.get(BEGINS))
    assert begins == {0: 4, 1: 1, 2: 1}
    assert world.events.count("worker") == 6
    assert not any("process_states" in m.issues for m in records(tmp_path))
    assert wrong(fakes, records(tmp_path)) == []
    assert len({m.job_key for m in records(tmp_path)}) == len(records(tmp_path))


@pytest.mark.parametrize("slow", [[0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1, 1, 1], [0] * 5 + [1, 1]])
def test_rounds_are_measured_in_processes_of_the_usual_state(tmp_path: Path, fakes: ModuleType, world, slow: list[int]):
    slow_processes(world, slow)
    progress = fakes.Recorder()
    result = run(fakes, world, tmp_path, progress=progress)
    assert (result.measured, result.repeated) == (33, 0)
    assert wrong(fakes, records(tmp_path)) == []
    assert any("two states" in text and "figures are of the faster" in text for text in progress.messages)
    without = fakes.World(noise=0.0005)
    slow_processes(without, slow[1:])
    run(fakes, without, tmp_path / "without", probes=0)
    assert slow[1] == 0 or wrong(fakes, records(tmp_path / "without"))


def test_a_round_of_the_unusual_state_is_measured_again_once_that_is_known(tmp_path: Path, fakes: ModuleType, world):
    slow_processes(world, [1, 1])  # only these are asked before the first round, which the second measures
    progress = fakes.Recorder()
    result = run(fakes, world, tmp_path, probes=1, progress=progress)
    assert (result.measured, result.repeated) == (33, 11)
    found = records(tmp_path)
    assert {m.round for m in found if m.env.get("again") == "process"} == {0}
    assert wrong(fakes, found) == []
    assert any("less usual of two states" in text for text in progress.messages)
    before = len(world.events)
    assert run(fakes, world, tmp_path, probes=1).measured == 0
    assert world.events[before:].count("worker") == 0, "what is done stays done"


def test_where_no_state_leads_the_figures_say_so(tmp_path: Path, fakes: ModuleType, world):
    slow_processes(world, [0, 1] * 50)
    progress = fakes.Recorder()
    run(fakes, world, tmp_path, progress=progress)
    found = [m for m in records(tmp_path) if m.role.kind != "sentinel"]
    assert all("process_states" in m.issues for m in found)
    assert "process_states" in ISSUES
    assert world.events.count("worker") == MOST + 2
    assert any("which is the usual one is not known" in text for text in progress.messages)


@pytest.mark.parametrize("at", [1, 3, 5, 9, 20, 33])
def test_an_interrupted_campaign_goes_on_with_what_it_knows(tmp_path: Path, fakes: ModuleType, world, at: int):
    slow_processes(world, [0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0])
    with fakes.interrupted(world, at):
        run(fakes, world, tmp_path)
    run(fakes, world, tmp_path)
    assert wrong(fakes, records(tmp_path)) == []


def test_what_was_asked_before_an_interruption_is_not_asked_again(tmp_path: Path, fakes: ModuleType, world):
    with fakes.interrupted(world, 10):
        run(fakes, world, tmp_path)
    run(fakes, world, tmp_path)
    assert Counter(m.round for m in records(tmp_path) if m.env.get(BEGINS)) == {0: 4 + 1, 1: 1, 2: 1}
