"""What every CostModel has to keep, as tests to inherit.

class TestMyModel(CostModelContract):
    def make(self) -> CostModel:
        return MyModel()
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from predictors.base import CostModel
from predictors.storage import load_model, save_model
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, changed, simulated_table, without

IN_ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
from predictors.storage import load_model
from profiler.workloads.graph import Workload
workloads = [Workload.from_dict(d) for d in json.loads(Path(sys.argv[2]).read_text())]
sys.stdout.write(json.dumps([v.hex() for v in load_model(Path(sys.argv[1])).predict(workloads).tolist()]))
"""


@pytest.fixture(scope="module")
def table() -> CostTable:
    return simulated_table(n_fit=12, n_held=8, noise=0.02)


@pytest.fixture(scope="module")
def held_out(table: CostTable) -> list[Workload]:
    return [table.workloads[row.key] for row in table.rows(TARGET.id, "model") if row.split == "held_out"]


class CostModelContract:
    """Inherit, implement `make`, and name the class Test..."""

    def make(self) -> CostModel:
        """A fresh model."""
        raise NotImplementedError

    @pytest.fixture
    def fitted(self, table: CostTable) -> CostModel:
        return self.make().fit(table, TARGET.id)

    # ---------------------------------------------------------------- scikit-learn's shape

    def test_parameters_are_what_the_constructor_was_given(self) -> None:
        model = self.make()
        params = model.get_params()
        assert type(model)(**params).get_params() == params
        assert model.set_params(**params) is model
        with pytest.raises(ConfigError, match="no_such_parameter"):
            model.set_params(no_such_parameter=1)

    def test_clone_has_the_parameters_and_nothing_learned(self, fitted: CostModel, held_out: list[Workload]) -> None:
        copy = clone(fitted)
        assert type(copy) is type(fitted)
        assert copy.get_params() == fitted.get_params()
        assert not copy.fitted
        with pytest.raises(ConfigError, match="fit"):
            copy.predict(held_out)

    def test_level_takes_effect(self, fitted: CostModel, table: CostTable, held_out: list[Workload]) -> None:
        wide = clone(fitted).set_params(level=0.99).fit(table, TARGET.id)
        narrow = clone(fitted).set_params(level=0.5).fit(table, TARGET.id)
        a, b = wide.estimate(held_out[0]), narrow.estimate(held_out[0])
        assert (a.level, b.level) == (0.99, 0.5)
        assert a.high_ms - a.low_ms > b.high_ms - b.low_ms

    # ---------------------------------------------------------------- fit

    def test_fit_returns_the_model_and_names_the_target(self, table: CostTable) -> None:
        model = self.make()
        assert not model.fitted
        assert model.fit(table, TARGET.id) is model
        assert model.fitted
        assert (model.target_id_, model.runtime_, model.precision_) == (TARGET.id, TARGET.runtime, TARGET.precision)

    def test_an_unknown_target_is_named(self, table: CostTable) -> None:
        with pytest.raises(UnknownWorkload, match="nowhere/torch"):
            self.make().fit(table, "nowhere/torch-fp32-t1")

    def test_an_empty_table_is_refused(self, table: CostTable) -> None:
        with pytest.raises(UnknownWorkload, match=TARGET.id):
            self.make().fit(CostTable((), table.workloads, table.targets), TARGET.id)

    def test_held_out_rows_teach_nothing(self, fitted: CostModel, table: CostTable, held_out: list[Workload]) -> None:
        other = table
        for workload in held_out:
            row = table.lookup(TARGET.id, workload.key, "model")
            other = changed(other, workload.key, latency_ns=7.0 * row.latency_ns)
        again = self.make().fit(other, TARGET.id)
        np.testing.assert_array_equal(again.predict(held_out), fitted.predict(held_out))

    def test_fitting_twice_is_fitting_once(self, fitted: CostModel, table: CostTable, held_out: list[Workload]) -> None:
        first = fitted.predict(held_out)
        fitted.fit(simulated_table(n_fit=6, n_held=1, overhead_ms=3.0, seed=5), TARGET.id)
        np.testing.assert_array_equal(fitted.fit(table, TARGET.id).predict(held_out), first)

    # ---------------------------------------------------------------- predict

    def test_predict_gives_positive_milliseconds(self, fitted: CostModel, held_out: list[Workload]) -> None:
        values = fitted.predict(held_out)
        assert values.shape == (len(held_out),)
        assert values.dtype == np.float64
        assert (values > 0.0).all()
        assert (values < 100.0).all()
        assert fitted.predict([]).shape == (0,)

    def test_predict_is_estimate(self, fitted: CostModel, held_out: list[Workload]) -> None:
        alone = np.array([fitted.estimate(w).latency_ms for w in held_out])
        np.testing.assert_array_equal(fitted.predict(held_out), alone)
        np.testing.assert_array_equal(fitted.predict(held_out[::-1]), alone[::-1])

    def test_the_interval_holds_the_value(self, fitted: CostModel, held_out: list[Workload]) -> None:
        for prediction in fitted.estimate_many(held_out):
            assert 0.0 <= prediction.low_ms <= prediction.latency_ms <= prediction.high_ms
            assert prediction.low_ms < prediction.high_ms
            assert prediction.interval

    def test_parts_add_up(self, fitted: CostModel, held_out: list[Workload]) -> None:
        for prediction in fitted.estimate_many(held_out):
            if prediction.by_op:
                assert math.fsum(p.latency_ms for p in prediction.by_op) == pytest.approx(prediction.latency_ms)

    def test_names_and_seeds_change_nothing(self, fitted: CostModel, held_out: list[Workload]) -> None:
        first = held_out[0]
        renamed = Workload(first.ops, first.outputs, "another name", first.dtype, seed=99)
        assert fitted.estimate(renamed).latency_ms == fitted.estimate(first).latency_ms

    def test_a_missing_cost_is_never_zero(self, fitted: CostModel, table: CostTable, held_out: list[Workload]) -> None:
        model = self.make().fit(without(table, [rare_kernel(table, held_out)]), TARGET.id)
        for prediction, value in zip(model.estimate_many(held_out), model.predict(held_out), strict=True):
            assert prediction.complete == math.isfinite(value)
            if not prediction.complete:
                assert prediction.high_ms == math.inf
                assert any(p.source == "missing" and math.isnan(p.latency_ms) for p in prediction.by_op)
        json.dumps([p.to_dict() for p in model.estimate_many(held_out)], allow_nan=False)

    # ---------------------------------------------------------------- plain values

    def test_the_plain_form_gives_the_same_predictions(self, fitted: CostModel, held_out: list[Workload]) -> None:
        text = json.dumps(fitted.to_dict(), allow_nan=False)
        again = type(fitted).from_dict(json.loads(text))
        assert again.estimate_many(held_out) == fitted.estimate_many(held_out)
        assert again.to_dict() == fitted.to_dict()
        assert again.measurements_sha256_ == fitted.measurements_sha256_

    def test_a_damaged_plain_form_is_refused(self, fitted: CostModel) -> None:
        for damage in ({"state": {}}, {"state": []}, {"params": {"no_such_parameter": 1}}, {"runtime": "abacus"}):
            with pytest.raises(ConfigError):
                type(fitted).from_dict({**fitted.to_dict(), **damage})

    def test_another_process_predicts_the_same(
        self, fitted: CostModel, held_out: list[Workload], tmp_path: Path
    ) -> None:
        model, workloads = tmp_path / "model.json", tmp_path / "workloads.json"
        save_model(fitted, model)
        workloads.write_text(json.dumps([w.to_dict() for w in held_out]))
        assert load_model(model).get_params() == fitted.get_params()
        argv = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(model), str(workloads)]
        root = Path(__file__).parents[2]
        done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True, timeout=120)
        assert json.loads(done.stdout) == [v.hex() for v in fitted.predict(held_out).tolist()]


def rare_kernel(table: CostTable, held_out: list[Workload]) -> str:
    """Key of a kernel that a held-out network runs and at most half of those fitted on do."""
    fit = [table.workloads[r.key] for r in table.rows(TARGET.id, "model") if r.split == "fit"]
    runs = [{k.key for k in cut(w, TARGET.runtime, TARGET.precision)} for w in fit]
    for workload in held_out:
        for kernel in cut(workload, TARGET.runtime, TARGET.precision):
            if sum(kernel.key in keys for keys in runs) <= len(runs) // 2:
                return kernel.key
    raise AssertionError("every kernel is in most networks")
