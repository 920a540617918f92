from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from profiler.agent.worker.settings import Settings
from profiler.measure.config import MeasureConfig

FIRST = ("min_batch_s", "warmup_runs", "warmup_s", "min_batches", "target_half_width", "cap_s")


def test_settings_are_read_from_what_the_host_sends() -> None:
    config = MeasureConfig(min_batch_s=1, warmup_runs=7, cache="cold", pin=False, cool_s=3.0, energy=True)
    found = Settings.read(config.to_dict())
    assert found._asdict() == {name: getattr(config, name) for name in Settings._fields}


def test_a_request_of_an_earlier_host_is_measured_by_todays_defaults() -> None:
    config = MeasureConfig()
    assert set(Settings._fields) <= {field.name for field in fields(MeasureConfig)}
    assert Settings.read({name: getattr(config, name) for name in FIRST}) == Settings.read(config.to_dict())


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("cap_s", None, "a number"),
        ("cap_s", "1", "a number"),
        ("cap_s", -1, "a number"),
        ("cap_s", math.nan, "a number"),
        ("cap_s", math.inf, "a number"),
        ("cap_s", True, "a number"),
        ("min_batches", 1.5, "a whole number"),
        ("energy_runs", 0.5, "a whole number"),
        ("cool_s", None, "a number"),
        ("pin", 1, "true or false"),
        ("energy", None, "true or false"),
        ("cache", "warm", '"hot" or "cold"'),
        ("observe_hz", 1e9, "at most 100"),
    ],
)
def test_settings_that_are_none_are_named(name: str, value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"config\.{name} must be {complaint}"):
        Settings.read(MeasureConfig().to_dict() | {name: value})


@pytest.mark.parametrize("config", [3, None, {}])
def test_a_config_that_is_none_is_refused(config: Any) -> None:
    with pytest.raises(ValueError, match=r"config\.min_batch_s"):
        Settings.read(config)
