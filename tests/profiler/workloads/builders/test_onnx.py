from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import sample_workloads
from artefact_runners import relative_error, run_onnx, snr_db

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import IR_VERSION, OPSET, build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.weights import seeded_inputs, seeded_weights

OPERATORS = sample_workloads.operators()


def node_counts(data):
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


@pytest.mark.parametrize("name", OPERATORS)
def test_files_are_valid_and_shapes_are_those_of_the_workload(name):
    workload = OPERATORS[name]
    model = onnx.load_from_string(build_onnx(workload))
    onnx.checker.check_model(model, full_check=True)

    def shape(value):
        return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)

    assert [shape(value) for value in model.graph.input] == [workload.shapes[i][0] for i in workload.inputs]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert [shape(value) for value in inferred.graph.output] == [workload.shape(ref) for ref in workload.outputs]


def test_versions_are_old_enough_for_old_boards():
    model = onnx.load_from_string(build_onnx(OPERATORS["relu"]))
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET) == (8, 17)


def test_bytes_are_the_same_every_time():
    workload = sample_workloads.mbconv()
    assert build_onnx(workload) == build_onnx(workload)


def test_norms_are_folded_and_nothing_idle_is_left():
    counts = node_counts(build_onnx(sample_workloads.nb201_cell()))
    assert counts == {"Conv": 3, "Relu": 2, "AveragePool": 1, "Add": 2}


def test_convolution_by_hand():
    b = WorkloadBuilder()
    workload = b.build(b.conv2d(b.input((1, 1, 3, 3)), 1, (1, 2), padding=(0, 1, 0, 0), bias=True))
    weights = {1: {"weight": np.array([[[[10.0, 1.0]]]], np.float32), "bias": np.array([0.5], np.float32)}}
    image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    (output,) = run_onnx(build_onnx(workload, weights), [image])
    # padded by one column at the left only
    np.testing.assert_allclose(output[0, 0], [[0.5, 1.5, 12.5], [3.5, 34.5, 45.5], [6.5, 67.5, 78.5]])


@pytest.mark.parametrize(("counted", "corner"), [(False, 1.0), (True, 4 / 9)])
def test_padding_in_means_by_hand(counted, corner):
    b = WorkloadBuilder()
    x = b.input((1, 1, 4, 4))
    workload = b.build(b.avg_pool(x, 3, stride=1, padding=1, count_include_pad=counted))
    (output,) = run_onnx(build_onnx(workload), [np.ones((1, 1, 4, 4), np.float32)])
    assert output[0, 0, 0, 0] == pytest.approx(corner)
    assert output[0, 0, 1, 1] == pytest.approx(1.0)


def test_a_tensor_may_leave_twice_and_an_input_may_leave():
    b = WorkloadBuilder()
    x = b.input((1, 4))
    y = b.softmax(x)
    workload = b.build(y, x, y, b.zero(x))
    inputs = seeded_inputs(workload)
    for data in (build_onnx(workload), build_onnx_int8(workload)):
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
        first, second, third, fourth = run_onnx(data, inputs)
        np.testing.assert_allclose(first, third, atol=0.002)
        np.testing.assert_allclose(second, inputs[0], atol=0.01)
        assert not fourth.any()


def test_people_may_name_ops_alike():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8), name="x")
    workload = b.build(b.conv2d(b.conv2d(x, 4, name="conv"), 4, name="conv"))
    assert run_onnx(build_onnx(workload), seeded_inputs(workload))[0].shape == (1, 4, 8, 8)


def test_given_weights_are_used():
    workload = OPERATORS["linear vector"]
    (seeded,) = run_onnx(build_onnx(workload), seeded_inputs(workload))
    doubled = {i: {name: 2 * a for name, a in arrays.items()} for i, arrays in seeded_weights(workload).items()}
    (other,) = run_onnx(build_onnx(workload, doubled), seeded_inputs(workload))
    assert relative_error(2 * seeded, other) < 1e-6
    (quantised,) = run_onnx(build_onnx_int8(workload, doubled), seeded_inputs(workload))
    assert snr_db(other, quantised) > 25


def test_weights_that_do_not_fit_are_refused():
    for build in (build_onnx, build_onnx_int8):
        with pytest.raises(ArtefactError, match="needs weights"):
            build(OPERATORS["conv 3x3"], {})


def test_int8_weights_are_per_channel_and_io_stays_float():
    model = onnx.load_from_string(build_onnx_int8(OPERATORS["conv 3x3"]))
    onnx.checker.check_model(model, full_check=True)
    arrays = {init.name: onnx.numpy_helper.to_array(init) for init in model.graph.initializer}
    assert arrays["w1_weight_quantized"].dtype == np.int8
    assert arrays["w1_weight_scale"].shape == (16,)
    assert arrays["input_0_zero_point"].dtype == np.uint8
    io = [*model.graph.input, *model.graph.output]
    assert {value.type.tensor_type.elem_type for value in io} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("name", ["avg_pool", "max_pool", "hswish", "flatten", "concat", "add", "sigmoid", "linear"])
def test_every_kind_is_quantised_alone_too(name):
    """Otherwise a chain of it would run in float, unlike inside a network."""
    counts = node_counts(build_onnx_int8(OPERATORS[name]))
    assert counts["QuantizeLinear"] >= 2


def test_int8_output_beside_a_relu_keeps_its_negative_values():
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 4, 8, 8)), 4, 3)
    workload = b.build(b.relu(x), x)
    wanted = run_onnx(build_onnx(workload), seeded_inputs(workload))
    got = run_onnx(build_onnx_int8(workload), seeded_inputs(workload))
    assert wanted[1].min() < -0.5
    assert min(snr_db(a, b) for a, b in zip(wanted, got, strict=True)) > 25


def test_relu_costs_nothing_in_int8():
    counts = node_counts(build_onnx_int8(OPERATORS["conv relu"]))
    assert counts["Relu"] == 0


def test_quantising_leaves_no_trace(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root = logging.getLogger()
    handlers, disabled = list(root.handlers), root.manager.disable
    build_onnx_int8(OPERATORS["batch_norm"])
    build_onnx_int8(OPERATORS["global_avg_pool"])
    assert list(Path(tmp_path).iterdir()) == []
    assert (list(root.handlers), root.manager.disable) == (handlers, disabled)
    assert capfd.readouterr() == ("", "")
