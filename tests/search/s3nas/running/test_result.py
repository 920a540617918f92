"""What a search found as plain values, in words, and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import ConfigError, StorageError
from search.s3nas.config import REDUCED
from search.s3nas.running.result import SearchPoint, SupernetResult, TargetBudget, read_result, write_result
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet


@pytest.fixture
def result() -> SupernetResult:
    space = MixConv(read_supernet("tiny"))
    point = SearchPoint(0, 1, 2.3, 2.3, 0.1, (3.0, 4.0), "k3 e2", 0.004)
    targets = (
        TargetBudget("rpi5", "ms", 2.5, 2.41, "measured", "a"),
        TargetBudget("board", "mj", 9.0, 8.5, "measured", "b"),
    )
    return SupernetResult(
        "id", space.name, REDUCED, 3, space.minimal, space.network(space.minimal), targets, 12345, 6789000, 0.5, 0.4,
        (point,), 350, 12.34, {"note": "made up"},
    )  # fmt: skip


def test_written_and_read(result: SupernetResult, tmp_path: Path) -> None:
    write_result(result, tmp_path)
    assert read_result(tmp_path) == result
    assert json.loads((tmp_path / "result.json").read_text())["feasible"] is True


def test_in_words(result: SupernetResult) -> None:
    assert result.sentence() == (
        "found a network of 2.41 of 2.5 ms on rpi5, 8.5 of 9 mJ on board (0.0123 M parameters, 6.789 M MACs) "
        "after 350 steps in 12 s"
    )
    over = replace(result, targets=(result.targets[0], replace(result.targets[1], t_hat=9.9)))
    assert not over.feasible
    assert over.sentence().startswith(
        "INFEASIBLE: the network at the end costs 2.41 of 2.5 ms on rpi5, 9.9 of 9 mJ on board, 10.0 % over"
    )


def test_there_may_be_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no completed search in"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 99, "kind": "s3nas"}', '{"schema": 1, "kind": "evrsnas"}']
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(StorageError):
        read_result(tmp_path)
