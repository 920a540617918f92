import numpy as np
import pytest

pytest.importorskip("pymoo", reason="fronts are searched by pymoo, which is not installed")

from search.evrsnas.beyond.operators import (
    GivenSampling,
    RowCrossover,
    RowMutation,
    SameRows,
    decoded,
    encoded,
)


@pytest.fixture
def rows(space):
    rng = np.random.default_rng(0)
    return encoded([space.sample(rng) for _ in range(40)])


def test_rows_are_architectures_and_back(space, rows):
    assert [decoded(space, row).choices for row in rows] == [tuple(row) for row in rows.tolist()]
    assert (GivenSampling([decoded(space, row) for row in rows])._do(None, 7) == rows[:7]).all()


def test_a_child_has_every_row_from_one_of_its_parents(space, rows):
    first, second = rows[:20], rows[20:]
    (children,) = RowCrossover(space)._do(None, np.stack([first, second]), random_state=np.random.default_rng(1))
    assert ((children == first) | (children == second)).all()
    differ = first != second
    share = (children == first)[differ].mean()
    assert 0.3 < share < 0.7


@pytest.mark.parametrize(("rate", "changed"), [(0.0, 0.0), (1.0, 0.8), (0.5, 0.4)])
def test_mutation_redraws_rows_at_its_rate(space, rows, rate, changed):
    # a row that is drawn anew comes out the same one time in five
    mutated = RowMutation(space, rate)._do(None, rows, random_state=np.random.default_rng(2))
    assert (mutated != rows).mean() == pytest.approx(changed, abs=0.1)
    assert mutated.min() >= 0
    assert mutated.max() < space.n_ops


def test_the_same_rows_are_the_same_and_isomorphic_ones_are_not(space):
    from pymoo.core.individual import Individual

    a, b = np.array([3, 0, 1, 0, 0, 1]), np.array([1, 0, 3, 0, 0, 1])
    assert space.canonical(decoded(space, a)) == space.canonical(decoded(space, b))
    assert SameRows().is_equal(Individual(X=a), Individual(X=a.copy()))
    assert not SameRows().is_equal(Individual(X=a), Individual(X=b))
