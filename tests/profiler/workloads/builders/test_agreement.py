"""The lowerings of one workload compute the same: every operator, the blocks and whole networks, float32 and int8."""

from __future__ import annotations

from functools import cache

import pytest
import sample_workloads
from artefact_runners import relative_error, run_onnx, run_tflite, run_torchscript, snr_db

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.torch import build_torchscript
from profiler.workloads.graph import Workload
from profiler.workloads.ops import OP_SPECS
from profiler.workloads.weights import seeded_inputs

FP32_ERROR = 1e-4
INT8_SNR_DB = 25.0
APART_DB = 5.0
"""How much stronger than int8's noise the difference between two inputs' outputs must be."""
UNSEEN_SEEDS = (4711, 4712)
"""Of inputs that no calibration has met."""

FLOAT_ONLY = {"clip", "div", "elu", "erf", "exp", "gelu", "layer_norm", "leaky_relu"}
FLOAT_ONLY |= {"matmul", "pad", "resize", "sqrt", "sub", "tanh"}
"""Kinds without a kernel of full int8 that .tflite files could use."""
TENSORS = sample_workloads.tensor_operators()
SAMPLES = {**sample_workloads.operators(), **sample_workloads.blocks(), **sample_workloads.networks()}


@cache
def reference(name):
    workload = {**SAMPLES, **TENSORS}[name]
    return run_onnx(build_onnx(workload), seeded_inputs(workload))


def trunk(workload):
    """The network up to its last global pooling, which averages most of the noise away."""
    pool = max(i for i, op in enumerate(workload.ops) if op.kind == "global_avg_pool")
    return Workload(workload.ops, workload.ops[pool].inputs, seed=workload.seed).pruned()


def test_every_operator_is_sampled():
    assert {op.kind for workload in (*SAMPLES.values(), *TENSORS.values()) for op in workload.ops} == set(OP_SPECS)


@pytest.mark.parametrize(
    ("build", "run"),
    [(build_torchscript, run_torchscript), (build_tflite, run_tflite)],
    ids=["torchscript", "tflite"],
)
@pytest.mark.parametrize("name", [*SAMPLES, *TENSORS])
def test_fp32_lowerings_agree(name, build, run):
    workload = {**SAMPLES, **TENSORS}[name]
    if build is build_tflite and name == "erf":
        with pytest.raises(UnsupportedOperator, match="erf"):
            build(workload)
        return
    outputs = run(build(workload), seeded_inputs(workload))
    for wanted, got in zip(reference(name), outputs, strict=True):
        assert relative_error(wanted, got) <= FP32_ERROR


@pytest.mark.parametrize(
    ("build", "run"),
    [(build_onnx_int8, run_onnx), (build_tflite_int8, run_tflite)],
    ids=["onnx", "tflite"],
)
@pytest.mark.parametrize("name", SAMPLES)
def test_int8_lowerings_are_near_fp32(name, build, run):
    workload = SAMPLES[name]
    data = build(workload)
    outputs = run(data, seeded_inputs(workload))
    for wanted, got in zip(reference(name), outputs, strict=True):
        assert snr_db(wanted, got) >= INT8_SNR_DB


@pytest.mark.parametrize(
    ("build", "run"),
    [(build_onnx_int8, run_onnx), (build_tflite_int8, run_tflite)],
    ids=["onnx", "tflite"],
)
@pytest.mark.parametrize("name", TENSORS)
def test_int8_of_other_kinds_is_near_fp32_or_refused(name, build, run):
    workload = TENSORS[name]
    kinds = {op.kind for op in workload.ops}
    if build is build_tflite_int8 and kinds & FLOAT_ONLY:
        with pytest.raises(UnsupportedOperator) as refused:
            build(workload)
        assert set(refused.value.operators) <= kinds
        return
    outputs = run(build(workload), seeded_inputs(workload))
    for wanted, got in zip(reference(name), outputs, strict=True):
        assert snr_db(wanted, got) >= 20


@pytest.mark.parametrize(
    ("build", "run"),
    [(build_onnx_int8, run_onnx), (build_tflite_int8, run_tflite)],
    ids=["onnx", "tflite"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["network", "before pooling"])
@pytest.mark.parametrize("name", sample_workloads.networks())
def test_int8_networks_tell_unseen_inputs_apart(name, whole, build, run):
    """A network's outputs are alike for any input, so int8 must be much nearer to fp32 than two inputs are."""
    workload = SAMPLES[name] if whole else trunk(SAMPLES[name])
    fp32 = build_onnx(workload)
    first, second = (run_onnx(fp32, seeded_inputs(workload, seed))[0] for seed in UNSEEN_SEEDS)
    int8 = run(build(workload), seeded_inputs(workload, UNSEEN_SEEDS[0]))[0]
    assert snr_db(first, int8) >= snr_db(first, second) + APART_DB
    assert snr_db(first, int8) >= (INT8_SNR_DB if whole else 22)


def test_the_fp32_bar_can_be_missed():
    workload = SAMPLES["conv 3x3"]
    other = Workload(workload.ops, workload.outputs, seed=1)
    outputs = run_onnx(build_onnx(other), seeded_inputs(other))
    assert relative_error(reference("conv 3x3")[0], outputs[0]) > 0.1
