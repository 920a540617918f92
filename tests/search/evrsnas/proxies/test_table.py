import numpy as np
import pandas as pd
import pytest

from profiler.errors import ConfigError, StorageError
from search.evrsnas.beyond.ranks import draw_sample
from search.evrsnas.proxies import table
from search.evrsnas.proxies.naswot import Naswot
from search.evrsnas.proxies.scorer import ProxyScorer
from search.evrsnas.proxies.table import classes_of, fill_score_file

SMALL = {"channels": 4, "image_size": 16, "batch_size": 6}


@pytest.fixture
def archs(space):
    return draw_sample(space, 12, 0)


def test_a_file_holds_the_scores_by_name(space, toy_images, archs, tmp_path):
    path = tmp_path / "scores.parquet"
    missing = fill_score_file(path, space, archs, ["naswot", "macs"], toy_images, 0, jobs=2, **SMALL)
    frame = pd.read_parquet(path)
    assert frame["arch_str"].tolist() == [space.describe(a) for a in archs]
    np.testing.assert_array_equal(frame["naswot"], ProxyScorer(space, Naswot(), toy_images, 0, **SMALL)(archs))
    assert missing == {name: int(frame[name].isna().sum()) for name in ("naswot", "macs")}


def test_what_is_there_is_not_computed_again_unless_settings_differ(space, toy_images, archs, tmp_path, monkeypatch):
    path = tmp_path / "scores.parquet"
    asked = []

    class Counting(ProxyScorer):
        def __call__(self, architectures):
            asked.append(len(architectures))
            return super().__call__(architectures)

    monkeypatch.setattr(table, "ProxyScorer", Counting)

    def fill(names, seed=0):
        asked.clear()
        fill_score_file(path, space, archs, names, toy_images, seed, **SMALL)
        return sum(asked)

    assert fill(["macs"]) == 12
    assert fill(["macs", "params"]) == 12
    assert fill(["macs", "params"]) == 0
    assert fill(["macs"], seed=1) == 12
    assert set(pd.read_parquet(path).columns) == {"arch_str", "macs", "params"}


def test_another_file_is_left_alone(space, toy_images, archs, tmp_path):
    path = tmp_path / "scores.parquet"
    fill_score_file(path, space, archs, ["macs"], toy_images, 0, **SMALL)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="scores of other architectures"):
        fill_score_file(path, space, archs[1:], ["macs"], toy_images, 0, **SMALL)
    with pytest.raises(ConfigError, match="no training-free score"):
        fill_score_file(path, space, archs, ["grasp"], toy_images, 0, **SMALL)
    assert path.read_bytes() == before
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(StorageError, match="name another, or remove it"):
        fill_score_file(path, space, archs, ["macs"], toy_images, 0, **SMALL)


def test_classes_are_those_of_the_space(space):
    found = classes_of(space)
    names = {space.canonical(a) for a in space.all() if space.connected(a)}
    assert {space.canonical(a) for a in found} == names
    assert len(found) == len(names)
