from __future__ import annotations

import numpy as np
import pytest

from profiler.agent import outputs
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.weights import seeded_inputs

EXPECTED = {"indices": [0, 3, 5], "values": [1.0, -2.0, 0.5], "rms": 2.0, "size": 6}


def output(*changes: tuple[int, float]) -> np.ndarray:
    values = np.array([1.0, 9.0, 9.0, -2.0, 9.0, 0.5])
    for index, value in changes:
        values[index] = value
    return values


def test_inputs_are_the_hosts() -> None:
    shapes = [(1, 3, 5, 7), (2, 4)]
    b = WorkloadBuilder()
    image, vector = (b.input(shape) for shape in shapes)
    workload = b.build(b.relu(image), b.relu(vector))
    for ours, hosts in zip(outputs.seeded_inputs(shapes), seeded_inputs(workload), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, hosts)


def test_layouts_are_turned_there_and_back() -> None:
    image = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    there = outputs.to_layout(image, "nhwc")
    assert there.shape == (2, 4, 5, 3)
    assert there.flags.c_contiguous
    assert there[1, 2, 3, 0] == image[1, 0, 2, 3]
    np.testing.assert_array_equal(outputs.flatten(there, "nhwc"), image.ravel())
    np.testing.assert_array_equal(outputs.flatten(image, "nchw"), image.ravel())
    vector = np.ones((2, 3), np.float32)
    assert outputs.to_layout(vector, "nhwc").shape == (2, 3)


def test_quantising_rounds_and_saturates() -> None:
    values = np.array([-100.0, -0.26, 0.0, 0.24, 0.26, 100.0], np.float32)
    quantised = outputs.quantise(values, np.int8, 0.5, 3)
    assert quantised.dtype == np.int8
    assert quantised.tolist() == [-128, 2, 3, 3, 4, 127]
    assert outputs.dequantise(quantised, 0.5, 3).tolist() == [-65.5, -0.5, 0.0, 0.0, 0.5, 62.0]
    assert outputs.quantise(values, np.float32, 0.0, 0) is not None
    np.testing.assert_array_equal(outputs.quantise(values, np.float32, 0.0, 0), values)


def test_equal_outputs_agree() -> None:
    assert outputs.compare(output(), EXPECTED, "fp32") == outputs.Comparison(0.0, "")
    assert outputs.compare(output(), EXPECTED, "int8") == outputs.Comparison(0.0, "")


@pytest.mark.parametrize(("difference", "agrees"), [(0.019, True), (0.021, False), (-0.021, False)])
def test_fp32_may_differ_by_a_hundredth_of_the_rms(difference: float, agrees: bool) -> None:
    verdict = outputs.compare(output((3, -2.0 + difference)), EXPECTED, "fp32")
    assert verdict.error == pytest.approx(abs(difference) / 2.0)
    assert (verdict.problem == "") is agrees


@pytest.mark.parametrize(("snr_db", "agrees"), [(8.1, True), (7.9, False)])
def test_int8_is_judged_by_its_noise(snr_db: float, agrees: bool) -> None:
    signal = 1.0 + 4.0 + 0.25
    difference = (signal / 10 ** (snr_db / 10)) ** 0.5
    verdict = outputs.compare(output((0, 1.0 + difference)), EXPECTED, "int8")
    assert verdict.error == pytest.approx(difference / 3**0.5 / 2.0)
    assert (verdict.problem == "") is agrees


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_wrong_at_any_position(value: float) -> None:
    verdict = outputs.compare(output((1, value)), EXPECTED, "fp32")
    assert verdict == outputs.Comparison(None, "the output holds NaN or infinity")


def test_an_output_of_another_size_is_wrong() -> None:
    assert outputs.compare(np.ones(0), EXPECTED, "fp32").problem == "the output holds 0 values instead of 6"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_reference_of_zeros_is_met_by_zeros_only(precision: str) -> None:
    zeros = {"indices": [0, 1], "values": [0.0, 0.0], "rms": 0.0, "size": 2}
    assert outputs.compare(np.zeros(2), zeros, precision).problem == ""
    assert outputs.compare(np.ones(2), zeros, precision).problem != ""
