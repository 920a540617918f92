"""Figures that fail the gate behind their round are tried again, so often and no more."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from profiler.measure.campaign import CampaignResult
from profiler.measure.gate import RETRIED, fails_gate
from profiler.measure.journal import read_journal
from profiler.measure.plan import RoundPlan
from profiler.measure.record import ISSUES, Measurement


@pytest.fixture
def world(fakes: ModuleType):
    return fakes.World(noise=0.001)


def run(fakes: ModuleType, world, results: Path, retries: int = 1, **changes: Any) -> CampaignResult:
    config = replace(fakes.CONFIG, retries=retries, rounds=changes.pop("rounds", 1), **changes.pop("settings", {}))
    campaign = fakes.campaign(world, results, **{"config": config, **changes})
    return campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")


def records(results: Path) -> tuple[Measurement, ...]:
    return read_journal(results / "fake" / "r1" / "journal.jsonl").measurements


def flagged(fakes: ModuleType, victim, code: str, times: int):
    """The first so many tries of a job come with an issue."""
    costs = int(10 * fakes.true_cost_ns(victim.workload))

    def faults(artefact, n: int):
        if artefact.workload.key == victim.workload.key and n <= times:
            return fakes.Reply(issues=(code,), samples_ns=(costs,) * 5)
        return None

    return faults


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_a_figure_that_fails_is_tried_again_with_its_group(tmp_path: Path, fakes: ModuleType, world, code: str):
    victim = fakes.some_jobs()[1]
    world.faults = flagged(fakes, victim, code, times=1)
    progress = fakes.Recorder()
    result = run(fakes, world, tmp_path, progress=progress)
    assert (result.measured, result.repeated) == (11, 3)
    found = records(tmp_path)
    again = [m for m in found if m.env.get("again") == "gate"]
    assert {m.role.subject_key for m in again} == {victim.role.subject_key}, "what is compared is measured together"
    assert found[-3:] == tuple(again), "behind the round"
    assert code not in next(m for m in again if m.workload_key == victim.workload.key).issues
    assert len(progress.labels) == progress.total == 11
    assert any("failed a gate" in text for text in progress.messages)


def test_it_is_tried_so_often_and_then_kept_with_its_codes(tmp_path: Path, fakes: ModuleType, world):
    victim = fakes.some_jobs()[-1]
    world.faults = flagged(fakes, victim, "ci_not_met", times=100)
    result = run(fakes, world, tmp_path, retries=2, rounds=2)
    assert result.repeated == 4
    found = [m for m in records(tmp_path) if m.workload_key == victim.workload.key]
    assert Counter(m.round for m in found) == {0: 3, 1: 3}
    assert all("ci_not_met" in m.issues for m in found)
    assert len({m.job_key for m in found}) == 2
    again = fakes.World()
    assert run(fakes, again, tmp_path, retries=2, rounds=2).measured == 0
    assert [e for e in again.events if len(e) == 32] == []


def test_noise_beyond_the_width_is_tried_again_and_the_width_is_in_the_config(tmp_path: Path, fakes: ModuleType):
    noisy = fakes.World(noise=0.2)
    assert run(fakes, noisy, tmp_path / "a").repeated > 0
    noisy = fakes.World(noise=0.2)
    assert run(fakes, noisy, tmp_path / "b", settings={"gate_noise": 10.0}).repeated == 0


def test_nothing_is_tried_again_where_no_retries_are_wanted(tmp_path: Path, fakes: ModuleType, world):
    world.faults = flagged(fakes, fakes.some_jobs()[0], "throttled", times=100)
    assert run(fakes, world, tmp_path, retries=0).repeated == 0


def test_retries_stand_under_the_eyes_of_the_sentinel(tmp_path: Path, fakes: ModuleType, world):
    world.faults = flagged(fakes, fakes.some_jobs()[0], "throttled", times=1)
    run(fakes, world, tmp_path, settings={"sentinel_jobs": 20})
    kinds = [m.role.kind == "sentinel" for m in records(tmp_path)]
    assert kinds == [True, *[False] * 11, True, *[False] * 3, True]


def test_a_try_that_fails_takes_no_figure_away(tmp_path: Path, fakes: ModuleType, world):
    victim = fakes.some_jobs()[-1]
    first = flagged(fakes, victim, "bimodal", times=1)

    def faults(artefact, n: int):
        if artefact.workload.key == victim.workload.key and n == 2:
            return fakes.Reply(status="crashed", error="SIGSEGV")
        return first(artefact, n)

    world.faults = faults
    result = run(fakes, world, tmp_path, rounds=2)
    assert (result.measured, result.failures) == (22, {})
    found = [m for m in records(tmp_path) if m.workload_key == victim.workload.key]
    assert [(m.round, m.status) for m in found] == [(0, "ok"), (0, "crashed"), (1, "ok")]
    assert run(fakes, fakes.World(), tmp_path, rounds=2).measured == 0


@pytest.mark.parametrize(
    ("shares", "flagged_after"),
    [
        ((0.3, 0.0), False),  # mostly fast, then wholly: what slowed it down is over
        ((0.3, 1.0), True),  # then wholly slow: it may be slow again
        ((0.7, 0.0), True),  # mostly slow so far
        ((0.7, 0.0, 0.0), False),
        ((0.3, 1.0, 1.0), True),
        ((0.3, 1.0, 0.0), True),
        ((0.3, 1.0, 0.0, 0.0), False),
        ((0.3, 0.3), True),
    ],
)
def test_a_figure_of_two_groups_stays_one_as_long_as_nobody_knows_which_of_them_counts(
    tmp_path: Path, fakes: ModuleType, world, shares: tuple[float, ...], flagged_after: bool
):
    victim = fakes.some_jobs()[-1]
    costs, rng = 10 * fakes.true_cost_ns(victim.workload), np.random.default_rng(4)

    def faults(artefact, n: int):
        if artefact.workload.key != victim.workload.key:
            return None
        slow = np.repeat([0, 1], [round(50 * (1 - shares[n - 1])), round(50 * shares[n - 1])])
        samples = costs * (1 + 0.08 * rng.permutation(slow)) * (1 + 0.002 * rng.normal(size=50))
        return fakes.Reply(samples_ns=tuple(samples.astype(int).tolist()))

    world.faults = faults
    run(fakes, world, tmp_path, retries=len(shares) - 1)
    found = [m for m in records(tmp_path) if m.workload_key == victim.workload.key]
    assert len(found) == len(shares)
    assert ["bimodal" in m.issues for m in found] == [True] * (len(shares) - 1) + [flagged_after]
    modes = found[0].env["modes"]
    assert modes["slow_ns"] / modes["fast_ns"] == pytest.approx(1.08, abs=0.003)
    assert modes["fast_ns"] == pytest.approx(costs / 10, rel=0.003)
    assert modes["fast_share"] == pytest.approx(1 - shares[0])
    assert ("modes" in found[-1].env) is flagged_after


@pytest.mark.parametrize("at", [12, 13, 14])
def test_retries_survive_the_end_of_the_host(tmp_path: Path, fakes: ModuleType, world, at: int):
    victim = fakes.some_jobs()[1]
    world.faults = flagged(fakes, victim, "throttled", times=1)
    with fakes.interrupted(world, at):
        run(fakes, world, tmp_path)
    run(fakes, world, tmp_path)
    found = [m for m in records(tmp_path) if m.workload_key == victim.workload.key]
    assert [m.issues.count("throttled") for m in found[:2]] == [1, 0]
    total = len([e for e in world.events if len(e) == 32])
    assert 14 <= total <= 17, "what the board has done of them is not done again"
    assert run(fakes, fakes.World(), tmp_path).repeated == 0


def test_two_groups_of_samples_are_called_by_their_name(tmp_path: Path, fakes: ModuleType, world):
    victim = fakes.some_jobs()[-1]
    rng = np.random.default_rng(1)
    samples = (1e6 * np.where(rng.random(200) < 0.5, 1.1, 1.0) * np.exp(0.005 * rng.normal(size=200))).astype(int)
    world.faults = lambda artefact, n: (
        fakes.Reply(samples_ns=tuple(int(s) for s in samples)) if artefact.workload.key == victim.workload.key else None
    )
    run(fakes, world, tmp_path)
    found = [m for m in records(tmp_path) if m.workload_key == victim.workload.key]
    assert [("bimodal" in m.issues) for m in found] == [True, True]
    assert not any("bimodal" in m.issues for m in records(tmp_path) if m.workload_key != victim.workload.key)


@pytest.mark.parametrize("code", ["clock_stepped", "sensor_lost", "thermal_unknown", "too_hot"])
def test_what_the_board_says_passes_through(tmp_path: Path, fakes: ModuleType, world, code: str):
    victim = fakes.some_jobs()[-1]
    world.faults = flagged(fakes, victim, code, times=100)
    assert run(fakes, world, tmp_path).repeated == 0
    assert [m.issues for m in records(tmp_path) if m.workload_key == victim.workload.key] == [(code, "simulated")]


def test_the_gate_knows_its_codes(fakes: ModuleType):
    assert set(ISSUES) >= RETRIED
    failed = Measurement("k", "w", "a", "d", "t", fakes.some_jobs()[0].role, 0, "crashed", ("throttled",))
    assert not fails_gate(failed, fakes.CONFIG), "there is no figure"


# The order of rounds


def order(fakes: ModuleType, round_: int, mirrored: bool) -> list[tuple[str, int]]:
    plan = RoundPlan(fakes.some_jobs(), 3, mirrored)
    return [(job.workload.key, job.role.repeats) for group in plan.groups(round_) for job in group]


def test_rounds_for_energy_come_in_mirrored_pairs(fakes: ModuleType):
    rounds = [order(fakes, r, True) for r in range(4)]
    assert rounds[1] == rounds[0][::-1]
    assert rounds[3] == rounds[2][::-1]
    assert rounds[2] not in (rounds[0], rounds[1])
    # whatever drifts steadily adds the same to every job over a pair
    places = [[r.index(job) for r in rounds[:2]] for job in rounds[0]]
    assert {sum(pair) for pair in places} == {len(places) - 1}


def test_rounds_for_latency_are_shuffled_each(fakes: ModuleType):
    rounds = [order(fakes, r, False) for r in range(3)]
    assert rounds[1] != rounds[0][::-1]
    assert len({tuple(r) for r in rounds}) == 3


def test_a_campaign_for_energy_runs_in_that_order(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path, rounds=2, settings={"energy": True})
    keys = [(m.workload_key, m.role) for m in records(tmp_path)]
    assert keys[11:] == keys[:11][::-1]
