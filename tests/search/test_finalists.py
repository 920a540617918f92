import math
from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.finalists import random_feasible, train_finalists

SMALL = {"cells_per_stage": 1, "channels": 4, "image_size": 8}


def costs(archs):
    return np.array([float(sum(a.choices)) for a in archs])


def test_a_random_feasible_architecture_keeps_all_its_promises(space):
    winner = space.parse("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|")
    for seed in range(20):
        found = random_feasible(space, costs, 6.0, np.random.default_rng(seed), winner)
        assert found is not None
        arch, cost_ms = found
        assert cost_ms == sum(arch.choices) <= 6
        assert space.connected(arch)
        assert space.canonical(arch) != space.canonical(winner)


def test_where_nothing_fits_there_is_no_control(space):
    assert random_feasible(space, costs, -1.0, np.random.default_rng(0)) is None
    unknown = random_feasible(space, lambda archs: np.full(len(archs), np.nan), None, np.random.default_rng(0))
    assert unknown is None


def test_finalists_are_trained_alike(space, toy_images):
    winner = space.parse("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|")
    told = []
    finalists = train_finalists(space, winner, costs, 20.0, toy_images, 2, 0, macro=SMALL, advance=told.append)
    assert [f.role for f in finalists] == ["winner", "random", "reference"]
    assert len(told) == 3
    assert all(0 <= f.accuracy <= 1 and f.macs > 0 for f in finalists)
    first, _, reference = (f.to_dict() for f in finalists)
    assert first["name"] == space.describe(winner)
    assert first["predicted_ms"] == sum(winner.choices)
    assert reference["predicted_ms"] is None  # it is no member of the space: unknown, not zero
    again = train_finalists(space, winner, costs, 20.0, toy_images, 2, 0, macro=SMALL)
    assert repr(again) == repr(finalists)


def test_who_diverges_has_no_accuracy(space, toy_images):
    winner, told = space.parse("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|"), []
    spoiled = replace(toy_images, train_images=np.full_like(toy_images.train_images, np.nan))
    found = train_finalists(space, winner, costs, 20.0, spoiled, 1, 0, macro=SMALL, advance=told.append)
    assert [f.to_dict()["accuracy_pct"] for f in found] == [None] * 3
    assert told == ["winner: diverged", "random: diverged", "reference: diverged"]


def test_a_winner_without_a_cost_is_refused(space, toy_images):
    with pytest.raises(ConfigError, match="no cost"):
        train_finalists(space, space.at(5), lambda a: np.array([math.nan] * len(a)), 1.0, toy_images, 1, 0)
