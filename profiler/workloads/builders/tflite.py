"""Workload -> .tflite file, float32 or full int8, written directly as a flatbuffer.

Inside, images are channel-last; inputs and outputs come in the workload's order with (N, C, H, W) turned into
(N, H, W, C). Norms are folded; relu and relu6 become part of the layer, sum or product before them.
"""

from __future__ import annotations

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.tflite_lowering import Float32Numbers, Lowering, Numbers
from profiler.workloads.calibration import Calibration
from profiler.workloads.graph import Workload
from profiler.workloads.weights import Weights

__all__ = ["build_tflite", "build_tflite_int8"]


def build_tflite(workload: Workload, weights: Weights | None = None) -> bytes:
    """The workload as a float32 .tflite file.

    Args:
        workload: what to lower.
        weights: by op index; by default drawn from the workload's seed.

    Raises:
        UnsupportedOperator: for an operator kind or a rank without a lowering.
        ArtefactError: where the weights do not fit, or the packages of the extra "litert" are missing.
    """
    simple, arrays = _prepared(workload, weights)
    return _lower(simple, arrays, Float32Numbers())


def build_tflite_int8(
    workload: Workload, weights: Weights | None = None, calibration: Calibration | None = None
) -> bytes:
    """The workload as a full int8 .tflite file: int8 inputs and outputs, each with its own scale and zero point.

    Ranges are calibrated here by running the workload in float32 on seeded or on given inputs. Two limits are the
    format's own: softmax and sigmoid come in steps of 1/256, so a softmax over hundreds of classes loses most of
    its small values; and linear layers, with one scale a channel, need a newer runtime than tflite-runtime 2.14,
    which refuses to load them.

    Args:
        workload: what to lower.
        weights: by op index; by default drawn from the workload's seed.
        calibration: the inputs from which ranges are taken; by default seeded ones, see `tflite_int8.calibrate`.

    Raises:
        UnsupportedOperator: for an operator kind or a rank without a lowering.
        ArtefactError: where weights or calibration do not fit, or the packages of the extra "litert" are missing.
    """
    from profiler.workloads.builders.tflite_int8 import Int8Numbers, calibrate, quantizations

    simple, arrays = _prepared(workload, weights)
    return _lower(simple, arrays, Int8Numbers(quantizations(simple, calibrate(simple, arrays, calibration))))


def _prepared(workload: Workload, weights: Weights | None) -> tuple[Workload, Weights]:
    from profiler.workloads.transform import simplify
    from profiler.workloads.weights import seeded_weights

    return simplify(workload, seeded_weights(workload) if weights is None else weights)


def _lower(workload: Workload, weights: Weights, numbers: Numbers) -> bytes:
    from profiler.workloads.builders.tflite_ops import HANDLERS

    missing = tuple(dict.fromkeys(op.kind for op in workload.ops if op.kind not in HANDLERS))
    if missing:
        raise UnsupportedOperator(f"no .tflite lowering for {', '.join(missing)}", missing)
    lowering = Lowering(workload, weights, numbers)
    absorbed = set(lowering.fused.values())
    for index, op in enumerate(workload.ops):
        if index not in absorbed:
            HANDLERS[op.kind](lowering, index)
    return lowering.pack()
