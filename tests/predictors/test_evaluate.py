from __future__ import annotations

import json
import math

import numpy as np
import pytest

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.evaluate import NOISE_FLOOR, closure, noise_floor, score
from predictors.lookup import TableModel
from predictors.measured import ModelPoint, model_points
from predictors.models import standard_models
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from tests.contracts.simulated_target import TARGET, networks, simulated_table, without


def test_scores_by_hand() -> None:
    found = score(np.array([1.04, 1.8, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 5.0]))
    assert found.n == 4
    assert found.mape == pytest.approx((0.04 + 0.1 + 0.0 + 0.2) / 4)
    assert found.rmspe == pytest.approx(math.sqrt((0.04**2 + 0.1**2 + 0.2**2) / 4))
    assert (found.within_5, found.within_10) == (0.5, 0.75)
    assert (found.kendall_tau, found.spearman) == (1.0, 1.0)


def test_tau_b_counts_ties() -> None:
    # 5 pairs concordant, none discordant, one tied in the prediction: 5 / sqrt(5 x 6)
    assert score(np.array([1.0, 2.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0])).kendall_tau == pytest.approx(
        5 / math.sqrt(30)
    )
    assert score(np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])).kendall_tau == -1.0


def test_a_missing_prediction_is_counted_against_the_model() -> None:
    found = score(np.array([1.0, math.nan, 3.0, math.nan]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.n, found.n_missing) == (4, 2)
    assert (found.within_5, found.within_10) == (0.5, 0.5)
    assert found.mape == 0.0
    nothing = score(np.full(3, math.nan), np.ones(3))
    assert (nothing.n_missing, nothing.within_10) == (3, 0.0)
    assert math.isnan(nothing.mape)
    assert math.isnan(nothing.kendall_tau)


def test_constant_predictions_have_no_rank() -> None:
    found = score(np.full(4, 2.0), np.array([1.0, 2.0, 3.0, 4.0]))
    assert math.isnan(found.kendall_tau)
    assert math.isnan(found.spearman)


def test_shapes_are_checked() -> None:
    with pytest.raises(ConfigError):
        score(np.ones(3), np.ones(4))
    with pytest.raises(ConfigError):
        score(np.ones(0), np.ones(0))


def points(sd: float) -> list[ModelPoint]:
    nets = networks(30)
    return [ModelPoint(w.key, "net", w, 1.0 + 0.1 * i, sd * (1.0 + 0.1 * i)) for i, w in enumerate(nets)]


def test_the_noise_floor_is_the_error_of_knowing_the_truth() -> None:
    found = noise_floor(points(0.05))
    # mean absolute value of a normal error of 5 %, and the share of it within one and two deviations
    assert found.mape == pytest.approx(0.05 * math.sqrt(2 / math.pi), rel=0.05)
    assert found.rmspe == pytest.approx(0.05, rel=0.06)
    assert found.within_5 == pytest.approx(0.68, abs=0.03)
    assert found.within_10 == pytest.approx(0.95, abs=0.03)
    assert 0.8 < found.kendall_tau < 1.0
    assert noise_floor(points(0.0)).mape == 0.0


@pytest.fixture(scope="module")
def table() -> CostTable:
    return simulated_table(n_fit=12, n_held=15, noise=0.02, scale=0.9)


def test_closure_puts_all_models_side_by_side(table: CostTable) -> None:
    models: dict[str, CostModel] = {n: m.fit(table, TARGET.id) for n, m in standard_models().items()}
    found = closure(models, table, TARGET.id)
    assert [row.model for row in found.rows] == [*models, NOISE_FLOOR]
    assert {row.scores.n for row in found.rows} == {15}
    additive, floor = found.row("additive", TARGET.id).scores, found.row(NOISE_FLOOR, TARGET.id).scores
    for other in ("params", "macs", "isolated table", "table"):
        assert additive.mape < found.row(other, TARGET.id).scores.mape
    assert floor.mape < 0.03
    assert additive.mape < 3.0 * floor.mape
    held = model_points(table, TARGET.id, "held_out")
    np.testing.assert_array_equal(found.measured_ms[TARGET.id], [p.latency_ms for p in held])
    np.testing.assert_array_equal(
        found.predicted_ms[TARGET.id]["additive"], models["additive"].predict([p.workload for p in held])
    )
    with pytest.raises(KeyError):
        found.row("oracle", TARGET.id)


def test_coverage_is_counted(table: CostTable) -> None:
    models: dict[str, CostModel] = {
        "narrow": AdditiveModel(level=0.01).fit(table, TARGET.id),
        "wide": AdditiveModel(level=0.999).fit(table, TARGET.id),
    }
    found = closure(models, table, TARGET.id)
    assert found.row("narrow", TARGET.id).covered < 0.4
    assert found.row("wide", TARGET.id).covered == 1.0
    assert (found.row("narrow", TARGET.id).level, found.row("wide", TARGET.id).level) == (0.01, 0.999)


def test_an_incomplete_prediction_is_neither_scored_nor_covered(table: CostTable) -> None:
    kernels = {r.key for r in table.rows(TARGET.id, "kernel")}
    poor = TableModel().fit(without(table, sorted(kernels)[1:]), TARGET.id)
    row = closure({"poor": poor}, table, TARGET.id).row("poor", TARGET.id)
    assert row.scores.n_missing == 15
    assert row.covered == 0.0
    assert row.to_dict()["mape"] is None


def test_the_plain_forms(table: CostTable) -> None:
    found = closure({"table": TableModel().fit(table, TARGET.id)}, table, TARGET.id)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["rows"][0]["model"] == "table"
    assert plain["rows"][0]["mape"] == found.rows[0].scores.mape
    assert plain["rows"][1]["covered"] is None
    assert len(plain["points"][TARGET.id]["predicted_ms"]["table"]) == 15
    frame = found.to_frame()
    assert list(frame["model"]) == ["table", NOISE_FLOOR]
    assert frame["kendall_tau"].dtype == np.float64
    assert math.isnan(frame["covered"][1])


def test_tables_of_several_targets_join(table: CostTable) -> None:
    found = closure({"table": TableModel().fit(table, TARGET.id)}, table, TARGET.id)
    assert (found + found).rows == found.rows + found.rows


def test_leaks_strangers_and_emptiness_are_refused(table: CostTable) -> None:
    model = TableModel().fit(table, TARGET.id)
    with pytest.raises(ConfigError, match="fitted on"):
        closure({"table": model}, table, TARGET.id, model_points(table, TARGET.id, "fit")[:1])
    with pytest.raises(ConfigError, match="'unfitted'"):
        closure({"unfitted": TableModel()}, table, TARGET.id)
    with pytest.raises(UnknownWorkload, match="held-out"):
        closure({"table": model}, simulated_table(n_fit=4, n_held=0), TARGET.id)
