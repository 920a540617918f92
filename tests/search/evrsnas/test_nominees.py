import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.evrsnas.nominees import nominees, sample_of_larger
from search.evrsnas.study import Cell
from search.evrsnas.surrogate import live_macs


@pytest.fixture
def cells(space):
    arrays = arrays_of(space)
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 2, (2, len(arrays)))
    values[1, :50] = np.nan
    values[1, 50:90] = np.inf
    return [Cell(SpaceCosts(arrays, f"d{i}", "ms", v), budget) for i, v in enumerate(values) for budget in (1.2, 1.8)]


def test_the_best_of_every_budget_come_first(space, cells):
    arrays = arrays_of(space)
    score = arrays.scores(np.random.default_rng(1).normal(size=len(arrays)))
    found = nominees(cells, score, 3)
    assert nominees(cells, score, 1) == found[: len(nominees(cells, score, 1))]
    assert len(set(arrays.classes[found])) == len(found) <= 3 * len(cells)
    for cell in cells:
        inside = np.flatnonzero((cell.costs.values <= cell.budget) & np.isfinite(score))
        best = inside[score[inside].argmax()]
        assert arrays.representatives[best] in nominees(cells, score, 1)
        assert not np.isnan(score[found]).any()


def test_fewer_where_fewer_meet_the_budget(space, cells):
    arrays = arrays_of(space)
    score = np.full(len(arrays), np.nan)
    only = np.flatnonzero((cells[0].costs.values <= cells[0].budget) & arrays.connected)[0]
    score[only] = 1.0
    assert nominees(cells[:1], score, 5) == [arrays.representatives[only]]
    with pytest.raises(ConfigError, match="at least one architecture"):
        nominees(cells, score, 0)


def test_a_sample_of_the_larger_is_of_classes_and_grows(space):
    arrays = arrays_of(space)
    found = sample_of_larger(arrays, 200, 0)
    assert found[:50] == sample_of_larger(arrays, 50, 0) != sample_of_larger(arrays, 50, 1)
    assert len({int(arrays.classes[place]) for place in found}) == 200
    assert arrays.connected[found].all()
    macs = live_macs(arrays)
    firsts = np.unique(arrays.representatives[arrays.connected])
    assert 0.3 <= (macs[firsts] < macs[found].min()).mean() < 0.4
    with pytest.raises(ConfigError, match="at least one class"):
        sample_of_larger(arrays, 0, 0)
