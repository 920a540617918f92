"""Winners on targets of our own: predicted, interval, measured and budget in one table, and nothing measured twice."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from edgecost.stages.evrsnas.boards import beside_measured, board_sentence
from edgecost.stages.evrsnas.cells import OwnTarget
from predictors.base import Prediction
from profiler.errors import StorageError
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts
from search.spaces import find_space

SPACE = find_space("nasbench201")
TARGET = "board/onnxruntime-fp32-t1"


@dataclass
class Model:
    """Predicts 4 ms of everything."""

    def estimate(self, workload):
        return Prediction(4.0, 3.5, 4.5, level=0.9)


@dataclass
class Board:
    """Measures what it is told, and remembers what was asked."""

    takes: dict
    asked: list

    def __call__(self, target, workloads):
        self.asked.append((target, [w.key for w in workloads]))
        return {w.key: self.row(w) for w in workloads}

    def row(self, workload):
        ms = self.takes.get(workload.key)
        figures = {} if ms is None else {"latency_ns": ms * 1e6, "low_ns": ms * 0.99e6, "high_ns": ms * 1.01e6}
        status = "ok" if ms else "failed"
        return SimpleNamespace(has_figure=bool(ms), status=status, issues=(), label="", emulation="", **figures)


@pytest.fixture
def own():
    costs = SpaceCosts(arrays_of(SPACE), TARGET, "ms", np.full(15_625, 4.0))
    return [OwnTarget(TARGET, Model(), costs)]


def answers():
    def row(cell, seed, position, method="hw-evrsnas", device=TARGET):
        return {"cell": cell, "seed": seed, "position": position, "method": method, "device": device, "unit": "ms",
                "budget": (4.2, 5.0)[cell], "architecture": SPACE.describe(SPACE.at(position)), "feasible": True,
                "accuracy": 91.0}  # fmt: skip

    return [row(0, 0, 9_999), row(0, 1, 9_999), row(0, 2, 12_345), row(1, 0, 12_345), row(1, 1, 15_624),
            row(0, 0, 77, "random"), row(0, 0, 78, device="fpga"), {**row(1, 2, 5), "position": None}]  # fmt: skip


def key(position):
    return SPACE.workload(SPACE.at(position)).key


def test_every_winner_is_measured_once_and_held_against_budget_and_interval(own, tmp_path):
    board = Board({key(9_999): 4.3, key(12_345): 4.8}, [])
    table = beside_measured(answers(), own, SPACE, tmp_path, "hw-evrsnas", board)
    assert board.asked == [(TARGET, [key(9_999), key(12_345), key(15_624)])]
    told = [(r["budget"], r["seeds"], r["measured"], r["within_budget"], r["within_interval"]) for r in table]
    assert told == [
        (4.2, [0, 1], 4.3, False, True),
        (4.2, [2], 4.8, False, False),
        (5.0, [0], 4.8, True, False),
        (5.0, [1], None, None, None),
    ]
    assert [(r["predicted"], r["low"], r["high"], r["level"]) for r in table] == [(4.0, 3.5, 4.5, 0.9)] * 4
    assert table[0]["off_pct"] == pytest.approx(100 * (4 / 4.3 - 1))
    assert table[3]["status"] == "failed"
    sentence = board_sentence(table)
    assert "3 of 4 winners measured, 1 within their budget, 1 within their interval" in sentence


def test_what_was_measured_is_kept(own, tmp_path):
    before = beside_measured(answers(), own, SPACE, tmp_path, "hw-evrsnas")
    assert all(r["measured"] is None for r in before)
    assert "none measured yet (--measure)" in board_sentence(before)
    board = Board({key(p): 4.0 for p in (9_999, 12_345, 15_624)}, [])
    first = beside_measured(answers(), own, SPACE, tmp_path, "hw-evrsnas", board)
    assert beside_measured(answers(), own, SPACE, tmp_path, "hw-evrsnas") == first
    path = tmp_path / "measured-board-onnxruntime-fp32-t1.json"
    kept = json.loads(path.read_text())
    assert (kept["target"], len(kept["networks"])) == (TARGET, 3)


@pytest.mark.parametrize("damaged", ["{", "[]", '{"networks": []}', '{"networks": {"a": 1}}'])
def test_a_damaged_file_of_measurements_speaks_before_anything_is_measured(own, tmp_path, damaged):
    path = tmp_path / "measured-board-onnxruntime-fp32-t1.json"
    path.write_text(damaged)
    board = Board({}, [])
    with pytest.raises(StorageError, match=r"measured-board.*remove it and measure again with --measure"):
        beside_measured(answers(), own, SPACE, tmp_path, "hw-evrsnas", board)
    assert board.asked == []
    assert path.read_text() == damaged


def test_a_study_without_targets_has_no_table(tmp_path):
    assert beside_measured(answers(), [], SPACE, tmp_path, "hw-evrsnas") == []
    assert board_sentence([]) == ""
    assert list(tmp_path.iterdir()) == []
