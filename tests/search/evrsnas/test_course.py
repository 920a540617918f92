import math
from dataclasses import replace

import pytest

from profiler.errors import ConfigError, TrainingDiverged
from search.evrsnas.course import RECORDED_STEPS, Course, Point, steps_to_record
from search.evrsnas.scoring import RmiScorer, ScorePreset, score_of

TINY = ScorePreset("tiny", channels=4, cells_per_stage=1, image_size=16, steps=7, batch_size=8, pool=24, balanced=True)
MIXED = 12_345


@pytest.fixture
def make(space, toy_images, toy_reference):
    return lambda **changes: RmiScorer(space, replace(TINY, **changes), toy_reference, toy_images, 0)


def test_what_is_recorded_on_the_way():
    assert RECORDED_STEPS == (0, 5, 20, 50, 150)
    assert steps_to_record(150) == (0, 5, 20, 50, 150)
    assert steps_to_record(30) == (0, 5, 20, 30)
    assert steps_to_record(0) == (0,)


def test_a_point_on_the_way_is_what_a_shorter_training_ends_with(make, space):
    arch = space.at(MIXED)
    course = make().course(arch)
    assert [p.step for p in course.points] == [0, 5, 7]
    for steps in (0, 5, 7):
        assert course.at(steps).phi == pytest.approx(make(steps=steps).score(arch), abs=1e-6)


def test_networks_of_one_architecture_differ(make, space):
    scorer = make(steps=0)
    first, second = (scorer.course(space.at(MIXED), i).at(0).phi for i in (0, 1))
    assert first != second
    assert make(steps=0, networks=2).score(space.at(MIXED)) == pytest.approx((first + second) / 2)


def test_divergence_has_a_type_and_is_never_a_score(make, space):
    scorer = make(learning_rate=1e30)
    course = scorer.course(space.at(MIXED))
    assert course.diverged_at in range(1, 8)
    assert math.isfinite(course.at(0).phi)
    with pytest.raises(TrainingDiverged, match="diverged at step") as caught:
        course.at(7)
    assert caught.value.step == course.diverged_at
    assert math.isnan(score_of(course, scorer.preset))


def test_a_step_that_was_not_recorded_is_not_made_up():
    course = Course((Point(0, (0.1, 0.2, 0.3), 2.0), Point(5, (0.4, 0.4, 0.4), 1.0)))
    assert course.at(5).phi == pytest.approx(1.2)
    assert course.at(0).mixed_loss(0.8) == pytest.approx(0.8 * 2.4 + 0.2 * 2.0)
    with pytest.raises(ConfigError, match="step 3, but at 0, 5"):
        course.at(3)
