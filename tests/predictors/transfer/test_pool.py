from dataclasses import replace

import numpy as np
import pytest

from predictors.transfer.pool import choice_counts
from profiler.errors import ConfigError


def test_counts_of_like_edges_add_up():
    choices = np.array([[0, 1, 1], [2, 2, 0]])
    assert choice_counts(choices, (0, 0, 0)).tolist() == [[1, 2, 0], [1, 0, 2]]
    assert choice_counts(choices, (0, 1, 1)).tolist() == [[1, 0, 0, 0, 2, 0], [0, 0, 1, 1, 0, 1]]


def test_positions_by_name(pool):
    assert pool.index(["0 0 0 1", "0 0 0 0"]).tolist() == [1, 0]
    with pytest.raises(ConfigError, match=r"'9 9 9 9' \(1 such\) is not among the 625"):
        pool.index(["9 9 9 9"])


def test_doubles_and_misfits_are_refused(pool):
    with pytest.raises(ConfigError, match="stand there twice"):
        replace(pool, names=(pool.names[1], *pool.names[1:]))
    with pytest.raises(ConfigError, match="1 classes"):
        replace(pool, classes=("a",))
    with pytest.raises(ConfigError, match="do not fit 2 edges"):
        replace(pool, edge_groups=(0, 0))


def test_levels_that_change_nothing_are_left_out(pool):
    assert pool.levels() == ("written",)
