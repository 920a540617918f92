from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import ConfigError
from profiler.fleet.inventory.devices import load_document
from profiler.fleet.virtual.simulated.hidden import as_onnxruntime, with_changes
from profiler.fleet.virtual.simulated.presets import IDEAL, PRESETS, preset
from profiler.fleet.virtual.simulated.spec import Clock, SimulatedSpec

ROOT = Path(__file__).parents[5]


def test_there_is_one_after_every_board_of_the_projects_devices_and_an_ideal_one() -> None:
    boards = [entry.id for entry in load_document(ROOT / "devices.yaml").devices]
    assert sorted(PRESETS) == sorted([*boards, "ideal"])


@pytest.mark.parametrize("spec", PRESETS.values(), ids=lambda spec: spec.id)
def test_a_spec_survives_json(spec: SimulatedSpec) -> None:
    assert SimulatedSpec.from_dict(json.loads(spec.to_json())) == spec


@pytest.mark.parametrize("spec", PRESETS.values(), ids=lambda spec: spec.id)
def test_each_says_that_it_is_simulated(spec: SimulatedSpec) -> None:
    assert spec.model.startswith("simulated board")


def test_what_is_no_spec_is_refused() -> None:
    good = IDEAL.to_dict()
    for bad in (good | {"version": 99}, good | {"colour": "red"}, {"version": 1}, good | {"noise": {"volume": 11}}):
        with pytest.raises(ConfigError, match="simulated board"):
            SimulatedSpec.from_dict(bad)


def test_a_spec_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="rising clock steps"):
        replace(IDEAL, clock=Clock((2000, 1000), (1.0, 1.0)))
    with pytest.raises(ConfigError, match="governor"):
        replace(IDEAL, clock=replace(IDEAL.clock, governor="haste"))
    with pytest.raises(ConfigError, match="runs away"):
        replace(IDEAL, power=replace(IDEAL.power, leakage_w_per_k=1.0))


def test_parts_of_a_preset_can_be_replaced() -> None:
    assert preset("rpi5", seed=7).seed == 7
    assert preset("rpi5", seed=7) != PRESETS["rpi5"]


def test_hidden_rules_are_ours_but_for_the_changes() -> None:
    changed = with_changes(also={"add": ("relu",)}, without={"conv2d": ("add",)})
    for precision, ours in as_onnxruntime().items():
        theirs = changed[precision].tails
        assert set(theirs["add"]) == {*ours.tails.get("add", ()), "relu"}
        assert set(theirs["conv2d"]) == {t for t in ours.tails["conv2d"] if t.split()[0] != "add"}
        assert theirs["linear"] == ours.tails["linear"]
