"""Every claim can be missed: each is counted on records that were made up to meet it and to miss it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from profiler.validation.claims import CLAIMS
from profiler.validation.claims.drift import watched
from profiler.validation.claims.throttle import overlap_s
from profiler.validation.lines import Line


def row(key: str = "a", **changes: Any) -> dict[str, Any]:
    plain = {
        "key": key, "kind": "model", "status": "ok", "gated": False, "issues": [], "latency_ns": 1.0, "low_ns": 0.99,
        "high_ns": 1.01, "true_ns": 1.0, "typical_ns": 1.0, "energy_mj": None, "energy_u_mj": None,
        "energy_upper_mj": None, "true_mj": 5.0,
    }  # fmt: skip
    return plain | changes


def attempt(role: str = "model", **changes: Any) -> dict[str, Any]:
    truth = {
        "began_s": 0.0,
        "ended_s": 10.0,
        "throttled": [],
        "drift": 0.0,
        "own": 1.0,
        "run_s": 1e-9,
        "second_mode": 0,
    }
    truth |= changes.pop("truth", {})
    plain = {
        "role": role, "key": "a", "job": "a0", "round": 0, "status": "ok", "issues": [], "median_ns": 1.0,
        "energy_mj": None, "sampling_s": 4.0, "throttle_events": 0, "truth": truth,
    }  # fmt: skip
    return plain | changes


def sentinel(verdict: str, drift: float, **changes: Any) -> dict[str, Any]:
    return attempt("sentinel", key="s", sentinel_verdict=verdict, truth={"drift": drift}, **changes)


def board(*tries: dict[str, Any], rows: tuple[dict[str, Any], ...] = (row(),), **more: Any) -> dict[str, Any]:
    return {"rows": list(rows), "tries": [*tries] or [attempt()], "two_modes": False, **more}


def first(claim: str, **families: Any) -> Line:
    """The first line of a claim; families that are not named have no boards."""
    records: Mapping[str, Any] = {family: families.get(family, []) for family in CLAIMS[claim].families}
    return CLAIMS[claim].judge(records)[0]


def test_coverage() -> None:
    good, bad = row(), row(true_ns=1.02)
    line = first("coverage", quiet=[board(rows=(good,) * 19 + (bad,))])
    assert (line.seen, line.met) == (0.95, True)
    assert first("coverage", quiet=[board(rows=(good,))]).met is False, "intervals that never miss are too wide"
    assert first("coverage", quiet=[board(rows=(good, bad))]).met is False


def test_coverage_of_a_drifting_board_is_of_the_state_it_was_in() -> None:
    line = CLAIMS["coverage"].judge({"quiet": [], "drifting": [board(rows=(row(typical_ns=1.1, true_ns=1.0),))]})
    assert [each.seen for each in line if each.target and each.count] == [0.0]


def test_bias_is_signed() -> None:
    assert first("bias", quiet=[board(rows=(row(latency_ns=1.02), row(latency_ns=0.98)))]).met is True
    assert first("bias", quiet=[board(rows=(row(latency_ns=1.006),))]).met is False
    assert first("bias", quiet=[board(rows=(row(latency_ns=0.994),))]).met is False


@pytest.mark.parametrize(
    ("span", "overlap"), [((0.0, 5.9), 0.0), ((5.0, 7.0), 1.0), ((9.0, 12.0), 1.0), ((0.0, 99.0), 4.0)]
)
def test_only_what_happens_while_samples_are_taken_counts(span: tuple[float, float], overlap: float) -> None:
    assert overlap_s(attempt(truth={"throttled": [span]})) == pytest.approx(overlap)


def test_throttle() -> None:
    throttled = {"throttled": [(5.0, 8.0)]}
    found, missed = attempt(throttle_events=1, truth=throttled), attempt(truth=throttled)
    assert first("throttle", hot=[board(found)]).met is True
    assert first("throttle", hot=[board(found, missed)]).met is False
    alarms = CLAIMS["throttle"].judge({"hot": [board(attempt(throttle_events=1))], "quiet": [], "drifting": []})[1]
    assert (alarms.seen, alarms.met) == (1.0, False)


def test_drift_is_to_be_caught_by_the_very_next_sentinel() -> None:
    start = sentinel("reference", 0.0, sentinel_begins=True)
    caught = board(start, attempt(), sentinel("doubtful", 0.05), sentinel("drifted", 0.05))
    assert first("drift", stepping=[caught]).met is True
    late = board(start, attempt(), sentinel("good", 0.05), attempt(), sentinel("drifted", 0.05))
    assert first("drift", stepping=[late]).met is False, "the second one comes too late"
    calmed = board(start, attempt(), sentinel("doubtful", 0.05), sentinel("good", 0.05))
    assert first("drift", stepping=[calmed]).met is False


def test_a_sentinel_is_compared_with_the_reference_of_its_own_process() -> None:
    start = [sentinel("reference", drift, sentinel_begins=True) for drift in (0.0, 0.05)]
    seen = list(watched(board(start[0], sentinel("good", 0.001), start[1], attempt(), sentinel("good", 0.051))))
    assert [each.moved for each in seen] == pytest.approx([0.001, 0.001], abs=1e-4)
    alarm = CLAIMS["drift"].judge({"stepping": [board(start[0], sentinel("drifted", 0.001))]})[1]
    assert alarm.met is False


def test_energy() -> None:
    good, bad = row(energy_mj=5.1, energy_u_mj=0.2), row(energy_mj=5.3, energy_u_mj=0.2)
    assert first("energy", metered=[board(rows=(good,) * 19 + (bad,))]).met is True
    assert first("energy", metered=[board(rows=(good, bad))]).met is False
    invented = CLAIMS["energy"].judge({"metered": [], "stepless": [board(rows=(good,))]})
    assert [line.met for line in invented if line.claim.startswith("refused")] == [False]


def test_refresh() -> None:
    near, far = attempt(energy_refresh_hz=10.5), attempt(energy_refresh_hz=20.0)
    assert first("refresh", metered=[board(near, refresh_s=0.1)]).met is True
    assert first("refresh", metered=[board(far, refresh_s=0.1)]).met is False


def test_fusion_counts_verdicts_and_not_the_undecided() -> None:
    right, wrong = {"verdict": "not", "true": "not"}, {"verdict": "fused", "true": "not"}
    undecided = {"verdict": "undecided", "true": "fused"}
    assert first("fusion", fusing=[{"verdicts": [right, undecided]}]).met is True
    assert first("fusion", fusing=[{"verdicts": [right, wrong]}]).met is False


def test_both_protocols_are_held_against_one_truth() -> None:
    today = {"a": {"mean_ns": 1.1, "low_ns": 1.09, "high_ns": 1.11}}
    lines = CLAIMS["todays-tools"].judge({"quiet": [board(today=today)], "drifting": [], "hot": []})
    seen = {line.claim: line.seen for line in lines}
    assert seen["error by the protocol, quiet boards"] == 0.0
    assert seen["error by today's tools, quiet boards"] == pytest.approx(0.1)
    assert seen["coverage by today's tools, quiet boards"] == 0.0
