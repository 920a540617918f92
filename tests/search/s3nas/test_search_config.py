"""The published protocol as published, lengths in epochs or steps, and settings that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from profiler.errors import ConfigError
from search.s3nas.config import PUBLISHED, REDUCED, S3nasConfig, search_preset

IMAGENET = 1251


def test_the_published_schedule() -> None:
    assert PUBLISHED.phases(IMAGENET) == (10008, 2502)
    assert PUBLISHED.rate(0, IMAGENET, 1024) == pytest.approx(0.064)
    assert PUBLISHED.rate(3002, IMAGENET, 1024) == pytest.approx(0.064)  # 2.4 epochs are 3002.4 steps
    assert PUBLISHED.rate(3003, IMAGENET, 1024) == pytest.approx(0.064 * 0.97)
    assert PUBLISHED.rate(12509, IMAGENET, 1024) == pytest.approx(0.064 * 0.97**4)
    published: dict[str, Any] = {
        "batch_size": 1024, "clip": 10.0, "form": "hinge", "weight": 15.0, "label_smoothing": 0.1,
        "weight_decay": 1e-5, "dropout": 0.2, "average": 0.9999, "norm_momentum": 0.99, "choice_dropout": True,
        "latency_moves_weights": True, "threshold_rate": 1.0, "threshold_momentum": 0.9, "overtime": 0,
        "zero_residuals": False,
    }  # fmt: skip
    assert {name: getattr(PUBLISHED, name) for name in published} == published


def test_the_reduced_schedule_is_in_steps_and_keeps_the_shape() -> None:
    first, second = REDUCED.phases(22)
    assert REDUCED.phases(78) == (first, second)
    assert REDUCED.rate(first + second - 1, 22, 64) == pytest.approx(REDUCED.rate(0, 22, 64) * 0.97**4)


def test_fractions_of_an_epoch_and_no_second_phase() -> None:
    assert replace(PUBLISHED, phase1=0.5, phase2=0.25).phases(10) == (5, 3)
    assert replace(PUBLISHED, phase2=0).phases(10) == (80, 0)
    assert replace(PUBLISHED, phase1=0.001, phase2=0.001).phases(10) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase1": 0, "phase2": 0}, "phase1 must be above 0 where phase2 is 0, not 0"),
        ({"unit": "hours"}, "unit must be epochs or steps, not 'hours'"),
        ({"form": "linear"}, "form must be hinge or log"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"weight": -1}, "weight must be at least 0, not -1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"colour": "red"}, "a search has no setting 'colour'"),
        ({"weight": "much"}, "of the wrong kind"),
        ({"record_every": 0}, "record_every must be at least 1"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        search_preset("reduced", **changes)


def test_presets_by_name() -> None:
    assert search_preset("published") is PUBLISHED
    changed = search_preset("reduced", weight=3.0)
    assert (changed.name, changed.weight, changed.phase1) == ("reduced*", 3.0, REDUCED.phase1)
    with pytest.raises(ConfigError, match="no search preset 'quick': give one of published, reduced"):
        search_preset("quick")


def test_plain_values_and_back() -> None:
    assert S3nasConfig.from_dict(REDUCED.to_dict()) == REDUCED


def test_what_changes_no_network_is_not_of_the_essence() -> None:
    assert replace(REDUCED, name="x", checkpoint_every=7, record_every=3).essence == REDUCED.essence
    assert replace(REDUCED, weight=7.0).essence != REDUCED.essence
