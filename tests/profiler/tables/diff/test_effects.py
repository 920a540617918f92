"""What is called an effect, what is not, and how often that is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.measure.record import ISSUES
from profiler.measure.stats import combine_rounds
from profiler.tables.diff.compare import compare_rows
from profiler.tables.diff.effects import SHIFTING, effect_of, judge
from profiler.tables.row import Row

RNG = np.random.default_rng(11)


def row(key: str, latency: float, half: float = 0.002, rounds: int = 5, **fields) -> Row:
    """A model of `latency` ns, known to a share `half`."""
    low, high = latency * (1 - half), latency * (1 + half)
    return Row("b/r-fp32-t1", key, "model", key, latency, low, high, n_rounds=rounds, spread=half, **fields)


def measured(truth: np.ndarray, noise: float, rounds: int = 5) -> list[Row]:
    """Rows as a table has them: of rounds that scatter around the truth."""
    rows = []
    for number, latency in enumerate(truth):
        values = latency * (1 + noise * RNG.standard_normal(rounds))
        found = combine_rounds(values.tolist(), [latency * noise / 10] * rounds)
        rows.append(Row("b/r-fp32-t1", f"w{number}", "model", "", found.median, found.low, found.high, n_rounds=rounds))
    return rows


def verdicts(a: list[Row], b: list[Row], **options: bool) -> dict[str, str]:
    return {e.key: e.verdict for e in compare_rows(a, b, **options).effects}


@settings(deadline=None)
@given(
    st.lists(st.floats(1e3, 1e9), min_size=1, max_size=20),
    st.floats(1e-5, 0.5),
    st.integers(1, 9),
)
def test_a_table_is_the_same_as_itself(latencies: list[float], half: float, rounds: int):
    rows = [row(f"w{i}", latency, half, rounds) for i, latency in enumerate(latencies)]
    assert set(verdicts(rows, rows).values()) == {"same"}


@settings(deadline=None)
@given(st.floats(1.05, 20.0), st.booleans())
def test_a_known_change_is_found_and_nothing_else(factor: float, slower: bool):
    before = [row(f"w{i}", 1e6 * (i + 1)) for i in range(20)]
    after = [replace(r, latency_ns=r.latency_ns * 1.0005) for r in before]
    factor = factor if slower else 1 / factor
    after[7] = row("w7", before[7].latency_ns * factor)
    found = compare_rows(before, after)
    by_key = {e.key: e for e in found.effects}
    assert by_key["w7"].verdict == ("slower" if slower else "faster")
    assert by_key["w7"].low < factor < by_key["w7"].high
    assert {e.verdict for e in found.effects if e.key != "w7"} == {"same"}
    assert found.has_regression is slower


def test_sides_swapped_give_the_inverse():
    a, b = row("w", 1e6), row("w", 1.2e6, 0.004)
    there, back = effect_of(a, b), effect_of(b, a)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high)
    assert there.p_value == pytest.approx(back.p_value)


def test_small_effects_are_none_however_sure():
    sure = 1e-6
    assert verdicts([row("w", 1e6, sure)], [row("w", 1.009e6, sure)]) == {"w": "same"}
    assert verdicts([row("w", 1e6, sure)], [row("w", 1.011e6, sure)]) == {"w": "slower"}


def test_wide_intervals_leave_all_open():
    (effect,) = compare_rows([row("w", 1e6, 0.2)], [row("w", 1.02e6, 0.2)]).effects
    assert effect.verdict == "undecided"
    assert "could have been seen" in effect.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_rounds": 1}, "one round"),
        ({"low_ns": float("nan")}, "no interval"),
        ({"latency_ns": -5.0}, "not above zero"),
        ({"low_ns": -5.0}, "down to zero"),
    ],
)
def test_figures_without_an_error_get_no_verdict(change: dict[str, float], words: str):
    (effect,) = compare_rows([row("w", 1e6)], [replace(row("w", 2e6), **change)]).effects
    assert effect.verdict == "undecided"
    assert words in effect.reason
    assert "in B" in effect.reason


@pytest.mark.parametrize("rounds", [3, 5])
def test_what_is_called_an_effect_is_one(rounds: int):
    """Under the null no verdict, and with effects among them false ones in at most 5 % of what is found."""
    tables, alarms, found, shares = 150, 0, 0, []
    for _ in range(tables):
        truth = RNG.uniform(1e5, 1e7, 40)
        null = verdicts(measured(truth, 0.01, rounds), measured(truth, 0.01, rounds))
        alarms += any(v in ("slower", "faster") for v in null.values())
        moved = truth.copy()
        moved[:10] *= 1.5
        some = verdicts(measured(truth, 0.01, rounds), measured(moved, 0.01, rounds))
        called = {key for key, verdict in some.items() if verdict in ("slower", "faster")}
        found += len(called)
        shares.append(len(called - {f"w{i}" for i in range(10)}) / max(len(called), 1))
    assert alarms / tables <= 0.05
    assert np.mean(shares) <= 0.05
    assert found >= 0.5 * 10 * tables, "finding nothing would be no art"


def test_intervals_hold_the_true_ratio_as_often_as_they_say():
    truth = RNG.uniform(1e5, 1e7, 2000)
    before, after = measured(truth, 0.01, 3), measured(1.3 * truth, 0.01, 3)
    effects = compare_rows(before, after).effects
    covered = np.mean([e.low <= 1.3 <= e.high for e in effects])
    assert 0.93 <= covered <= 0.985


def test_the_common_shift_is_the_machines():
    before = [row(f"w{i}", 1e6 * (i + 1)) for i in range(20)]
    after = [row(r.key, 1.1 * r.latency_ns) for r in before]
    after[3] = row("w3", 1.5 * before[3].latency_ns)
    found = compare_rows(before, after)
    (shift,) = found.shifts
    assert shift.ratio == pytest.approx(1.1)
    assert shift.low == pytest.approx(1.1)
    assert shift.high == pytest.approx(1.1)
    assert shift.n == 20
    assert set(verdicts(before, after).values()) == {"slower"}
    beyond = verdicts(before, after, remove_shift=True)
    assert beyond.pop("w3") == "slower"
    assert set(beyond.values()) == {"same"}


def test_few_workloads_have_a_shift_without_an_interval():
    (shift,) = compare_rows([row("w", 1e6)], [row("w", 2e6)]).shifts
    assert shift.ratio == pytest.approx(2)
    assert np.isnan(shift.low)


def test_energy_has_verdicts_of_its_own():
    before = [row("w", 1e6, energy_mj=10.0, energy_u_mj=0.02), row("v", 1e6, energy_mj=10.0, energy_u_mj=0.02)]
    after = [row("w", 1e6, energy_mj=13.0, energy_u_mj=0.02), row("v", 1e6, energy_mj=13.0)]
    found = compare_rows(before, after)
    by_place = {(e.key, e.quantity): e for e in found.effects}
    assert by_place["w", "energy"].verdict == "more"
    assert by_place["w", "latency"].verdict == "same"
    assert by_place["v", "energy"].verdict == "undecided"
    assert found.has_regression
    assert all(e.quantity == "latency" for e in compare_rows(before, after, with_energy=False).effects)


def test_what_fails_now_is_lost_and_what_was_not_measured_is_not():
    before = [row("w", 1e6), row("v", 1e6), row("u", 1e6)]
    after = [
        Row("b/r-fp32-t1", "w", "model", "w", status="crashed", error="signal 11"),
        Row("b/r-fp32-t1", "v", "model", "v", status="incomplete"),
    ]
    found = compare_rows(before, after)
    (effect,) = found.effects
    assert (effect.key, effect.verdict) == ("w", "lost")
    assert "signal 11" in effect.reason
    assert found.has_regression
    assert found.only_a == 1


def test_kinds_are_paired_apart():
    before = [row("w", 1e6), replace(row("w", 1e5), kind="kernel")]
    after = [row("w", 1e6), replace(row("w", 2e5), kind="kernel")]
    found = {e.kind: e.verdict for e in compare_rows(before, after).effects}
    assert found == {"model": "same", "kernel": "slower"}


def test_judging_nothing_gives_nothing():
    assert judge([]) == []


@pytest.mark.parametrize("between_rounds", [True, False])
def test_intervals_of_energy_are_on_the_safe_side(between_rounds: bool):
    """Whether the rounds scatter or two sensors of the same kind differ in gain, at least 95 % hold the true ratio."""
    n, rounds, size = 2000, 3, 0.01
    tables = []
    for truth in (10.0, 13.0):
        table = []
        for i in range(n):
            if between_rounds:
                found = combine_rounds((truth * (1 + size * RNG.standard_normal(rounds))).tolist(), [0.0] * rounds)
                energy, u = found.median, found.high - found.median
            else:
                energy, u = truth * (1 + size * RNG.standard_normal()), 2 * size * truth
            table.append(row(f"w{i}", 1e6, energy_mj=energy, energy_u_mj=u, rounds=rounds))
        tables.append(table)
    effects = [e for e in compare_rows(*tables).effects if e.quantity == "energy"]
    assert np.mean([e.low <= 1.3 <= e.high for e in effects]) >= 0.95


@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("code", sorted(SHIFTING))
def test_a_board_in_another_state_forbids_a_verdict(side: str, code: str):
    before, after = row("w", 1e6), row("w", 1.5e6)
    if side == "A":
        before = replace(before, issues=(code,))
    else:
        after = replace(after, issues=(code,))
    (effect,) = compare_rows([before], [after]).effects
    assert (effect.verdict, effect.reason) == ("undecided", f"in {side}: {ISSUES[code]}")
    assert not compare_rows([before], [after]).has_regression
    assert verdicts([before], [after], with_gated=True) == {"w": "slower"}


def test_what_widens_the_interval_forbids_nothing():
    gated = replace(row("w", 1.5e6), issues=("spread_high", "noisy", "few_rounds"))
    assert verdicts([row("w", 1e6)], [gated]) == {"w": "slower"}
    throttled = replace(row("w", 1e6), issues=("throttled",))
    assert verdicts([row("w", 1e6)], [throttled]) == {"w": "same"}
