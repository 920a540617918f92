"""A study of a space that cannot be listed: FBNet's costs are the table's sums, and controls are of equal size."""

import json

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import read_hwnasbench
from search.evrsnas.evolution import EvolutionConfig
from search.evrsnas.open_study import LayerCosts, OpenCell, OpenStudy, Remembered, open_cells, open_summary
from search.spaces.fbnet import FBNet

SPACE = FBNet()


def costs():
    rng = np.random.default_rng(0)
    return LayerCosts(SPACE, "board", 0.1 + rng.random((SPACE.n_edges, SPACE.n_ops)), 2.0)


def score(architectures):
    return np.array([sum(a.choices) / 200 for a in architectures])


def run(**kwargs):
    cells = open_cells(costs(), (0.3, 0.7))
    others = {"least": lambda archs: -score(archs)}
    return cells, OpenStudy(SPACE, cells, score, others, (0, 1), EvolutionConfig(None, 10, 8), **kwargs).run()


def test_costs_are_those_of_the_table(data_dir):
    table = read_hwnasbench(data_dir)
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(20)]
    for device in table.devices:
        own = LayerCosts.of_fbnet(SPACE, table, device)
        assert own(drawn) == pytest.approx([table.network_ms(device, a.choices) for a in drawn], rel=1e-12)
        assert own.cheapest <= own(drawn).min()


def test_one_row_a_cell_seed_and_method_and_none_breaks_its_budget():
    cells, rows = run()
    methods = ["hw-evrsnas", "no penalty", "rejection", "by least", "random"]
    assert [r["method"] for r in rows] == methods * 4
    own = costs()
    for row in rows:
        arch = SPACE.parse(row["architecture"])
        assert row["cost"] == own([arch])[0]
        assert row["score"] == score([arch])[0]  # controls too are told by the study's score
        assert row["feasible"] == (row["cost"] <= row["budget"])
    of = {(r["method"], r["budget"], r["seed"]): r["evaluations"] for r in rows}
    for cell in cells:
        for seed in (0, 1):
            assert of["random", cell.budget, seed] == of["hw-evrsnas", cell.budget, seed]
    lines = {line["method"]: line for line in open_summary(rows)}
    assert lines["hw-evrsnas"]["score"] > lines["by least"]["score"]
    assert all(line["violations"] == 0 and line["answers"] == 4 for line in lines.values())


def test_an_answer_without_the_studys_score_is_counted_and_has_none():
    def seldom(architectures):
        return np.where([sum(a.choices) % 2 == 1 for a in architectures], np.nan, score(architectures))

    cells = open_cells(costs(), (0.7,))
    others = {"least": lambda archs: -score(archs)}
    rows = OpenStudy(SPACE, cells, seldom, others, range(4), EvolutionConfig(None, 10, 8)).run()
    odd = [r for r in rows if r["method"] == "by least" and sum(SPACE.parse(r["architecture"]).choices) % 2]
    assert odd
    assert [r["score"] for r in odd] == [None] * len(odd)
    lines = {line["method"]: line for line in open_summary(rows)}
    assert (lines["by least"]["unscored"], lines["hw-evrsnas"]["unscored"]) == (len(odd), 0)
    json.dumps([rows, open_summary(rows)], allow_nan=False)


def test_the_same_study_again_gives_the_same_answers():
    def plain(rows):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert plain(run()[1]) == plain(run()[1])
    assert [r["method"] for r in run(controls=False)[1]] == ["hw-evrsnas"] * 4


def test_rejection_that_finds_nothing_is_an_answer_without_an_architecture():
    own = costs()
    cell = OpenCell(own, own.cheapest * 1.0001)
    rows = OpenStudy(SPACE, [cell], score, {}, (0,), EvolutionConfig(None, 5, 2, tournament=2)).run()
    rejected = next(r for r in rows if r["method"] == "rejection")
    assert (rejected["architecture"], rejected["feasible"]) == (None, False)
    assert next(line for line in open_summary(rows) if line["method"] == "rejection")["infeasible"] == 1


def test_a_class_is_scored_once():
    asked = []
    remembered = Remembered(SPACE, lambda archs: asked.extend(archs) or score(archs))
    drawn = [SPACE.at(0), SPACE.at(1), SPACE.at(0)]
    assert remembered(drawn) == pytest.approx(score(drawn))
    remembered(drawn)
    assert len(asked) == remembered.scored == 2


def test_what_cannot_be_studied_is_one_sentence(data_dir):
    own = costs()
    with pytest.raises(ConfigError, match="below the cheapest"):
        OpenCell(own, own.cheapest / 2)
    with pytest.raises(ConfigError, match="shares between 0 and 1"):
        open_cells(own, (1.5,))
    with pytest.raises(ConfigError, match="no device 'edgetpu'"):
        LayerCosts.of_fbnet(SPACE, read_hwnasbench(data_dir), "edgetpu")
