import numpy as np
import pytest
from scipy.special import ndtr

from profiler.measure.bimodality import dip, is_bimodal, modes_of, still_bimodal


def ar1(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    kernel = rho ** np.arange(200)
    return np.convolve(rng.normal(size=n + kernel.size - 1), kernel, "valid") * np.sqrt(1 - rho**2)


SHAPES = {
    "normal": lambda z, rng: np.exp(0.05 * z),
    "uniform": lambda z, rng: 1 + 0.2 * ndtr(z),
    "skewed": lambda z, rng: 1 - 0.1 * np.log1p(-ndtr(z) + 1e-15),
    "outliers": lambda z, rng: np.exp(0.02 * z) * (1 + 0.3 * (rng.random(z.size) < 0.05)),
    "coarse clock": lambda z, rng: np.round(np.exp(0.01 * z) / 0.004) * 0.004,
}


def test_the_dip_of_evenly_spread_samples_is_a_step_and_of_two_points_a_quarter():
    assert dip(np.arange(100.0)) == pytest.approx(1 / 200)
    assert dip([0.0] * 50 + [1.0] * 50) == pytest.approx(0.25)
    assert dip([3.0]) == dip([3.0] * 9) == 0.0


def test_neither_unit_nor_direction_matters():
    x = np.random.default_rng(1).gamma(2.0, size=99)
    assert dip(7 * x + 3) == pytest.approx(dip(x))
    assert dip(-x) == pytest.approx(dip(x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [12, 30, 150])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_one_group_is_flagged_once_in_a_hundred_at_most(shape: str, n: int, rho: float):
    rng = np.random.default_rng(5)
    flagged = sum(is_bimodal(SHAPES[shape](ar1(rng, n, rho), rng)) for _ in range(300))
    # nine of 300 would be found 1 time of 1000 at a rate of 1 %
    assert flagged <= 8


@pytest.mark.parametrize(("share", "n"), [(0.5, 60), (0.3, 200), (0.2, 400)])
def test_two_groups_are_found(share: float, n: int):
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(100):
        samples = np.exp(0.005 * ar1(rng, n, 0.3)) * np.where(rng.random(n) < share, 1.06, 1.0)
        found += is_bimodal(samples)
    assert found >= 95


def test_slow_changes_between_two_levels_are_found_when_there_were_enough_of_them():
    rng = np.random.default_rng(8)
    levels = np.repeat(rng.permutation([1.0, 1.08] * 25), 20)
    assert is_bimodal(levels * np.exp(0.005 * rng.normal(size=levels.size)))


def test_a_single_change_is_found_where_no_slow_noise_passes_for_it():
    rng = np.random.default_rng(8)
    noise = np.exp(0.005 * rng.normal(size=200))
    assert is_bimodal(np.repeat([1.0, 1.08], 100) * noise)
    assert not is_bimodal(np.repeat([1.0, 1.02], 100) * noise), "four deviations are what slow noise leaves"
    assert not is_bimodal(np.repeat([1.0, 1.08], [10, 10]) * noise[:20]), "too few to tell"
    found = sum(is_bimodal(np.exp(0.01 * ar1(rng, n, 0.98))) for n in (30, 60, 150) for _ in range(200))
    assert found <= 12


def test_what_is_measured_again_in_one_group_may_forget_the_other_only_where_that_was_slow_and_rare():
    fast, slow = [1.0] * 40, [1.08] * 40
    mostly_fast = modes_of(fast * 3 + slow)
    assert mostly_fast == {"fast_ns": 1.0, "slow_ns": 1.08, "fast_share": 0.75, "batches": 160}
    assert still_bimodal(mostly_fast, fast) is None
    assert still_bimodal(mostly_fast, slow) == {**mostly_fast, "fast_share": 0.6, "batches": 200}
    assert still_bimodal(mostly_fast, slow[:10]) is not None, "however few: it is slow now"
    mostly_slow = modes_of(fast + slow * 3)
    again = still_bimodal(mostly_slow, fast)
    assert again == {**mostly_slow, "fast_share": 0.4, "batches": 200}
    assert still_bimodal(mostly_slow, slow * 2) is not None
    assert again is not None
    assert still_bimodal(again, fast * 5) is None, "by now most of all samples were fast"


def test_groups_that_move_no_median_are_nobodys_business():
    rng = np.random.default_rng(9)
    assert not is_bimodal(np.where(rng.random(500) < 0.5, 1.004, 1.0) * np.exp(0.0002 * rng.normal(size=500)))
    assert not is_bimodal([1.0] * 500)
    assert not is_bimodal([1.0, 2.0])
