"""Children as arrays: the distribution of tournaments, crossover by row, mutation, edges of fewer operators."""

from itertools import combinations

import numpy as np
import pytest

from search.evrsnas.breeding import Breeder


def breeder(**kwargs):
    settings = {"population": 6, "tournament": 2, "elite": 1, "mutation_rate": 0.0, "ops": (5,) * 4, "n_ops": 5}
    return Breeder(**settings | kwargs)


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_winners_are_those_of_tournaments_drawn_without_replacement(size):
    cdf = breeder(tournament=size)._winner_cdf()
    winners = [min(drawn) for drawn in combinations(range(6), size)]
    expected = [sum(w <= rank for w in winners) / len(winners) for rank in range(6)]
    np.testing.assert_allclose(cdf, expected)


def test_every_row_comes_from_one_of_the_parents_and_both_occur():
    own = breeder(population=2, tournament=1, elite=0, ops=(5,) * 40)
    choices = np.stack([np.zeros(40, dtype=int), np.full(40, 4)])
    children = own.children(choices, np.random.default_rng(0).random(own.draws))
    assert set(np.unique(children)) == {0, 4}


def test_mutation_draws_rows_anew_at_its_rate_and_uniformly():
    own = breeder(mutation_rate=0.25, ops=(5,) * 50)
    children = own.children(
        np.full((400, 6, 50), 7), np.random.default_rng(0).random((400, own.draws))
    )  # 7 is no operator: what is not 7 was drawn anew
    drawn = children[children != 7]
    assert abs(len(drawn) / children.size - 0.25) < 0.01
    assert np.abs(np.bincount(drawn, minlength=5) / len(drawn) - 0.2).max() < 0.01


def test_edges_with_fewer_operators_never_hold_others():
    own = breeder(mutation_rate=1.0, ops=(2, 5, 3), n_ops=5)
    children = own.children(np.zeros((200, 6, 3), dtype=int), np.random.default_rng(0).random((200, own.draws)))
    assert children.max(axis=(0, 1)).tolist() == [1, 4, 2]


def test_many_populations_together_are_each_as_alone():
    own = breeder(mutation_rate=0.3)
    rng = np.random.default_rng(1)
    choices, uniform = rng.integers(5, size=(3, 6, 4)), rng.random((3, own.draws))
    together = own.children(choices, uniform)
    for i in range(3):
        np.testing.assert_array_equal(together[i], own.children(choices[i], uniform[i]))
