"""A search by scores that a file knows beforehand, from the file to the winner that `verify` measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edgecost.stages import beyond_costs
from edgecost.stages.beyond import BeyondOptions, search_beyond
from edgecost.stages.known_scores import is_scores_file, score_of_file
from edgecost.stages.verification import read_study
from profiler.errors import ConfigError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.judging import macs_and_params
from search.spaces import find_space
from search.spaces.nasbench201 import NasBench201
from tests.contracts.simulated_target import TARGET, simulated_table

SPACE = NasBench201()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """120 architectures with the negative of their MACs as the score by distillation: less is better here."""
    arrays = arrays_of(SPACE)
    macs, _ = macs_and_params(arrays)
    drawn = np.random.default_rng(0).permutation(np.unique(arrays.representatives[arrays.connected]))[:120]
    names = [SPACE.describe(SPACE.at(int(i))) for i in drawn]
    path = tmp_path / "distilled.parquet"
    pd.DataFrame({"arch_str": names, "distilled": -macs[drawn].astype(float)}).to_parquet(path)
    return path


def asked(budget: float, **changes) -> BeyondOptions:
    return BeyondOptions((TARGET.id,), (budget,), population=6, generations=4, **changes)


def test_by_default_the_best_score_that_the_file_allows_is_taken(table: Path) -> None:
    found = score_of_file(table, None, SPACE)
    assert found.facts["proxy"] == "distilled_fit+live_macs"
    assert found.facts["architectures"] > 10_000, "a model of the sample knows the whole space"


def test_a_column_is_taken_by_name_and_knows_what_it_knows(table: Path) -> None:
    found = score_of_file(table, "distilled", SPACE)
    known = SPACE.parse(str(pd.read_parquet(table)["arch_str"][0]))
    scores = found.function([known, SPACE.at(0)])
    assert np.isfinite(scores[0])
    assert np.isnan(scores[1])
    assert found.identity != score_of_file(table, "distilled+macs", SPACE).identity


def test_a_search_goes_by_the_file_and_its_winner_can_be_verified(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = simulated_table()
    monkeypatch.setattr(beyond_costs, "load_table", lambda results: measured)
    by_file = search_beyond(asked(1e6, scores=table, proxy="distilled_fit"), tmp_path)
    by_macs = search_beyond(asked(1e6, scores=table, proxy="macs"), tmp_path)
    macs = [SPACE.workload(SPACE.architecture(tuple(a["best"]["choices"]))).macs for a in (by_file, by_macs)]
    assert macs[0] < 0.5 * macs[1], "the one score likes few MACs, the other many"
    assert "architectures out of" in by_file["sentence"]
    study = read_study(Path(by_file["file"]))
    assert (study["target"], study["budget_ms"]) == (TARGET.id, 1e6)
    assert study["best"]["cost_ms"] == by_file["best"]["costs"][0]["predicted_ms"]


def test_what_cannot_be_is_one_sentence(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file .*nowhere.csv: .*search distilled"):
        score_of_file(tmp_path / "nowhere.csv", None, SPACE)
    with pytest.raises(ConfigError, match="distilled.parquet: there is no score 'phi'; known are distilled"):
        score_of_file(table, "phi", SPACE)
    with pytest.raises(ConfigError, match="for nasbench201, and this search is of fbnet"):
        score_of_file(table, None, find_space("fbnet"))
    with pytest.raises(ConfigError, match="leave --reference and --score-seed out"):
        search_beyond(asked(1.0, scores=table, score_seed=3), tmp_path)


def test_a_folder_is_a_store_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "store.parquet").mkdir()
    assert not is_scores_file(tmp_path / "store.parquet")
    assert not is_scores_file(None)
    assert is_scores_file(tmp_path / "a.csv")
