"""Rounds in which the whole machine was held up do not count where there are others, and are marked where not."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import pytest

from profiler.measure.level import GROSS
from profiler.tables.loading.disturbed import disturbed_lines, held_up_lines, superseded_lines
from profiler.tables.row import Row
from profiler.tables.table import CostTable

SLOW = 1.6


def row_of(folder: Path, rounds: list[float]) -> Row:
    """The row of a model measured once a round, each at so many times the usual time, between two sentinels."""
    lines = []
    for number, factor in enumerate(rounds):
        sentinel = made_up.line(kind="sentinel", subject="s" * 32, round_=number, samples_ns=(int(1e6 * factor),) * 30)
        work = made_up.line(round_=number, samples_ns=(int(2e6 * factor),) * 30)
        lines += [sentinel, work, sentinel]
    made_up.write_run(folder, lines, [made_up.subject("k")])
    (row,) = CostTable.from_results(folder).rows(kind="model")
    return row


def test_slow_rounds_do_not_count_beside_others(tmp_path: Path) -> None:
    row = row_of(tmp_path, [SLOW, 1.0, SLOW, 1.0, SLOW])
    assert row.latency_ns == pytest.approx(2.0e6)
    assert "disturbed" not in row.issues
    assert row.n_rounds == 2


def test_a_spell_between_two_sentinels_shows_in_the_other_round(tmp_path: Path) -> None:
    """Of five rounds the sentinels saw one held up; another was, and its sentinels were not."""
    lines = []
    for number, (of_sentinel, of_work) in enumerate([(1.0, 1.0), (SLOW, SLOW), (1.0, 2.5), (1.0, 1.0), (1.0, 1.1)]):
        sentinel = made_up.line(
            kind="sentinel", subject="s" * 32, round_=number, samples_ns=(int(1e6 * of_sentinel),) * 30
        )
        work = made_up.line(round_=number, samples_ns=(int(2e6 * of_work),) * 30)
        lines += [sentinel, work, sentinel]
    made_up.write_run(tmp_path, lines, [made_up.subject("k")])
    (row,) = CostTable.from_results(tmp_path).rows(kind="model")
    assert row.n_rounds == 3
    assert row.latency_ns == pytest.approx(2.0e6)


def test_lines_that_differ_are_states_of_the_board_where_no_sentinel_saw_a_spell() -> None:
    subject, repeats = np.zeros(4, dtype=np.int64), np.array([8, 16, 8, 16])
    median = np.array([1.0, 2.0, SLOW, 2.1])
    nothing, one = np.zeros(4, dtype=bool), np.array([False, False, False, True])
    assert not held_up_lines(nothing, median, subject, repeats).any()
    assert held_up_lines(one, median, subject, repeats).tolist() == [False, False, True, False]
    assert not held_up_lines(one, median, np.array([0, 0, 1, 1]), repeats).any()
    assert not held_up_lines(one, np.array([np.nan, 2.0, np.nan, 2.1]), subject, repeats).any()


def test_a_board_that_is_a_little_slower_at_times_is_left_as_it_is(tmp_path: Path) -> None:
    row = row_of(tmp_path, [1.1, 1.0, 1.1, 1.0, 1.1])
    assert row.latency_ns == pytest.approx(2.2e6)
    assert row.n_rounds == 5


def test_what_has_only_slow_rounds_keeps_them_and_says_so() -> None:
    sentinel = np.array([True, False, True, True, False, True, True, True])
    median = np.array([1.0, 2.0, 1.0, SLOW, 5.0, SLOW, 1.0, 1.0])
    disturbed = disturbed_lines(sentinel, median)
    assert np.flatnonzero(disturbed).tolist() == [4]
    subject = np.array([0, 1, 0, 0, 2, 0, 0, 0])
    zero = np.zeros(8, dtype=np.int64)
    assert not superseded_lines(disturbed, np.isfinite(median), subject, zero, zero).any()


def test_one_sentinel_that_is_slow_casts_doubt_on_both_sides() -> None:
    sentinel = np.array([True, False, True, False, True, True, True])
    median = np.array([1.0, 9.0, GROSS + 0.01, 9.0, 1.0, 1.0, 1.0])
    assert np.flatnonzero(disturbed_lines(sentinel, median)).tolist() == [1, 3]
    median[2] = GROSS - 0.01
    assert not disturbed_lines(sentinel, median).any()


def test_few_sentinels_tell_nothing() -> None:
    sentinel = np.array([True, False, True, True, True])
    median = np.array([1.0, 9.0, SLOW, 1.0, 1.0])
    assert not disturbed_lines(sentinel, median).any()
    median[1] = np.nan
    assert not disturbed_lines(np.ones(5, dtype=bool), median).any()


def test_stretches_of_one_round_stay_together() -> None:
    """m is undisturbed in both rounds, 2m in the second only: the first round has no slope that can be believed."""
    subject = np.zeros(4, dtype=np.int64)
    repeats, rounds = np.array([8, 16, 8, 16]), np.array([0, 0, 1, 1])
    disturbed = np.array([False, True, False, False])
    found = superseded_lines(disturbed, np.ones(4, dtype=bool), subject, repeats, rounds)
    assert found.tolist() == [True, True, False, False]


def test_a_round_is_kept_where_no_other_is_complete() -> None:
    subject = np.zeros(3, dtype=np.int64)
    repeats, rounds = np.array([8, 16, 8]), np.array([0, 0, 1])
    disturbed = np.array([False, True, False])
    assert not superseded_lines(disturbed, np.ones(3, dtype=bool), subject, repeats, rounds).any()


def test_of_several_measurements_in_a_round_an_undisturbed_one_counts() -> None:
    subject, repeats, rounds = np.zeros(3, dtype=np.int64), np.full(3, 8), np.zeros(3, dtype=np.int64)
    disturbed = np.array([False, True, True])
    found = superseded_lines(disturbed, np.array([True, True, False]), subject, repeats, rounds)
    assert found.tolist() == [False, True, True]
