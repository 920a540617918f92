"""Trees and processes that bend a sum of features."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.candidates import BENT, REGRESSORS, choose
from predictors.corrections import Correction, Trees
from predictors.features import FEATURES, feature_matrix
from predictors.process import GaussianProcess
from predictors.regressors import NonNegativeRidge, Regressor
from profiler.workloads.fusion import single

MACS, STRIDE = FEATURES.index("macs"), FEATURES.index("stride")


def random_features(n: int, seed: int = 0, most: int = 64) -> NDArray[np.float64]:
    """Of convolutions of random sizes."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        c_in, c_out, size = (int(v) for v in np.exp(rng.uniform(np.log(4), np.log([most, most, 32]))))
        attrs = {"out_channels": c_out, "kernel": (3, 3), "stride": (int(rng.integers(1, 3)),) * 2, "groups": 1}
        attrs |= {"padding": (1, 1, 1, 1), "dilation": (1, 1), "bias": True}
        found.append(single("conv2d", ((1, c_in, size, size),), attrs))
    return feature_matrix(found)


def law(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three times as dear with a stride of 2, which no sum of extensive features says."""
    return (0.01 + 1e-6 * features[:, MACS]) * np.where(features[:, STRIDE] == 2, 3.0, 1.0)


MAKERS: list[Callable[[], Regressor]] = [GaussianProcess, lambda: Trees("forest"), lambda: Trees("boosting")]


@pytest.mark.parametrize("make", MAKERS)
def test_what_no_sum_says_is_learned(make: Callable[[], Regressor]) -> None:
    features, unseen = random_features(150), random_features(60, seed=1)
    plain, bent = NonNegativeRidge(), make()
    errors = []
    for regressor in (plain, bent):
        regressor.fit(features, law(features), 1.0 / law(features))
        errors.append(float(np.abs(regressor.predict(unseen) / law(unseen) - 1.0).mean()))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("make", MAKERS)
def test_far_from_all_measurements_the_sum_goes_on(make: Callable[[], Regressor]) -> None:
    features = random_features(80)
    regressor = make()
    regressor.fit(features, law(features), 1.0 / law(features))
    assert isinstance(regressor, Correction)
    seen = law(features) / regressor.base.predict(features)
    far = random_features(9, seed=2, most=4096)
    bent = regressor.predict(far) / regressor.base.predict(far)
    assert seen.min() < 0.95 < 1.05 < seen.max()
    assert (bent >= min(seen.min(), 1.0) - 1e-12).all()
    assert (bent <= max(seen.max(), 1.0) + 1e-12).all()


@pytest.mark.parametrize("name", BENT)
def test_the_plain_form_predicts_the_same_and_each_row_what_it_would_alone(name: str) -> None:
    features, unseen = random_features(40), random_features(12, seed=1)
    first = REGRESSORS[name]()
    first.fit(features, law(features), 1.0 / law(features))
    second = REGRESSORS[name]()
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    together = first.predict(unseen)
    np.testing.assert_array_equal(second.predict(unseen), together)
    assert [float(first.predict(row[None])[0]) for row in unseen] == together.tolist()
    assert (together >= 0.0).all()


def test_trees_are_asked_as_scikit_learn_asks_them() -> None:
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    inputs, errors = rng.normal(size=(60, 4)), rng.normal(size=60)
    trees = Trees("forest", trees=10)
    trees._learn(inputs, errors, np.ones(60), np.zeros(60))
    model = RandomForestRegressor(10, min_samples_leaf=2, max_features=0.5, random_state=0)
    model.fit(inputs, errors, sample_weight=np.ones(60))
    unseen = rng.normal(size=(40, 4))
    np.testing.assert_allclose(trees._correct(unseen), model.predict(unseen), rtol=1e-12)


def test_a_saved_model_needs_no_scikit_learn(tmp_path: Path) -> None:
    features = random_features(40)
    states, values = {}, {}
    for name in BENT:
        regressor = REGRESSORS[name]()
        regressor.fit(features, law(features), 1.0 / law(features))
        states[name], values[name] = regressor.state(), [v.hex() for v in regressor.predict(features[:9]).tolist()]
    file = tmp_path / "states.json"
    file.write_text(json.dumps([states, features[:9].tolist()]))
    program = """
import json, sys
sys.modules["sklearn"] = None
import numpy as np
from predictors.candidates import REGRESSORS
states, rows = json.load(open(sys.argv[1]))
found = {}
for name, state in states.items():
    regressor = REGRESSORS[name]()
    regressor.restore(state)
    found[name] = [v.hex() for v in regressor.predict(np.array(rows)).tolist()]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == values


def test_a_process_of_other_inputs_is_refused() -> None:
    features = random_features(30)
    process = GaussianProcess()
    process.fit(features, law(features), 1.0 / law(features))
    state = process.state()
    state["learned"]["rows"] = [row[:3] for row in state["learned"]["rows"]]
    with pytest.raises(ValueError, match="saved process"):
        GaussianProcess().restore(state)


def test_the_simpler_of_equals_is_chosen() -> None:
    features = random_features(60)
    latency = 0.01 + 1e-6 * features[:, MACS]
    assert choose(("ridge", "wide ridge", "process", "boosting"), features, latency, 1.0 / latency)[0] == "ridge"
    bent = law(features)
    name, predicted = choose(("ridge", "wide ridge", "process", "forest", "boosting"), features, bent, 1.0 / bent)
    assert name in BENT
    assert predicted.shape == (60,)
    few = choose(("ridge", "process"), features[:12], bent[:12], 1.0 / bent[:12])
    assert few[0] == "ridge"
