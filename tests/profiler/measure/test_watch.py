"""What sentinels say of one round, by their figures alone; whole campaigns under their eyes are in test_guard.py."""

import pytest

from profiler.measure.level import GROSS, LEAST_SENTINELS, Level
from profiler.measure.stats import Estimate
from profiler.measure.watch import Verdict, Watch

DRIFT = 0.02


def figure(median: float, error: float = 0.001) -> Estimate:
    """A sentinel's, with a relative standard error."""
    return Estimate(median, median, median, error * median, 0.0, 50, 50, 0)


def see(watch: Watch, *medians: float, begins: bool = True) -> list[Verdict]:
    """What the watch says of sentinels of these medians, the first of which begins a process."""
    said = []
    for place, median in enumerate(medians):
        found = figure(median)
        verdict, _ = watch.judge(found, begins and place == 0)
        watch.saw_sentinel(verdict, found, begins and place == 0)
        said.append(verdict)
    return said


@pytest.mark.parametrize(
    ("median", "verdict"),
    [
        (1.0, "good"),
        (1.019, "good"),
        (0.982, "good"),
        (1.03, "doubtful"),
        (0.97, "doubtful"),
        (1.05, "drifted"),
        (0.95, "drifted"),
    ],
)
def test_small_moves_are_none_middling_ones_are_asked_again_and_large_ones_are_believed(median: float, verdict: str):
    assert see(Watch(DRIFT), 1.0, 1.0, median)[-1] == verdict


def test_a_second_doubt_is_a_drift():
    assert see(Watch(DRIFT), 1.0, 1.0, 1.03, 1.03)[-2:] == ["doubtful", "drifted"]


def test_uncertain_figures_may_be_further_off():
    watch = Watch(DRIFT)
    watch.saw_sentinel("reference", figure(1.0, 0.03), True)
    assert watch.judge(figure(1.06, 0.03), False)[0] == "good"
    assert watch.judge(figure(1.2, 0.03), False)[0] == "doubtful"
    assert watch.judge(figure(1.3, 0.03), False)[0] == "drifted"


def test_jobs_are_vouched_for_between_two_sentinels_that_agree():
    watch = Watch(DRIFT)
    see(watch, 1.0)
    watch.saw_job("a")
    see(watch, 1.0, begins=False)
    watch.saw_job("b")
    see(watch, 1.06, begins=False)
    assert (watch.in_doubt, watch.unwatched) == (("b",), ())
    watch.saw_job("c")  # measured while the board was known to have moved
    see(watch, 1.0, begins=False)
    assert watch.in_doubt == ("b", "c")
    watch.saw_job("b")
    watch.saw_job("c")
    see(watch, 1.0, begins=False)
    assert watch.in_doubt == ()


def test_a_reference_that_nothing_confirms_gives_way():
    assert see(Watch(DRIFT), 1.06, 1.0, 1.0, 1.0) == ["reference", "drifted", "reference", "good"]


def test_a_reference_that_an_earlier_round_agrees_with_stays():
    """A slow spell right behind the first sentinel is not taken for the board's own state."""
    first = Watch(DRIFT)
    see(first, 1.0, 1.001)
    second = Watch(DRIFT, [first])
    assert see(second, 1.005, 1.06, 1.06, 1.06, 1.004) == ["reference", "drifted", "drifted", "drifted", "good"]
    # a process that begins within the spell is on its own: either may be what it is like
    third = Watch(DRIFT, [first, second])
    assert see(third, 1.06, 1.0, 1.0) == ["reference", "drifted", "reference"]


def test_what_no_second_sentinel_has_agreed_with_confirms_nothing():
    first = Watch(DRIFT)
    see(first, 1.0)
    assert first.confirmed is None
    assert see(Watch(DRIFT, [first]), 1.0, 1.06, 1.06) == ["reference", "drifted", "reference"]


def test_a_process_that_died_takes_its_confirmation_along():
    watch = Watch(DRIFT)
    see(watch, 1.0, 1.0)
    watch.unsettle()
    assert see(watch, 1.06, 1.06, begins=False) == ["drifted", "reference"]


def test_a_sentinel_without_a_figure_has_failed():
    watch = Watch(DRIFT)
    assert watch.judge(None, True) == ("failed", None)
    assert watch.judge(figure(0.0), True) == ("failed", None)


def test_no_drift_allowed_and_no_error_known_is_no_division_by_nothing():
    watch = Watch(0.0)
    watch.saw_sentinel("reference", figure(1.0, 0.0), True)
    assert watch.judge(figure(1.0, 0.0), False)[0] == "good"
    assert watch.judge(figure(1.001, 0.0), False)[0] == "drifted"


def test_what_is_far_from_the_best_vouches_for_nothing_not_even_for_its_own_process():
    level = Level()
    first = Watch(DRIFT, (), level)
    see(first, *[1.0] * LEAST_SENTINELS)
    second = Watch(DRIFT, [first], level)
    slow = 1.01 * GROSS
    assert see(second, slow, slow, 1.0, slow) == ["drifted", "drifted", "reference", "drifted"]
    assert second.judge(figure(0.99 * GROSS), True)[0] == "reference"


def test_a_board_of_which_little_is_known_is_not_far_from_its_best():
    watch = Watch(DRIFT, (), Level())
    assert see(watch, 1.0, 1.0, 1.0, 1.0)[-1] == "good"
    assert Level(0.0).is_gross(1e9) is False
