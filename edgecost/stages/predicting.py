"""What an ONNX file would cost on a target: layer by layer, with what is not known of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import finite
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from edgecost.stages.fitted import Fitted
    from predictors.base import Prediction
    from profiler.tables.row import Row
    from profiler.workloads.importer import Imported
    from profiler.workloads.ops import Shape

__all__ = ["parse_shapes", "predict_file", "read_model", "with_measurement"]


def parse_shapes(texts: Sequence[str]) -> dict[str, Shape]:
    """Shapes as people write them: "1,3,224,224", or "image=1,3,224,224" where there are several inputs.

    Raises:
        ConfigError: for anything else.
    """
    found: dict[str, Shape] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1 or name in found:
            raise ConfigError(
                f"--input-shape {text!r} is no shape: write one as 1,3,224,224, or as NAME=1,3,224,224, once an input"
            )
        found[name] = shape
    return found


def read_model(path: Path, input_shapes: Mapping[str, Shape]) -> Imported:
    """A file as a workload with its name, and what could not be read.

    Raises:
        ConfigError: where it is no ONNX file, is damaged, or has dynamic shapes.
        UnsupportedOperator: where no operator at all could be read.
    """
    from dataclasses import replace

    from profiler.workloads.importer import read_onnx

    read = read_onnx(path, input_shapes)
    return replace(read, workload=replace(read.workload, name=path.name))


def predict_file(fitted: Fitted, read: Imported, path: Path) -> dict[str, Any]:
    """What a file that was read costs on the target of a predictor; unknown operators make it a lower bound.

    Of kinds of kernels that were never measured on the target the answer says so, and which command measures them:
    what they are priced at is what others cost.
    """
    found = fitted.model.estimate(read.workload)
    layers = [
        {"label": p.label, "kind": p.kind, "latency_ms": finite(p.latency_ms), "source": p.source} for p in found.by_op
    ]
    complete = found.complete and not read.unsupported
    unmeasured = _unmeasured(found, fitted.kinds)
    return {
        "target": fitted.target_id,
        "model": str(path),
        "latency_ms": found.latency_ms,
        "low_ms": finite(found.low_ms),
        "high_ms": finite(found.high_ms) if complete else None,
        "level": found.level,
        "complete": complete,
        "interval": found.interval,
        "cut": fitted.cut,
        "simulated": fitted.simulated,
        "notes": list(read.notes),
        "macs": read.workload.macs,
        "params": read.workload.params,
        "layers": layers,
        "not_covered": [*found.missing, *(f"{u.name or u.op_type}: {u.reason}" for u in read.unsupported)],
        "unsupported": [{"name": u.name, "op_type": u.op_type, "reason": u.reason} for u in read.unsupported],
        "never_measured": unmeasured,
        "measure_with": f"edgecost profile --target {fitted.target_id} --model {path}" if unmeasured else "",
        "sentence": _sentence(found, complete),
    }


def _sentence(found: Prediction, complete: bool) -> str:
    if complete:
        return f"total {found.latency_ms:.3f} ms ({found.low_ms:.3f} to {found.high_ms:.3f} ms at {found.level:.0%})"
    return f"at least {found.latency_ms:.3f} ms: a lower bound, since parts are not covered"


def _unmeasured(found: Prediction, kinds: frozenset[str]) -> list[dict[str, Any]]:
    """The kinds of kernels without any row, how many kernels there are of each, and what these are priced at."""
    parts = [p for p in found.by_op if p.source in ("regressor", "missing") and p.kind not in kinds]
    counts = Counter(p.kind for p in parts)
    return [
        {
            "kind": kind,
            "kernels": count,
            "latency_ms": finite(math.fsum(p.latency_ms for p in parts if p.kind == kind)),
        }
        for kind, count in sorted(counts.items())
    ]


def with_measurement(answer: dict[str, Any], row: Row, what: str) -> dict[str, Any]:
    """The answer with what was measured beside what was predicted.

    Args:
        answer: what `predict_file` gave.
        row: the measurement.
        what: what was measured, in words.
    """
    from edgecost.stages.measuring import interval_ms

    figures = interval_ms(row)
    measured, predicted = figures["measured_ms"], answer["latency_ms"]
    bound = "" if answer["complete"] else ", and only a lower bound"
    sentence = (
        f"measured {measured:.3f} ms ({figures['low_ms']:.3f} to {figures['high_ms']:.3f}) of {what}; "
        f"predicted {predicted:.3f} ms, off by {100 * (predicted / measured - 1):+.1f} %{bound}"
    )
    return {**answer, "measured": {**figures, "what": what, "off_by": predicted / measured - 1, "sentence": sentence}}
