import json
import math

import numpy as np
import pytest

from profiler.errors import ConfigError, StorageError
from search.evrsnas.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from search.evrsnas.records import Evaluation, Generation
from search.spaces import Architecture

IDENTITY = {"space": "s", "config": {"budget_ms": 1.5, "elite": (1, 2)}}
SCORED = Evaluation(Architecture("s", (1, 2)), 2.5, 3.0, 1.0, 1.5)
UNPRICED = Evaluation(Architecture("s", (0, 0)), math.nan, math.nan, math.inf, -math.inf)


def state(rng):
    history = (Generation(0, 1.5, 3.0, None, 1.5, 0, 1),)
    return Checkpoint(IDENTITY, (SCORED,), (SCORED, UNPRICED), history, rng.bit_generator.state)


def test_everything_comes_back_and_the_generator_goes_on(tmp_path):
    rng = np.random.default_rng(7)
    rng.random(3)
    write_checkpoint(tmp_path / "c", state(rng))
    expected = rng.random(5).tolist()
    back = read_checkpoint(tmp_path / "c", IDENTITY)
    assert back is not None
    assert repr((back.population, back.archive, back.history)) == repr(
        ((SCORED,), (SCORED, UNPRICED), (Generation(0, 1.5, 3.0, None, 1.5, 0, 1),))
    )
    fresh = np.random.default_rng(0)
    fresh.bit_generator.state = back.rng_state
    assert fresh.random(5).tolist() == expected


def test_no_checkpoint_is_none(tmp_path):
    assert read_checkpoint(tmp_path / "c", IDENTITY) is None


def test_anothers_is_refused(tmp_path):
    write_checkpoint(tmp_path / "c", state(np.random.default_rng(0)))
    with pytest.raises(ConfigError, match="another search"):
        read_checkpoint(tmp_path / "c", {**IDENTITY, "space": "t"})


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"schema": 1}', '{"schema": 2}', "\x00"])
def test_damaged_ones_are_named_with_a_remedy(tmp_path, damage):
    (tmp_path / "c").write_text(damage)
    with pytest.raises(StorageError, match="remove it"):
        read_checkpoint(tmp_path / "c", IDENTITY)


def test_a_missing_field_is_damage(tmp_path):
    write_checkpoint(tmp_path / "c", state(np.random.default_rng(0)))
    data = json.loads((tmp_path / "c").read_text())
    del data["history"][0]["n_feasible"]
    (tmp_path / "c").write_text(json.dumps(data))
    with pytest.raises(StorageError, match="remove it"):
        read_checkpoint(tmp_path / "c", IDENTITY)
