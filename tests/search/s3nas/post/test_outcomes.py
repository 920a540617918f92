"""What post-processing keeps on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import StorageError
from search.s3nas.post.outcomes import Filled, Outcome, Outcomes
from search.spaces.network import Block, Network, Stage
from search.spaces.supernet import Head, Stem

NETWORK = Network("made-up", 16, 4, Stem(8, 3, 1), (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2),), True))),), Head(16))


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_training_is_known_by_network_schedule_and_seed(on_disk: bool, tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "kept" if on_disk else None)
    assert outcomes.training(NETWORK, "10 epochs", 0) is None
    outcomes.keep_training(NETWORK, "10 epochs", 0, Outcome(0.75, np.array([np.nan, 0.25])))
    again = Outcomes(tmp_path / "kept") if on_disk else outcomes
    found = again.training(replace(NETWORK, supernet="another name"), "10 epochs", 0)
    assert found is not None
    assert found.accuracy == 0.75
    assert found.gates is not None
    assert found.gates == pytest.approx([np.nan, 0.25], nan_ok=True)
    for other in (
        (NETWORK, "11 epochs", 0),
        (NETWORK, "10 epochs", 1),
        (replace(NETWORK, resolution=20), "10 epochs", 0),
    ):
        assert again.training(*other) is None


def test_gates_may_be_unknown(tmp_path: Path) -> None:
    Outcomes(tmp_path).keep_training(NETWORK, "s", 0, Outcome(0.5))
    found = Outcomes(tmp_path).training(NETWORK, "s", 0)
    assert found is not None
    assert found.gates is None


def test_a_filling_comes_back(tmp_path: Path) -> None:
    for filled in (Filled(0.1 + 0.2, NETWORK, 1.5, 1.625), Filled(-1.0, NETWORK, 2.0)):
        Outcomes(tmp_path).keep_filling(f"phi {filled.phi}", filled)
        assert Outcomes(tmp_path).filling(f"phi {filled.phi}") == filled
    assert Outcomes(tmp_path).filling("another") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"accuracy": "much", "gates": null, "phi": 1, "measured": []}'])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.keep_training(NETWORK, "s", 0, Outcome(0.5))
    outcomes.keep_filling("f", Filled(0.0, NETWORK, 1.0))
    files = sorted(tmp_path.iterdir())
    assert [set(json.loads(f.read_text())) >= {"network"} for f in files] == [True, True]
    for file in files:
        file.write_text(text)
    with pytest.raises(StorageError, match=r"trained-.*json cannot be read .* delete it"):
        outcomes.training(NETWORK, "s", 0)
    with pytest.raises(StorageError, match=r"filled-.*json cannot be read"):
        outcomes.filling("f")
