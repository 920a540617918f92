import numpy as np
import pytest

from predictors.transfer.design import Design
from predictors.transfer.selection import EXPECTED, most_informative
from profiler.errors import ConfigError


@pytest.fixture(scope="module")
def design(pool):
    return Design.of(pool)


def variance_left(design, chosen, noise=0.05):
    """Mean posterior variance over the pool, by the textbook formula."""
    root = np.sqrt(np.concatenate([np.full(width, EXPECTED[name]) for name, width in design.blocks]))
    rows = np.c_[np.full(len(design.matrix), 3.0), design.matrix * root]
    inner = rows[chosen] @ rows[chosen].T + noise * np.eye(len(chosen))
    across = rows @ rows[chosen].T
    return float(np.mean((rows**2).sum(axis=1) - (across @ np.linalg.inv(inner) * across).sum(axis=1)))


def test_it_leaves_less_variance_than_chance(design):
    chosen = most_informative(design, 8)
    chance = [
        variance_left(design, np.random.default_rng(seed).permutation(len(design.matrix))[:8]) for seed in range(20)
    ]
    assert variance_left(design, chosen) < min(chance)


def test_the_first_is_the_best_single_one(design):
    best = min(range(len(design.matrix)), key=lambda i: variance_left(design, [i]))
    assert variance_left(design, most_informative(design, 1)) == pytest.approx(variance_left(design, [best]))


def test_candidates_and_classes_are_respected(design, pool):
    candidates = np.arange(0, len(pool), 3)
    chosen = most_informative(design, 15, candidates, pool.classes)
    assert set(chosen) <= set(candidates)
    assert len({pool.classes[i] for i in chosen}) == 15
    assert np.array_equal(chosen, most_informative(design, 15, candidates, pool.classes))


def test_more_than_there_are_is_refused(design, pool):
    with pytest.raises(ConfigError, match="6 architectures cannot be chosen among 5"):
        most_informative(design, 6, np.arange(5))
    with pytest.raises(ConfigError, match="0 architectures cannot be chosen among 5 different ones; ask for 1 to 5"):
        most_informative(design, 0, np.arange(5))
    n = len(set(pool.classes))
    with pytest.raises(ConfigError, match=f"among {n} different"):
        most_informative(design, n + 1, classes=pool.classes)
