import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.evrsnas import distilling
from search.evrsnas.distilling import Distilled, Distiller, Distilling, prepare_lesson
from search.evrsnas.trained_table import TrainedTable, fill_table

CONV = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
WITH_DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
DEAD_END = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|none~2|"
UNCONNECTED = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SMALL = Distilling(channels=4, image_size=8, steps=40, batch_size=8, share=0.25)


class Brightness:
    """A reference that says how bright each colour is: a function of what is shown that any network can learn."""

    digest = "brightness"

    def features(self, images):
        return images.mean(axis=(2, 3)).astype(np.float32), ()


@pytest.fixture
def short_lesson(monkeypatch):
    monkeypatch.setattr(distilling, "LONGEST", 40)


@pytest.fixture
def distiller(space, toy_images, short_lesson):
    return Distiller(space, SMALL, toy_images, Brightness(), 0)


def test_targets_are_what_the_reference_says_of_the_pictures_shown(toy_images, short_lesson):
    lesson = prepare_lesson(toy_images, Brightness(), replace(SMALL, image_size=32), 0)
    assert lesson.pictures.shape == (40 * 8, 3, 32, 32)
    said = lesson.pictures.astype(np.float32).mean(axis=(2, 3))
    assert lesson.targets.std() == pytest.approx(3.0, rel=1e-4)
    np.testing.assert_allclose(lesson.targets, said / said.std() * 3, atol=5e-3)
    assert lesson.judged.shape[0] == lesson.judged_targets.shape[0] == 3 * 12  # as they are, mirrored, mixed


def test_what_is_judged_by_was_not_shown_and_no_test_image_is_looked_at(toy_images, short_lesson):
    kept = prepare_lesson(toy_images, Brightness(), SMALL, 0)
    others = replace(toy_images, test_images=toy_images.test_images + 5)
    np.testing.assert_array_equal(prepare_lesson(others, Brightness(), SMALL, 0).judged, kept.judged)
    plain = prepare_lesson(toy_images, Brightness(), replace(SMALL, image_size=32, mixed=0.0), 0)
    held = {image.tobytes() for image in plain.judged[:24].astype(np.float16)}
    assert not held & {image.tobytes() for image in plain.pictures}


def test_pictures_are_mixed_where_asked_for(toy_images, short_lesson):
    plain, mixed = (prepare_lesson(toy_images, Brightness(), replace(SMALL, mixed=m), 0) for m in (0.0, 1.0))
    # a toy image is bright in one colour; of two that are mixed, two may be
    bright = [(lesson.pictures.mean(axis=(2, 3)) > 0.25).sum(axis=1) for lesson in (plain, mixed)]
    assert bright[0].max() == 1
    assert (bright[1] == 2).mean() > 0.2


def test_a_score_is_a_function_of_the_seed_and_of_what_reaches_the_output(space, distiller, toy_images):
    first = distiller.train(space.parse(WITH_DEAD))
    again = Distiller(space, SMALL, toy_images, Brightness(), 0).train(space.parse(DEAD_END))
    assert (again.loss, again.macs) == (first.loss, first.macs)
    assert first.images_seen == 40 * 8
    other = Distiller(space, SMALL, toy_images, Brightness(), 1)
    assert other.identity != distiller.identity
    assert other.train(space.parse(WITH_DEAD)).loss != first.loss


def test_who_learns_is_better_than_who_cannot(space, distiller, toy_images):
    learnt = distiller.train(space.parse(CONV)).loss
    blind = float((distiller.lesson.judged_targets**2).mean())  # whoever says nothing of any picture
    assert learnt < 0.6 * blind
    untrained = Distiller(space, replace(SMALL, steps=1), toy_images, Brightness(), 0).train(space.parse(CONV)).loss
    assert learnt < untrained


def test_a_trainer_that_is_sent_elsewhere_brings_its_lesson_and_scores_alike(space, distiller, monkeypatch):
    sent = pickle.loads(pickle.dumps(distiller))
    monkeypatch.setattr(distilling, "prepare_lesson", None)  # nobody prepares another
    assert sent.train(space.parse(CONV)).loss == distiller.train(space.parse(CONV)).loss


def test_a_diverged_training_has_no_score(space, toy_images, short_lesson, tmp_path):
    wild = Distiller(space, replace(SMALL, learning_rate=1e30), toy_images, Brightness(), 0)
    fill_table(tmp_path / "t.parquet", wild, [space.parse(CONV)])
    assert math.isnan(TrainedTable.open(tmp_path / "t.parquet", wild).rows[CONV].loss)


def test_rows_are_read_back(space, distiller, tmp_path, monkeypatch):
    monkeypatch.setattr(Distiller, "train", lambda self, arch: Distilled(0.25, 1000, 320, 1.5))
    path = tmp_path / "t.parquet"
    fill_table(path, distiller, [space.parse(CONV)])
    assert TrainedTable.open(path, distiller).rows == {CONV: Distilled(0.25, 1000, 320, 1.5)}
    assert Distilled(0.25, 1000, 320, 1.5).columns()["distilled"] == -0.25  # more is better


def test_what_cannot_be_taught_is_refused(space, distiller, toy_images, short_lesson):
    with pytest.raises(ConfigError, match="does not depend on its input"):
        distiller.train(space.parse(UNCONNECTED))

    class Dull(Brightness):
        def features(self, images):
            return np.zeros((len(images), 3), dtype=np.float32), ()

    with pytest.raises(ConfigError, match="says the same of every picture"):
        prepare_lesson(toy_images, Dull(), SMALL, 0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 501}, {"batch_size": 1}])
def test_lengths_are_checked(wrong):
    with pytest.raises(ConfigError, match="1 to 500 steps of at least two pictures"):
        replace(SMALL, **wrong)
