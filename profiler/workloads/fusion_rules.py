"""Which operators each runtime executes as one, and what it does not execute at all: the data behind `fusion.cut`.

Each entry was checked against what the runtime itself reports after its own optimisation, as far as it reports it:
those of onnxruntime for every pair of operators, against `optimised_graph`, by a test and by `edgecost fusion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from profiler.errors import ConfigError
from profiler.fleet.plugins import rules_of
from profiler.fleet.runtime_spec import OWN_KERNELS
from profiler.fleet.targets import Precision, Runtime

__all__ = ["FUSIONS", "Fusions", "Tail", "fusions_for"]

Tail = tuple[str, ...]
"""Kinds of operators behind the head of a kernel."""


@dataclass(frozen=True, slots=True)
class Fusions:
    """What one runtime makes of a graph before it runs it.

    Layouts are not modelled. Where they matter most, in onnxruntime fp32, a sum with a constant or with an input of
    the graph leaves the blocked layout, and the conversions there and back are in no kernel.

    Attributes:
        tails: head operator -> the sequences of operators that may follow it inside one kernel. Heads are operator
            kinds, but that convolutions are told apart as "conv2d" (also depthwise) and "grouped".
        merges_equal: operators without weights that compute the same thing are computed once.
        folds: which operators are computed when the model is loaded, if they depend on no input: all of them, those
            without weights, or none.
    """

    tails: Mapping[str, frozenset[Tail]]
    merges_equal: bool = False
    folds: Literal["all", "weightless", "none"] = "none"


def _tails(*sequences: str) -> frozenset[Tail]:
    """Sequences written as "add relu", each with all of its beginnings."""
    split = [tuple(sequence.split()) for sequence in sequences]
    return frozenset(words[:n] for words in split for n in range(1, len(words) + 1))


_MLAS_SUM = _tails("add relu", "add sigmoid", "add hsigmoid", "relu", "sigmoid", "hsigmoid")
_MLAS = _tails("relu", "sigmoid", "hsigmoid")
_NCHWC = _tails("add hswish", "hswish")  # of the blocked layout alone
_CLIP = _tails("relu6")
_CLAMPS = _tails("relu", "relu6")
_QUANTISED = (
    "conv2d", "grouped", "linear", "add", "mul", "avg_pool", "batch_norm",
    "sigmoid", "hsigmoid", "softmax", "concat", "split", "global_avg_pool", "flatten",
)  # fmt: skip
_XNNPACK_CLAMPED = ("conv2d", "grouped", "linear", "batch_norm", "add", "mul", "avg_pool", "max_pool")

FUSIONS: Mapping[tuple[Runtime, Precision], Fusions] = {
    # 1.31 on x86-64, optimised graph: Conv of com.microsoft.nchwc (a lone batch norm becomes one), FusedConv and
    # FusedGemm; a Clip behind a sum or a Gemm stays apart, and so does an h-swish that leaves the graph
    ("onnxruntime", "fp32"): Fusions(
        {
            "conv2d": _MLAS_SUM | _NCHWC | _CLIP,
            "grouped": _MLAS_SUM | _CLIP,
            "batch_norm": _MLAS_SUM | _NCHWC,
            "linear": _MLAS,
        },
        merges_equal=True,
        folds="all",
    ),
    # the quantiser removes a clamp whose input nothing else reads: the range of its output does its work; other
    # clamps, and those behind what keeps its input's scale or runs in float, run as a dequantise-quantise pair or in
    # float; QLinearConv of a constant is run every time
    ("onnxruntime", "int8"): Fusions(
        dict.fromkeys(_QUANTISED, _CLAMPS),
        folds="weightless",
    ),
    # a clamp is part of what makes its input, if nothing else reads that: by the file itself or by XNNPACK
    ("litert", "fp32"): Fusions(dict.fromkeys(_XNNPACK_CLAMPED, _CLAMPS)),
    ("litert", "int8"): Fusions(dict.fromkeys(_XNNPACK_CLAMPED, _CLAMPS)),
    # the executor's graph of a frozen trace: every operator apart, equal ones merged
    ("torch", "fp32"): Fusions({}, merges_equal=True, folds="all"),
}
"""The rules by runtime and precision."""

_NOTHING_FUSED = Fusions({})


def fusions_for(runtime: Runtime, precision: Precision) -> Fusions:
    """The rules of one runtime and precision; a plug-in goes by those of the built-in runtime that it names.

    Raises:
        ConfigError: where there are none.
    """
    name = rules_of(runtime)
    rules = _NOTHING_FUSED if name == OWN_KERNELS else FUSIONS.get((name, precision))
    if rules is None:
        known = ", ".join(f"{r} {p}" for r, p in FUSIONS)
        raise ConfigError(f"no fusion rules for {runtime} {precision}; there are some for {known}")
    return rules
