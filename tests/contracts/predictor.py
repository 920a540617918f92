"""What every predictor has to keep, of latency, energy or peak memory, ours or a stranger's: tests to inherit.

class TestMyModel(PredictorContract):
    def make(self) -> Predictor:
        return MyModel()
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score

from predictors.measured import Measurements
from predictors.scikit import Predictor
from predictors.storage import load_model, save_model
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, changed

ROOT = Path(__file__).parents[2]

IN_ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
from predictors.storage import load_model
from profiler.workloads.graph import Workload
workloads = [Workload.from_dict(d) for d in json.loads(Path(sys.argv[2]).read_text())]
sys.stdout.write(json.dumps([v.hex() for v in load_model(Path(sys.argv[1])).predict(workloads).tolist()]))
"""


@dataclass(frozen=True)
class Samples:
    """Whole networks with their measured values, and what they were measured on."""

    workloads: list[Workload]
    values: NDArray[np.float64]
    base: Measurements


class PredictorContract:
    """Inherit, implement `make`, and name the class Test...; a test needs the fixture `table` of `cost_model`."""

    value, low, high = "latency_ms", "low_ms", "high_ms"
    """Names of a prediction's value and interval."""

    needs_rows = True
    """Whether a fit to a table needs rows of it."""

    def make(self) -> Predictor:
        """A fresh model."""
        raise NotImplementedError

    def prepare(self, table: CostTable) -> CostTable:
        """The table with what the model is fitted on."""
        return table

    def samples_of(self, table: CostTable) -> Samples:
        """The networks that a fit to the table learns from."""
        base = Measurements.from_table(table, TARGET.id)
        return Samples(base.workloads, base.model_latencies_ms, base)

    @pytest.fixture
    def own(self, table: CostTable) -> CostTable:
        return self.prepare(table)

    @pytest.fixture
    def samples(self, own: CostTable) -> Samples:
        return self.samples_of(own)

    @pytest.fixture
    def fitted(self, own: CostTable) -> Predictor:
        return self.make().fit(own, TARGET.id)

    # ---------------------------------------------------------------- a scikit-learn estimator

    def test_clone_and_parameters(self, fitted: Predictor, held_out: list[Workload]) -> None:
        copy = clone(fitted)
        assert type(copy) is type(fitted)
        assert repr(copy) == repr(fitted)
        assert not copy.fitted
        for call in (copy.predict, lambda work: copy.estimate(work[0]), lambda _: copy.to_dict()):
            with pytest.raises(ConfigError, match="fit"):
                call(held_out)
        assert copy.set_params(**copy.get_params(deep=False)) is copy
        with pytest.raises(ConfigError, match="no_such_parameter"):
            copy.set_params(no_such_parameter=1)

    def test_cross_validation_works_and_repeats_itself(self, samples: Samples) -> None:
        assert is_regressor(self.make())
        folds = KFold(3, shuffle=True, random_state=0)
        call = {"cv": folds, "params": {"base": samples.base}, "error_score": "raise"}
        first = cross_val_score(self.make(), samples.workloads, samples.values, **call)
        np.testing.assert_array_equal(cross_val_score(self.make(), samples.workloads, samples.values, **call), first)
        assert first.shape == (3,)
        assert (first <= 1.0).all()

    def test_what_is_left_out_teaches_nothing(self, samples: Samples) -> None:
        """A fold's predictions are those of a model that was fitted by hand to the others."""
        call = {"cv": KFold(3), "params": {"base": samples.base}}
        found = cross_val_predict(self.make(), samples.workloads, samples.values, **call)
        train, test = next(iter(KFold(3).split(samples.workloads)))
        model = self.make().fit([samples.workloads[i] for i in train], samples.values[train], base=samples.base)
        np.testing.assert_array_equal(found[test], model.predict([samples.workloads[i] for i in test]))

    def test_a_search_over_parameters_works(self, samples: Samples) -> None:
        level = next(name for name in sorted(self.make().get_params()) if name.endswith("level"))
        search = GridSearchCV(self.make(), {level: [0.5, 0.8]}, cv=3, error_score="raise")
        search.fit(samples.workloads, samples.values, base=samples.base)
        assert search.best_estimator_.get_params()[level] in (0.5, 0.8)
        assert np.isfinite(search.best_estimator_.predict(samples.workloads)).all()

    def test_score_is_r_squared(self, samples: Samples) -> None:
        model = self.make().fit(samples.workloads, samples.values, base=samples.base)
        error = np.square(samples.values - model.predict(samples.workloads)).sum()
        total = np.square(samples.values - samples.values.mean()).sum()
        assert model.score(samples.workloads, samples.values) == pytest.approx(1.0 - error / total)

    # ---------------------------------------------------------------- answers

    def test_answers_have_value_interval_parts_and_what_is_missing(
        self, fitted: Predictor, held_out: list[Workload]
    ) -> None:
        values = fitted.predict(held_out)
        assert values.dtype == np.float64
        assert fitted.predict([]).shape == (0,)
        for workload, value in zip(held_out, values.tolist(), strict=True):
            found = fitted.estimate(workload)
            assert getattr(found, self.value) == value > 0.0
            assert 0.0 <= getattr(found, self.low) <= value <= getattr(found, self.high)
            assert found.missing == ()
            assert found.complete

    def test_fitting_is_deterministic(self, own: CostTable, fitted: Predictor, held_out: list[Workload]) -> None:
        again = self.make().fit(own, TARGET.id)
        np.testing.assert_array_equal(again.predict(held_out), fitted.predict(held_out))
        assert again.measurements_sha256_ == fitted.measurements_sha256_
        assert again.to_dict() == fitted.to_dict()

    def test_a_batch_is_what_its_members_are_alone(self, fitted: Predictor, held_out: list[Workload]) -> None:
        alone = np.array([fitted.predict([workload])[0] for workload in held_out])
        np.testing.assert_array_equal(fitted.predict(held_out), alone)

    # ---------------------------------------------------------------- plain values, in another process

    @pytest.fixture
    def no_pickle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("something was pickled")

        for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
            monkeypatch.setattr(pickle, name, refuse)

    def test_a_file_gives_the_same_predictions_in_another_process(
        self, fitted: Predictor, held_out: list[Workload], tmp_path: Path, no_pickle: None
    ) -> None:
        model, workloads = tmp_path / "model.json", tmp_path / "workloads.json"
        save_model(fitted, model)
        workloads.write_text(json.dumps([w.to_dict() for w in held_out]))
        again = load_model(model)
        assert repr(again) == repr(fitted)
        assert again.to_dict() == fitted.to_dict()
        assert again.estimate(held_out[0]) == fitted.estimate(held_out[0])
        argv = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(model), str(workloads)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=240)
        assert json.loads(done.stdout) == [v.hex() for v in fitted.predict(held_out).tolist()]

    # ---------------------------------------------------------------- bad input

    def test_networks_need_what_they_were_measured_on(self, samples: Samples) -> None:
        with pytest.raises(ConfigError, match="base="):
            self.make().fit(samples.workloads, samples.values)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 0.0])
    def test_a_figure_that_is_none_is_named(self, samples: Samples, bad: float) -> None:
        values = samples.values.copy()
        values[2] = bad
        with pytest.raises(ConfigError, match="workload 2 .*above zero"):
            self.make().fit(samples.workloads, values, base=samples.base)

    def test_figures_and_networks_have_to_match(self, samples: Samples) -> None:
        with pytest.raises(ConfigError, match="give one each"):
            self.make().fit(samples.workloads, samples.values[:-1], base=samples.base)

    @pytest.mark.parametrize("factor", [1e-3, 1e3, 1e6])
    def test_two_units_are_refused(self, samples: Samples, factor: float) -> None:
        values = samples.values.copy()
        values[:4] *= factor
        with pytest.raises(ConfigError, match="of two units.*in one unit"):
            self.make().fit(samples.workloads, values, base=samples.base)

    def test_another_target_is_refused_by_name(self, own: CostTable) -> None:
        with pytest.raises(UnknownWorkload, match=r"nowhere/torch-fp32-t1.*sim/onnxruntime-fp32-t1"):
            self.make().fit(own, "nowhere/torch-fp32-t1")

    def test_rows_of_another_target_teach_nothing(
        self, own: CostTable, fitted: Predictor, held_out: list[Workload]
    ) -> None:
        other = replace(TARGET, threads=4)
        rows = [replace(r, target_id=other.id, latency_ns=9.0 * r.latency_ns) for r in own.all_rows]
        both = CostTable([*own.all_rows, *rows], own.workloads, (TARGET, other))
        np.testing.assert_array_equal(self.make().fit(both, TARGET.id).predict(held_out), fitted.predict(held_out))

    def test_simulated_rows_never_stand_among_measured_ones(self, own: CostTable) -> None:
        row = own.rows(TARGET.id, "model")[0]
        with pytest.raises(ConfigError, match="simulated rows"):
            self.make().fit(changed(own, row.key, emulation="simulated"), TARGET.id)

    def test_too_few_rows_say_how_many_of_which_kind_and_the_command(self, own: CostTable) -> None:
        if not self.needs_rows:
            pytest.skip("this model needs no rows")
        empty = CostTable((), own.workloads, own.targets)
        with pytest.raises(UnknownWorkload, match=r"(kernel|whole models).*`edgecost profile --target sim/|--energy"):
            self.make().fit(empty, TARGET.id)
