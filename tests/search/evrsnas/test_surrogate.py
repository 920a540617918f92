from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.judging import macs_and_params
from search.evrsnas.surrogate import (
    essential_choices,
    fitted,
    is_sample,
    live_macs,
    sample_of,
    smoothed,
    structure,
)
from search.spaces import FBNet

CHAIN = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
DEAD_END = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|none~2|"


@pytest.fixture(scope="module")
def arrays(space):
    return arrays_of(space)


def at(arrays, text):
    return int(arrays.positions([arrays.space.parse(text)])[0])


def drawn(arrays, values, count, seed=0):
    firsts = np.unique(arrays.representatives[arrays.connected])
    chosen = np.random.default_rng(seed).choice(firsts, count, replace=False)
    return np.where(np.isin(arrays.representatives, chosen), values[arrays.representatives], np.nan)


def test_features_are_those_of_the_cell(arrays):
    own = structure(arrays)[at(arrays, CHAIN)]
    assert own.shape == (32,)
    assert own[:24].sum() == 4  # edges that hold an operator
    np.testing.assert_array_equal(own[24:28], [0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(own[28:], [2, 0, 2, np.sqrt(2)])
    assert np.isfinite(structure(arrays)).all()


def test_one_class_has_one_structure(arrays):
    own = structure(arrays)
    np.testing.assert_array_equal(own, own[arrays.representatives])


def test_macs_are_those_of_what_reaches_the_output(arrays):
    found, (macs, _) = live_macs(arrays), macs_and_params(arrays)
    place = at(arrays, DEAD_END)
    essential = arrays.space.essential(arrays.space.parse(DEAD_END))
    assert found[place] == arrays.space.workload(essential).macs < macs[place]
    assert (found[arrays.connected] <= macs[arrays.representatives][arrays.connected]).all()
    assert np.isnan(found[~arrays.connected]).all()
    np.testing.assert_array_equal(essential_choices(arrays)[place], essential.choices)


def test_what_is_linear_in_the_structure_is_found_again(arrays):
    truth = structure(arrays) @ np.random.default_rng(1).normal(size=32)
    noise = np.random.default_rng(2).normal(0, 0.3 * truth.std(), len(arrays))
    found = fitted(drawn(arrays, truth + noise, 300), arrays)
    inside = arrays.connected
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > 0.97
    assert np.isnan(found[~inside]).all()


def test_scale_and_place_of_the_scores_change_nothing(arrays):
    sample = drawn(arrays, live_macs(arrays), 150)
    one, other = fitted(sample, arrays), fitted(5 * sample + 3, arrays)
    np.testing.assert_allclose(one[arrays.connected], other[arrays.connected], atol=1e-9)


def test_a_process_follows_what_is_not_linear_and_goes_by_ranks(arrays):
    features = structure(arrays)
    truth = features[:, 28] * features[:, 24] + features[:, 31]  # longest path x 1x1 convolutions, paths
    noise = np.random.default_rng(2).normal(0, 0.1, len(arrays))
    sample = drawn(arrays, truth + noise, 300)
    found, inside = smoothed(sample, arrays), arrays.connected
    error = [np.corrcoef(own[inside], truth[inside])[0, 1] for own in (found, fitted(sample, arrays))]
    assert error[0] > max(0.97, error[1])
    assert np.isnan(found[~inside]).all()
    np.testing.assert_allclose(smoothed(np.exp(3 * sample), arrays)[inside], found[inside], atol=1e-6)


def test_too_few_are_refused(arrays):
    for bad in (drawn(arrays, live_macs(arrays), 99), drawn(arrays, np.ones(len(arrays)), 200)):
        for model in (fitted, smoothed):
            with pytest.raises(ConfigError, match="at least 100 classes whose scores differ"):
                model(bad, arrays)


def test_a_sample_is_neither_too_small_nor_all_there_is(arrays):
    assert [is_sample(drawn(arrays, live_macs(arrays), n), arrays) for n in (99, 100, 5000)] == [False, True, True]
    assert not is_sample(live_macs(arrays), arrays)


def test_most_classes_then_most_steps(arrays):
    few, many = (drawn(arrays, live_macs(arrays), count) for count in (120, 200))
    whole = live_macs(arrays)
    stored = {"phi aaaaaaaa 150": few, "phi bbbbbbbb 20": many, "phi bbbbbbbb 50": many}
    assert sample_of(stored, arrays) == "phi bbbbbbbb 50"
    assert sample_of({"phi aaaaaaaa 0": many, "macs": whole, "phi": whole}, arrays) is None
    assert sample_of({"phi aaaaaaaa 50": whole}, arrays) is None
    assert sample_of({"phi aaaaaaaa 50": drawn(arrays, whole, 50)}, arrays) is None


def test_another_space_is_refused(arrays):
    with pytest.raises(ConfigError, match="not of fbnet"):
        essential_choices(replace(arrays, space=FBNet()))
