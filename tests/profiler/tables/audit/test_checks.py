"""Every check on a tiny table that has the fault, and on the same table without it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from profiler.tables.audit.auditing import CHECKS, audit
from profiler.tables.audit.classes import DEVICE_CLASSES
from profiler.tables.audit.figures import Figures, Finding

RNG = np.random.default_rng(5)
N = 200
DESIGN = RNG.integers(0, 3, (N, 6)).astype(float)
COST = DESIGN @ np.array([1.0, 2.0, 0.5, 3.0, 1.5, 0.7]) + 5.0
NOISY = COST * (1 + 0.01 * RNG.standard_normal(N))


def figures(**columns: Any) -> Figures:
    """A table of as many rows as its first column."""
    n = len(next(value for value in columns.values() if isinstance(value, np.ndarray)))
    keys = columns.pop("keys", tuple(f"net{i}" for i in range(n)))
    return Figures("table.csv", "board", keys, columns.pop("index", np.arange(n)), **columns)


def found(check: str, table: Figures) -> list[Finding]:
    findings = list(CHECKS[check](table))
    assert all(finding.check == check for finding in findings), "findings bear the name by which the check is asked for"
    return findings


def changed(values: np.ndarray, **at: float) -> np.ndarray:
    """A copy with some values set: changed(x, at3=7.0)."""
    values = values.copy()
    for name, value in at.items():
        values[int(name.removeprefix("at"))] = value
    return values


# -------------------------------------------------------------------- one fault a check

CLEAN = figures(
    latency_ms=NOISY,
    energy_mj=NOISY * (4 + 0.02 * RNG.standard_normal(N)),
    deviation_ms=0.01 * NOISY,
    count=np.full(N, 50.0),
    low_ms=0.99 * NOISY,
    high_ms=1.01 * NOISY,
    designs={"parts": DESIGN},
    macs=COST * 1e7,
    traits={"macs": COST * 1e7},
    contains=np.array([[0, 1]]) if NOISY[0] > NOISY[1] else np.array([[1, 0]]),
    device_class=DEVICE_CLASSES["raspberry-pi-4"],
)


def with_columns(**columns: Any) -> Figures:
    kept = {name: value for name, value in vars(CLEAN).items() if name not in ("source", "device")}
    return figures(**{**kept, **columns})


PAIRS = np.repeat(np.arange(N // 2), 2)
EVEN = np.repeat(NOISY[::2], 2)[:N]

FAULTS: dict[str, tuple[Figures, str]] = {
    "missing": (with_columns(latency_ms=changed(NOISY, at3=np.inf)), "infinite"),
    "not_positive": (with_columns(latency_ms=changed(NOISY, at3=0.0)), "perhaps it was missing"),
    "sentinel": (with_columns(latency_ms=changed(NOISY, at3=9999.0, at5=9999.0, at9=9999.0)), "stand for a missing"),
    "duplicated": (with_columns(keys=("net1", *(f"net{i}" for i in range(1, N)))), "another value"),
    "copied": (with_columns(latency_ms=np.repeat(NOISY[::4], 4), designs={}), "to the last digit"),
    "same_in_a_row": (with_columns(latency_ms=np.append(NOISY[:-6], [NOISY[7]] * 6), designs={}), "not renewed"),
    "rounding": (with_columns(latency_ms=np.round(NOISY)), "multiple of 1 ms"),
    "units": (with_columns(latency_ms=NOISY * 1000), "the unit is not ms"),
    "too_fast": (with_columns(latency_ms=changed(NOISY, at3=0.001)), "not all of it ran"),
    "power": (with_columns(energy_mj=changed(CLEAN.energy_mj, at3=50 * NOISY[3])), "draws 0.5 to 15 W"),
    "constant_power": (with_columns(energy_mj=7.0 * NOISY), "derived from the latency"),
    "deviation": (with_columns(deviation_ms=0.4 * NOISY), "40% of the mean"),
    "count": (with_columns(count=changed(CLEAN.count, at3=1.0)), "rests on 1 measurements"),
    "interval": (with_columns(low_ms=changed(CLEAN.low_ms, at3=NOISY[3] + 0.001)), "outside of its own interval"),
    "same_work": (
        with_columns(same_work=PAIRS, latency_ms=changed(EVEN * (1 + 0.01 * RNG.standard_normal(N)), at3=90.0)),
        "times apart",
    ),
    "contained": (with_columns(contains=CLEAN.contains[:, ::-1]), "with a convolution left out"),
    "more_work": (with_columns(latency_ms=changed(NOISY, at3=100.0)), "with less to do"),
    "exact_sum": (with_columns(latency_ms=COST), "computed from a table of parts"),
    "outlier": (with_columns(latency_ms=changed(NOISY, at3=3 * NOISY[3])), "an additive fit over parts gives"),
    "drift": (with_columns(latency_ms=NOISY * np.linspace(1, 1.1, N)), "drifted"),
    "table": (with_columns(comments=("the column names no unit",)), "names no unit"),
}


def test_there_is_a_fault_for_every_check():
    assert FAULTS.keys() == CHECKS.keys()


@pytest.mark.parametrize("check", sorted(FAULTS))
def test_each_check_finds_its_fault(check: str):
    table, words = FAULTS[check]
    findings = found(check, table)
    assert findings
    assert any(words in finding.reason for finding in findings), [finding.reason for finding in findings]


@pytest.mark.parametrize("check", sorted(FAULTS))
def test_no_check_finds_anything_in_a_sound_table(check: str):
    assert found(check, CLEAN) == []


@pytest.mark.parametrize("check", sorted(FAULTS))
def test_a_table_that_lacks_a_column_is_no_fault(check: str):
    assert found(check, figures(latency_ms=NOISY)) == []
    assert found(check, figures(energy_mj=NOISY)) == []


# -------------------------------------------------------------------- rows, severities, remarks


def test_findings_name_the_row_of_the_file_and_what_is_known_of_it():
    table = with_columns(
        latency_ms=changed(NOISY, at3=0.001), index=np.arange(100, 100 + N), remarks={3: "its output is constant"}
    )
    (finding,) = found("too_fast", table)
    assert (finding.index, finding.key, finding.severity) == (103, "net3", "error")
    assert finding.reason.endswith("(its output is constant)")


def test_missing_values_are_counted_with_their_reasons_and_are_no_error():
    table = figures(latency_ms=changed(NOISY, at3=np.nan, at4=np.nan), missing_why={"refused": 2})
    (finding,) = found("missing", table)
    assert (finding.severity, finding.index) == ("note", None)
    assert "2 of 200" in finding.reason
    assert "2 refused" in finding.reason


def test_differences_may_be_negative():
    values = changed(NOISY, at3=-1.0)
    assert found("not_positive", figures(latency_ms=values, signed=np.arange(N) == 3)) == []
    (finding,) = found("not_positive", figures(latency_ms=values))
    assert "no cost is negative" in finding.reason


@pytest.mark.parametrize(("times", "value"), [(2, 9999.0), (3, 10.0)])
def test_what_is_rare_or_ordinary_is_no_sentinel(times: int, value: float):
    assert found("sentinel", figures(latency_ms=changed(NOISY, **{f"at{i}": value for i in range(times)}))) == []


def test_minus_one_is_a_sentinel_wherever_it_stands():
    values = changed(NOISY, at3=-1.0, at4=-1.0, at5=-1.0)
    assert {f.index for f in found("sentinel", figures(latency_ms=values))} == {3, 4, 5}


def test_equal_keys_with_equal_values_are_a_warning_only():
    keys = ("net1", *(f"net{i}" for i in range(1, N)))
    (finding,) = found("duplicated", figures(latency_ms=changed(NOISY, at0=NOISY[1]), keys=keys))
    assert finding.severity == "warning"


def test_equal_values_that_rounding_explains_are_not_copied():
    values = RNG.uniform(10, 40, 3000)
    assert found("copied", figures(latency_ms=np.round(values, 3))) == []
    assert found("copied", figures(latency_ms=np.array([float(f"{v:.5g}") for v in values]))) == []


def test_a_unit_is_told_from_power_where_nothing_else_is_known():
    table = figures(latency_ms=NOISY, energy_mj=4e6 * NOISY, device_class=DEVICE_CLASSES["phone"])
    assert any("W would fit class phone" in f.reason for f in found("units", table))


def test_energy_of_a_few_readings_is_told_by_its_digits():
    milliwatts = RNG.integers(12000, 15000, N) / 3
    (finding,) = found("power", figures(latency_ms=NOISY, energy_mj=NOISY * milliwatts / 1000))
    assert "a mean of at most 3 such numbers" in finding.reason


def test_errors_of_neighbours_are_told_from_a_trend():
    together = figures(
        latency_ms=COST * (1 + 0.02 * np.sign(np.sin(np.arange(N) / 4)) + 0.001 * RNG.standard_normal(N)),
        designs={"parts": DESIGN},
    )
    assert any("err alike" in f.reason for f in found("drift", together))
    alternating = figures(latency_ms=COST * (1 + 0.02 * (-1.0) ** np.arange(N)), designs={"parts": DESIGN})
    assert any("opposite sides" in f.reason for f in found("drift", alternating))


def test_rows_in_no_order_of_time_have_no_drift():
    table, _ = FAULTS["drift"]
    assert found("drift", with_columns(latency_ms=table.latency_ms, ordered=False)) == []


def test_the_row_that_an_exact_sum_does_not_give_is_an_error():
    findings = found("exact_sum", with_columns(latency_ms=changed(COST, at3=99.0)))
    assert [(f.severity, f.index) for f in findings] == [("note", None), ("error", 3)]


def test_families_are_not_ordered_against_each_other():
    values, traits = np.array([1.0, 9.0]), {"channels": np.array([32.0, 16.0])}
    assert found("more_work", figures(latency_ms=values, traits=traits))
    assert found("more_work", figures(latency_ms=values, traits=traits, family=("3x3", "5x5"))) == []


def test_own_deviations_excuse_what_they_cover():
    values, traits = np.array([1.0, 1.3]), {"channels": np.array([32.0, 16.0])}
    assert found("more_work", figures(latency_ms=values, traits=traits))
    assert found("more_work", figures(latency_ms=values, traits=traits, deviation_ms=np.array([0.1, 0.1]))) == []


# -------------------------------------------------------------------- all of them


def test_an_audit_counts_and_sums_up():
    table, _ = FAULTS["contained"]
    result = audit([table, CLEAN])
    assert result.count("error") + result.count("warning") == len(result.findings)
    assert {s["check"] for s in result.summary()} == {"contained"}
    assert sum(s["findings"] for s in result.summary()) == len(result.findings)
    assert "pairs of which one network contains the other" in result.summary()[-1]["reason"]


@pytest.mark.parametrize("check", ["too_fast", "power"])
def test_an_audit_runs_only_what_is_asked_for(check: str):
    table = with_columns(latency_ms=changed(NOISY, at3=0.001))
    assert {f.check for f in audit([table], [check]).findings} == {check}


def test_checks_are_functions_with_a_reason():
    assert all(isinstance(check, Callable) and check.__doc__ for check in CHECKS.values())
