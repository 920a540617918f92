import math
from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas.beyond import finalists
from search.evrsnas.beyond.finalists import finalists_round, held_out, pick_finalists
from search.evrsnas.records import Evaluation

CONV = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
SAME = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
SKIP = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
MACRO = {"channels": 4, "cells_per_stage": 1, "image_size": 16}


def entry(space, text, score, violation=0.0):
    return Evaluation(space.parse(text), score, 1.0, violation, score - violation)


@pytest.fixture
def archive(space):
    return [
        entry(space, SKIP, 1.0), entry(space, CONV, 2.0), entry(space, SAME, 2.5), entry(space, DEAD, 9.0),
        entry(space, "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|", 8.0, violation=0.1),
    ]  # fmt: skip


def test_finalists_meet_the_budget_and_are_different_functions(space, archive):
    assert [space.describe(e.architecture) for e in pick_finalists(space, archive, 5)] == [SAME, SKIP]
    assert len(pick_finalists(space, archive, 1)) == 1
    with pytest.raises(ConfigError, match="at least one finalist"):
        pick_finalists(space, archive, 0)
    with pytest.raises(ConfigError, match="no architecture of the search meets the budget"):
        pick_finalists(space, archive[-1:], 2)


def test_only_training_images_are_held_out(toy_images):
    task = held_out(toy_images, 0.25, 0)
    assert (len(task.train_labels), len(task.test_labels)) == (36, 12)
    assert np.bincount(task.test_labels).tolist() == [4, 4, 4]
    rows = {image.tobytes() for image in toy_images.train_images}
    parts = [{image.tobytes() for image in part} for part in (task.train_images, task.test_images)]
    assert parts[0] | parts[1] == rows
    assert not parts[0] & parts[1]
    assert held_out(toy_images, 0.25, 1).digest != task.digest == held_out(toy_images, 0.25, 0).digest
    for share in (0.0, 1.0, 0.001, -1.0):
        with pytest.raises(ConfigError, match="give a share between 0 and 1"):
            held_out(toy_images, share, 0)


def run(space, archive, images, **changes):
    given = {"count": 2, "epochs": 3, "seed": 0, "macro": MACRO}
    return finalists_round(space, archive, images, **{**given, **changes})


def test_a_round_ranks_by_held_out_images_and_counts_its_cost(space, archive, toy_images):
    found = run(space, archive, toy_images)
    reached = [f.accuracy for f in found.finalists]
    assert reached == sorted(reached, reverse=True)
    assert {f.name for f in found.finalists} == {SAME, SKIP}
    assert all(f.images_seen == 3 * found.train_images for f in found.finalists)
    assert found.training_macs == sum(f.macs * f.images_seen for f in found.finalists) > 0
    assert found.seconds > 0
    again = run(space, archive, toy_images)
    assert [(f.name, f.accuracy) for f in again.finalists] == [(f.name, f.accuracy) for f in found.finalists]
    row = found.to_dict()["finalists"][0]
    assert row["held_out_accuracy_pct"] == 100 * found.winner.accuracy


def test_test_images_are_not_looked_at(space, archive, toy_images):
    spoiled = replace(toy_images, test_images=np.full_like(toy_images.test_images, np.nan))
    first, second = run(space, archive, toy_images), run(space, archive, spoiled)
    assert [(f.name, f.accuracy) for f in first.finalists] == [(f.name, f.accuracy) for f in second.finalists]


def test_one_that_diverged_comes_last_and_has_no_accuracy(space, archive, toy_images, monkeypatch):
    real = finalists._train

    def train(space, evaluation, *rest):
        accuracy, macs = real(space, evaluation, *rest)
        return (math.nan if space.describe(evaluation.architecture) == SAME else accuracy), macs

    monkeypatch.setattr(finalists, "_train", train)
    found = run(space, archive, toy_images)
    assert [f.name for f in found.finalists] == [SKIP, SAME]
    assert found.to_dict()["finalists"][1]["held_out_accuracy_pct"] is None


def test_weights_that_are_not_finite_are_no_result(space, archive, toy_images):
    spoiled = replace(toy_images, train_images=np.full_like(toy_images.train_images, np.nan))
    with pytest.raises(ConfigError, match="every finalist diverged"):
        run(space, archive, spoiled)
    with pytest.raises(ConfigError, match="at least one epoch"):
        run(space, archive, toy_images, epochs=0)
