from __future__ import annotations

import json
import math

import pytest

from predictors.base import PartCost, Prediction
from predictors.baselines import MacsModel
from profiler.errors import ConfigError
from tests.contracts.simulated_target import TARGET, networks, simulated_table


def test_a_lower_bound_says_so_in_its_plain_form() -> None:
    part = PartCost("softmax 10 -> 10", "softmax", math.nan, "missing")
    prediction = Prediction(1.5, 1.2, math.inf, (part,), ("softmax 10 -> 10",), interval="noise")
    plain = json.loads(json.dumps(prediction.to_dict(), allow_nan=False))
    assert not prediction.complete
    assert plain["complete"] is False
    assert plain["missing"] == ["softmax 10 -> 10"]
    assert plain["high_ms"] is None
    assert plain["by_op"][0] == {
        "label": "softmax 10 -> 10",
        "kind": "softmax",
        "latency_ms": None,
        "half_width_ms": None,
        "source": "missing",
    }


def test_the_plain_form_is_refused_field_by_field() -> None:
    model = MacsModel().fit(simulated_table(n_fit=4, n_held=1), TARGET.id)
    for name in ("params", "target_id", "runtime", "precision", "state", "measurements_sha256"):
        data = model.to_dict()
        del data[name]
        with pytest.raises(ConfigError, match=name):
            MacsModel.from_dict(data)


def test_an_unfitted_model_says_what_to_do() -> None:
    for ask in (lambda m: m.predict([]), lambda m: m.estimate(networks(1)[0]), lambda m: m.to_dict()):
        with pytest.raises(ConfigError, match=r"fit\(table, target_id\)"):
            ask(MacsModel())


def test_repr_shows_the_parameters() -> None:
    assert repr(MacsModel(level=0.8)) == "MacsModel(level=0.8)"
