from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from profiler.fleet.sessions import jobs
from profiler.fleet.sessions.jobs import batches, request
from profiler.fleet.targets import Device, Sensor, Target
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.expected import Expected


def test_lots_are_bounded_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_BATCH_BYTES", 100)
    work = [{"id": str(number), "text": "x" * size} for number, size in enumerate([20, 20, 20, 300, 1, 1])]
    lots = list(batches(work))
    assert [job for lot in lots for job in lot] == work
    assert [len(lot) for lot in lots] == [2, 1, 1, 2]
    assert all(len(json.dumps(lot)) <= 110 for lot in lots if len(lot) > 1)
    assert list(batches([])) == []


def test_a_board_is_told_of_a_meter_only_where_it_has_no_sensor_of_its_own() -> None:
    external, own = Sensor("external", "wall", "tcp:meter:1"), Sensor("hwmon", "board-in", "ina226")
    target = Target("bench", "onnxruntime", "fp32")
    expected = Expected((0,), (0.0,), 0.0, 1)
    artefact = SimpleNamespace(format="onnx", inputs=[], layout="nchw", expected=expected)
    told = [
        request(
            BoardJob("k", artefact),
            "/a",
            Device("bench", "h", "u", (target,), sensors=sensors),
            target,
            MeasureConfig(),
        )["board"]["meter"]
        for sensors in ((), (own,), (external, own), (external,))
    ]
    assert told == [False, False, False, True]


def test_a_job_may_be_asked_for_an_interval_of_its_own() -> None:
    target = Target("bench", "onnxruntime", "fp32")
    device = Device("bench", "h", "u", (target,))
    artefact = SimpleNamespace(format="onnx", inputs=[], layout="nchw", expected=Expected((0,), (0.0,), 0.0, 1))
    config = MeasureConfig(target_half_width=0.01)
    for half_width, told in ((None, 0.01), (0.005, 0.005)):
        asked = request(BoardJob("k", artefact, half_width=half_width), "/a", device, target, config)
        assert asked["config"] == {**config.to_dict(), "target_half_width": told}
