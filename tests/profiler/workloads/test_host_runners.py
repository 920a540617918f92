"""Files loaded once and run often on this machine."""

from __future__ import annotations

import numpy as np
import pytest
from artefact_runners import run_onnx, run_tflite

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.graph import Workload
from profiler.workloads.host_runners import litert_runner, onnx_runner
from profiler.workloads.weights import seeded_inputs


def image_to_image() -> Workload:
    b = WorkloadBuilder("image to image")
    x, y = b.input((1, 4, 6, 6)), b.input((1, 4, 6, 6))
    return b.build(b.conv2d(b.add(x, y), 5, 3))


@pytest.mark.parametrize(
    ("build", "runner", "once"),
    [
        (build_onnx, onnx_runner, run_onnx),
        (build_onnx_int8, onnx_runner, run_onnx),
        (build_tflite, litert_runner, run_tflite),
        (build_tflite_int8, litert_runner, run_tflite),
    ],
)
def test_a_runner_gives_for_every_input_what_a_single_run_gives(build, runner, once) -> None:
    workload = image_to_image()
    data = build(workload)
    run = runner(data, "it")
    kept = []
    for seed in (0, 1, 0):
        output = run(seeded_inputs(workload, seed))
        assert output.shape == (1, 5, 6, 6)
        np.testing.assert_allclose(output, once(data, seeded_inputs(workload, seed))[0], rtol=1e-6, atol=1e-6)
        kept.append(output)
    np.testing.assert_array_equal(kept[0], kept[2])
    assert not np.array_equal(kept[0], kept[1])


def test_int8_inputs_go_through_the_files_own_zero_point() -> None:
    workload = image_to_image()
    inputs = tuple(5 + array for array in seeded_inputs(workload))
    data = build_tflite_int8(workload, None, [inputs])
    (wanted,) = run_onnx(build_onnx(workload), inputs)
    np.testing.assert_allclose(litert_runner(data, "it")(inputs), wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize("runner", [onnx_runner, litert_runner])
def test_what_is_no_model_is_named(runner) -> None:
    with pytest.raises(ArtefactError, match="the file does not (load|run) in .* on this machine"):
        runner(b"no model", "the file")


@pytest.mark.parametrize(("build", "runner"), [(build_onnx, onnx_runner), (build_tflite, litert_runner)])
def test_inputs_of_another_shape_are_refused(build, runner) -> None:
    run = runner(build(image_to_image()), "the file")
    with pytest.raises(ArtefactError, match="the file does not run in"):
        run([np.zeros((1, 4, 5, 5), np.float32)] * 2)
