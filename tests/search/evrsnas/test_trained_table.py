import math

import pytest

from profiler.errors import ConfigError, StorageError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.brief import BriefTrainer, BriefTraining, Learnt
from search.evrsnas.study_scores import file_scores
from search.evrsnas.trained_table import TrainedTable, fill_table

WITH_DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
DEAD_END = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|none~2|"
OTHER = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"
SMALL = BriefTraining(channels=4, image_size=8, epochs=1, batch_size=8, share=0.25)


@pytest.fixture
def trainer(space, toy_images, monkeypatch):
    made = BriefTrainer(space, SMALL, toy_images, 0)
    asked = []

    def train(self, arch):
        asked.append(space.describe(arch))
        held_out = math.nan if space.describe(arch) == OTHER and len(asked) > 50 else 0.1 * len(asked)
        return Learnt(held_out, 2.0 - held_out, 1000 + len(asked), 36, 0.5)

    monkeypatch.setattr(BriefTrainer, "train", train)
    made.asked = asked
    return made


def parsed(space, *texts):
    return [space.parse(text) for text in texts]


def test_what_differs_in_nothing_that_matters_is_trained_once(space, trainer, tmp_path):
    table = fill_table(tmp_path / "t.parquet", trainer, parsed(space, WITH_DEAD, OTHER, DEAD_END))
    assert len(trainer.asked) == 2
    assert table.rows[WITH_DEAD] == table.rows[DEAD_END] != table.rows[OTHER]


def test_filling_again_trains_what_is_missing_only(space, trainer, tmp_path):
    path = tmp_path / "t.parquet"
    first = fill_table(path, trainer, parsed(space, OTHER))
    fill_table(path, trainer, parsed(space, OTHER, WITH_DEAD))
    fill_table(path, trainer, parsed(space, DEAD_END))
    assert len(trainer.asked) == 2
    again = TrainedTable.open(path, trainer)
    assert set(again.rows) == {OTHER, WITH_DEAD, DEAD_END}
    assert again.rows[OTHER] == first.rows[OTHER]


def test_an_interruption_costs_a_portion_at_most(space, trainer, tmp_path):
    class Stop(Exception):
        pass

    def told(line):
        raise Stop

    with pytest.raises(Stop):
        fill_table(tmp_path / "t.parquet", trainer, parsed(space, OTHER, WITH_DEAD), portion=1, told=told)
    assert list(TrainedTable.open(tmp_path / "t.parquet", trainer).rows) == [OTHER]


def test_a_study_reads_it_and_costs_are_no_scores(space, trainer, tmp_path):
    path = tmp_path / "t.parquet"
    table = fill_table(path, trainer, parsed(space, OTHER, WITH_DEAD))
    arrays = arrays_of(space)
    found = file_scores(path, arrays)
    assert set(found) == {"held_out", "tse", "trained_macs"}
    at = int(arrays.positions(parsed(space, OTHER))[0])
    assert found["held_out"][at] == table.rows[OTHER].held_out
    assert found["tse"][at] == -table.rows[OTHER].loss


def test_a_diverged_training_is_kept_and_has_no_score(space, trainer, tmp_path):
    trainer.asked += ["x"] * 60
    fill_table(tmp_path / "t.parquet", trainer, parsed(space, OTHER))
    row = TrainedTable.open(tmp_path / "t.parquet", trainer).rows[OTHER]
    assert math.isnan(row.held_out)
    fill_table(tmp_path / "t.parquet", trainer, parsed(space, OTHER))
    assert len(trainer.asked) == 61


def test_another_training_is_refused_and_a_broken_file_said(space, trainer, toy_images, tmp_path):
    path = tmp_path / "t.parquet"
    fill_table(path, trainer, parsed(space, OTHER))
    with pytest.raises(ConfigError, match="another training, seed or other images"):
        fill_table(path, BriefTrainer(space, SMALL, toy_images, 1), parsed(space, OTHER))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(StorageError, match="cannot be read as scores by training"):
        fill_table(path, trainer, parsed(space, OTHER))
    with pytest.raises(ConfigError, match="at least 1"):
        fill_table(tmp_path / "u.parquet", trainer, parsed(space, OTHER), jobs=0)
