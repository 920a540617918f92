"""Blocks, stems and heads, alone and in the stretches they are measured in, compute the same in every lowering."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sample_workloads
from artefact_runners import relative_error, run_onnx, run_tflite, run_torchscript, snr_db

from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.torch import build_torchscript
from profiler.workloads.isolation import block_jobs
from profiler.workloads.weights import seeded_inputs

FP32_ERROR = 1e-4
INT8_SNR_DB = 20.0
"""Lower than for single operators: an unseen input may leave the calibrated range of a gate of a few values."""

NETWORK_PARAMS = 20_000
PARTS = sample_workloads.network_parts()


@cache
def stretch(name, runtime, precision, m):
    (plan,) = [plan for plan in block_jobs([PARTS[name]], runtime, precision, NETWORK_PARAMS) if plan.is_block]
    return plan.isolation.workload(m)


@cache
def reference(workload):
    return run_onnx(build_onnx(workload), seeded_inputs(workload))


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize(
    ("runtime", "build", "run"),
    [("torch", build_torchscript, run_torchscript), ("litert", build_tflite, run_tflite)],
    ids=["torchscript", "tflite"],
)
@pytest.mark.parametrize("name", PARTS)
def test_fp32_lowerings_agree(name, runtime, build, run, m):
    workload = stretch(name, runtime, "fp32", m)
    (wanted,), (got,) = reference(workload), run(build(workload), seeded_inputs(workload))
    assert np.isfinite(wanted).all()
    assert relative_error(wanted, got) <= FP32_ERROR


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize(
    ("runtime", "build", "run"),
    [("onnxruntime", build_onnx_int8, run_onnx), ("litert", build_tflite_int8, run_tflite)],
    ids=["onnx", "tflite"],
)
@pytest.mark.parametrize("name", PARTS)
def test_int8_lowerings_are_near_fp32(name, runtime, build, run, m):
    workload = stretch(name, runtime, "int8", m)
    (wanted,), (got,) = reference(workload), run(build(workload), seeded_inputs(workload))
    assert snr_db(wanted, got) >= INT8_SNR_DB
