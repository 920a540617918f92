"""Seeded inputs, and the comparison of outputs with the host's reference: a wrong or empty kernel must not win."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

FP32_TOLERANCE = 1e-2
"""Largest difference at any position compared, relative to the rms of the whole reference output."""

INT8_LEAST_SNR_DB = 8.0
"""Least signal-to-noise ratio over the positions compared."""


class Comparison(NamedTuple):
    """What came of it.

    Attributes:
        error: relative to the reference's rms: the largest difference (fp32) or the rms difference (int8); None where
            there is no such number.
        problem: one sentence where the outputs do not agree, else "".
    """

    error: Optional[float]
    problem: str


def seeded_inputs(shapes: Sequence[Sequence[int]]) -> List[Any]:
    """The float32 inputs that the host used for its reference, channel-first: uniform in [-1, 1), seeded by [0, i]."""
    import numpy

    return [
        numpy.random.default_rng([0, i]).uniform(-1, 1, tuple(shape)).astype(numpy.float32)
        for i, shape in enumerate(shapes)
    ]


def to_layout(array: Any, layout: str) -> Any:
    """A channel-first array in an artefact's layout ("nchw" or "nhwc")."""
    import numpy

    return numpy.ascontiguousarray(array.transpose(0, 2, 3, 1) if layout == "nhwc" and array.ndim == 4 else array)


def flatten(array: Any, layout: str) -> Any:
    """An output in an artefact's layout as float64 of shape (n,), channel-first."""
    import numpy

    values = numpy.asarray(array, dtype=numpy.float64)
    return (values.transpose(0, 3, 1, 2) if layout == "nhwc" and values.ndim == 4 else values).ravel()


def quantise(values: Any, dtype: Any, scale: float, zero_point: int) -> Any:
    """Real values as integers of `dtype`; unchanged where the tensor has no scale."""
    import numpy

    if not scale:
        return values.astype(dtype)
    limits = numpy.iinfo(dtype)
    return numpy.clip(numpy.rint(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantise(values: Any, scale: float, zero_point: int) -> Any:
    """Integers as the real values that they stand for; unchanged where the tensor has no scale."""
    import numpy

    return (values.astype(numpy.float64) - zero_point) * scale if scale else values


def compare(found: Any, expected: Dict[str, Any], precision: str) -> Comparison:
    """Judge an output.

    Args:
        found: (n,) float64, channel-first.
        expected: the reference: `size`, `rms`, and its `values` at `indices`.
        precision: "fp32" or "int8".
    """
    import numpy

    if found.size != expected["size"]:
        return Comparison(None, "the output holds %d values instead of %d" % (found.size, expected["size"]))
    if not numpy.isfinite(found).all():
        return Comparison(None, "the output holds NaN or infinity")
    reference = numpy.asarray(expected["values"], dtype=numpy.float64)
    differences = found[numpy.asarray(expected["indices"], dtype=numpy.int64)] - reference
    # an output of nothing but zeros has no scale of its own: then differences count as they are
    rms = expected["rms"] or 1.0
    if precision == "fp32":
        error = float(numpy.abs(differences).max()) / rms
        wrong = error > FP32_TOLERANCE
        return Comparison(error, "the output is off by %.2g of its rms" % error if wrong else "")
    noise = float(numpy.mean(differences**2))
    error = math.sqrt(noise) / rms
    signal = float(numpy.mean(reference**2)) or rms * rms
    snr_db = 10 * math.log10(signal / noise) if noise > 0 else math.inf
    wrong = snr_db < INT8_LEAST_SNR_DB
    return Comparison(error, "the output's signal-to-noise ratio is only %.1f dB" % snr_db if wrong else "")
