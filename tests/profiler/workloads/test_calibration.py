"""Sets of inputs for int8, and what the builders make of given ones."""

from __future__ import annotations

import numpy as np
import pytest
from artefact_runners import run_onnx, run_tflite, snr_db

from profiler.errors import ArtefactError, ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import CALIBRATION_SEEDS, build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite_int8
from profiler.workloads.builders.tflite_int8 import calibrate
from profiler.workloads.calibration import calibration_of, check_calibration, seeded_calibration
from profiler.workloads.graph import Workload
from profiler.workloads.transform import simplify
from profiler.workloads.weights import seeded_inputs, seeded_weights

INT8 = pytest.mark.parametrize(("build", "run"), [(build_onnx_int8, run_onnx), (build_tflite_int8, run_tflite)])


def small(batch: int = 1) -> Workload:
    b = WorkloadBuilder("small")
    x = b.input((batch, 3, 8, 8))
    x = b.relu(b.batch_norm(b.conv2d(x, 8, 3)))
    return b.build(b.linear(b.flatten(b.global_avg_pool(b.add(x, b.conv2d(x, 8, 3, groups=8)))), 5))


def two_inputs() -> Workload:
    b = WorkloadBuilder("two")
    return b.build(b.add(b.input((1, 4)), b.input((1, 4))))


def images(count: int, scale: float = 6.0) -> np.ndarray:
    return (scale * np.random.default_rng(0).normal(1, 1, (count, 3, 8, 8))).astype(np.float32)


def test_seeded_calibration_is_the_seeded_inputs() -> None:
    (first,), (second,) = seeded_calibration(small(), (3, 4))
    np.testing.assert_array_equal(first, seeded_inputs(small(), 3)[0])
    np.testing.assert_array_equal(second, seeded_inputs(small(), 4)[0])


def test_images_become_batches_of_the_workloads_size() -> None:
    given = images(5)
    sets = calibration_of(small(2), given)
    assert len(sets) == 2
    np.testing.assert_array_equal(np.concatenate([batch for (batch,) in sets]), given[:4])


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (4, 3, 9, 9), (4, 1, 8, 8), (3, 8, 8)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"workload small is calibrated with at least 1 images of shape \(3, 8, 8\)"):
        calibration_of(small(), np.zeros(shape, np.float32))


def test_images_calibrate_one_input_only() -> None:
    with pytest.raises(ConfigError, match="workload two has 2"):
        calibration_of(two_inputs(), images(2))


@INT8
def test_what_does_not_fit_is_refused(build, run) -> None:
    with pytest.raises(ArtefactError, match="cannot be calibrated without inputs"):
        build(small(), None, [])
    with pytest.raises(ArtefactError, match="calibration set 1 has"):
        build(small(), None, [(images(1),), (images(1)[:, :, :4],)])
    with pytest.raises(ArtefactError, match="calibration set 0 of workload small holds values that are not finite"):
        build(small(), None, [(images(1) * np.float32(np.inf),)])
    check_calibration(two_inputs(), [(np.zeros((1, 4), np.float32),) * 2])


def test_without_calibration_onnx_files_are_those_of_the_seeded_inputs() -> None:
    assert build_onnx_int8(small()) == build_onnx_int8(small(), None, seeded_calibration(small(), CALIBRATION_SEEDS))


@INT8
def test_ranges_are_those_of_the_given_inputs(build, run) -> None:
    workload, given = small(), images(40)
    sets = calibration_of(workload, given[:32])
    for inputs in ([image[None]] for image in given[32:]):
        (wanted,) = run_onnx(build_onnx(workload), inputs)
        (fitting,), (unfit,) = (run(data, inputs) for data in (build(workload, None, sets), build(workload)))
        assert snr_db(wanted, fitting) > 25
        assert snr_db(wanted, unfit) < 15


def test_the_input_of_a_tflite_file_spans_the_given_images() -> None:
    workload = small()
    simple, weights = simplify(workload, seeded_weights(workload))
    given = images(4)
    ranges = calibrate(simple, weights, calibration_of(simple, given))
    assert ranges[(simple.inputs[0], 0)] == (float(given.min()), float(given.max()))
    assert calibrate(simple, weights)[(simple.inputs[0], 0)] == (-1.0, 1.0)
