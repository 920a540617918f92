"""Peak memory: the weights and the most activations alive at once, counted; and fitted to measured peaks where given.

    model = MemoryModel().fit(table, "rpi5/onnxruntime-fp32-t1")     # counts; no journal holds peaks
    model.fit(networks, peaks_bytes, base=target)                    # learns from peaks of one's own
    model.predict(workloads)                                         # (n,) float64 in bytes

Activations are those between kernels: what fused operators hand to each other is never stored. The count is what any
runtime needs at least that keeps all weights and frees every tensor after its last reader. Its own code, buffers of its
convolutions and copies in other layouts come on top, so that without measured peaks the interval has no upper end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.inputs import check_units, checked_values
from predictors.intervals import Residuals, leave_one_out
from predictors.measured import MIN_FIT_MODELS, Measurements, content_sha256
from predictors.regressors import nonnegative_fit, row_sums
from predictors.scikit import Predictor
from profiler.errors import ConfigError, UnknownWorkload
from profiler.fleet.targets import Target
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Ref, Workload

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["COUNTED", "MemoryModel", "MemoryPart", "MemoryPrediction"]

FloatArray = NDArray[np.float64]

COUNTED = "counted, not measured: weights and the most activations alive at once, which a runtime needs at least"
"""What a prediction without measured peaks says of its interval."""

_BYTES = {"fp32": 4, "int8": 1}
_BIAS_BYTES = 4  # int8 files hold biases as int32


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One thing that is in memory at the peak: all weights, a tensor by its shape, or what was learned besides."""

    label: str
    kind: str
    peak_bytes: float


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """A peak with its interval and its parts.

    Attributes:
        peak_bytes: expected; a lower bound where `measured` is False.
        low_bytes, high_bytes: the interval at `level`; without measured peaks `high_bytes` is infinite.
        by_op: what is in memory then; the sum is `peak_bytes`.
        missing: always empty: everything that a workload holds can be counted.
        level: nominal coverage of the interval.
        interval: in words, what the interval is made of.
        measured: whether peaks were learned from.
    """

    peak_bytes: float
    low_bytes: float
    high_bytes: float
    by_op: tuple[MemoryPart, ...]
    missing: tuple[str, ...] = ()
    level: float = 0.9
    interval: str = COUNTED
    measured: bool = False

    @property
    def complete(self) -> bool:
        """Always true."""
        return not self.missing

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form; None stands for what is not finite."""
        data = asdict(self)
        data["high_bytes"] = self.high_bytes if math.isfinite(self.high_bytes) else None
        return {**data, "missing": list(self.missing), "by_op": [asdict(part) for part in self.by_op]}


class MemoryModel(Predictor):
    """A model of the peak memory of workloads on one target.

    Args:
        level: nominal coverage of the intervals.

    Attributes:
        constant_bytes_, scale_: what was learned: peak = constant + scale x count; 0 and 1 where nothing was.
        residuals_: relative leave-one-out errors of that; None where nothing was learned.
    """

    name = "memory"

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    def fit(
        self,
        table: CostTable | Sequence[Workload],
        target_id: str | ArrayLike,
        *,
        base: Measurements | Target | None = None,
    ) -> Self:
        """Take a target's precision and fusion, so that peaks can be counted; or learn from measured peaks.

        Args:
            table: holds the target; or n whole networks.
            target_id: one of its targets; or (n,) peaks of the networks in bytes.
            base: with networks: what they were measured on.

        Raises:
            UnknownWorkload: where the table lacks the target, or there are fewer than three networks.
            ConfigError: networks without `base`, or peaks that nothing can be learned from.
        """
        if isinstance(target_id, str):
            self._set_target(cast("CostTable", table).target(target_id))
            self.constant_bytes_, self.scale_, self.residuals_ = 0.0, 1.0, None
            self.measurements_sha256_ = content_sha256([self.target_id_, []])
            return self
        if base is None:
            raise ConfigError("peaks are of a target; add base=target, in cross_val_score as params={'base': target}")
        networks = list(cast("Sequence[Workload]", table))
        peaks = checked_values(networks, target_id, "bytes")
        self._set_target(base)
        if len(networks) < MIN_FIT_MODELS:
            raise UnknownWorkload(
                f"the memory model needs {MIN_FIT_MODELS} networks with measured peaks on {self.target_id_} and was "
                f"given {len(networks)}; without any, fit(table, target_id) counts"
            )
        check_units(networks, peaks)
        design = np.column_stack([np.ones(len(networks)), self._counts(networks)])
        self.constant_bytes_, self.scale_ = map(float, nonnegative_fit(design, peaks, 1.0 / peaks))
        self.residuals_ = Residuals(leave_one_out(_fit_predict, design, peaks, 1.0 / peaks), n_params=2)
        rows = sorted([w.key, float(peak)] for w, peak in zip(networks, peaks, strict=True))
        self.measurements_sha256_ = content_sha256([self.target_id_, rows])
        return self

    def predict(self, workloads: Sequence[Workload]) -> FloatArray:
        """Peaks in bytes, shape (n,). ConfigError before `fit`."""
        self._check_fitted()
        return self.constant_bytes_ + self.scale_ * self._counts(list(workloads))

    def estimate(self, workload: Workload) -> MemoryPrediction:
        """One workload's peak with its interval and what is in memory then. ConfigError before `fit`."""
        self._check_fitted()
        counted = self._parts(workload)
        count = math.fsum(part.peak_bytes for part in counted)
        peak = self.constant_bytes_ + self.scale_ * count
        if self.residuals_ is None:
            return MemoryPrediction(peak, peak, math.inf, counted, level=self.level)
        besides = MemoryPart("what the runtime takes besides", "overhead", peak - count)
        half, how = self.residuals_.half_width(self.level)
        width = half * peak if math.isfinite(half) else math.inf
        return MemoryPrediction(
            peak, max(peak - width, 0.0), peak + width, (*counted, besides), level=self.level,
            interval=f"errors of whole models ({how})", measured=True,
        )  # fmt: skip

    def estimate_many(self, workloads: Sequence[Workload]) -> list[MemoryPrediction]:
        """`estimate` for several workloads."""
        return [self.estimate(workload) for workload in workloads]

    # ---------------------------------------------------------------- counting

    def _counts(self, workloads: Sequence[Workload]) -> FloatArray:
        counts = [math.fsum(part.peak_bytes for part in self._parts(w)) for w in workloads]
        return np.array(counts, dtype=np.float64)

    def _parts(self, workload: Workload) -> tuple[MemoryPart, ...]:
        """The weights, and the activations alive at the peak."""
        size = _BYTES[self.precision_]
        kernels = cut(workload, self.runtime_, self.precision_)
        weights = sum(
            prod(shape) * (_BIAS_BYTES if name == "bias" else size)
            for kernel in kernels
            for i in kernel.workload.compute_ops
            for name, shape in kernel.workload.param_shapes(i).items()
        )
        alive = _peak(workload, [kernel.ops for kernel in kernels])
        tensors = [
            MemoryPart(f"{workload.ops[ref[0]].kind} {'x'.join(map(str, workload.shape(ref)))}", "activation",
                       float(prod(workload.shape(ref)) * size))
            for ref in alive
        ]  # fmt: skip
        return (MemoryPart("weights", "weights", float(weights)), *tensors)

    # ---------------------------------------------------------------- plain values

    def state(self) -> dict[str, Any]:
        """What `fit` learned, as JSON-able values."""
        residuals = None if self.residuals_ is None else list(self.residuals_.relative)
        return {"constant_bytes": self.constant_bytes_, "scale": self.scale_, "residuals": residuals}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned."""
        self.constant_bytes_, self.scale_ = float(state["constant_bytes"]), float(state["scale"])
        found = state["residuals"]
        self.residuals_ = None if found is None else Residuals(tuple(float(r) for r in found), n_params=2)

    def _set_target(self, base: Measurements | Target) -> None:
        self.target_id_ = base.target_id if isinstance(base, Measurements) else base.id
        self.runtime_, self.precision_ = base.runtime, base.precision


def _peak(workload: Workload, groups: Sequence[tuple[int, ...]]) -> list[Ref]:
    """The tensors alive when most bytes are, kernels running in their order; the first such moment."""
    inside = {index for group in groups for index in group}

    def stored(ref: Ref) -> Ref:
        """The tensor that a reference is a view of: operators in no kernel only pass on what they read."""
        op = workload.ops[ref[0]]
        return stored(op.inputs[0]) if ref[0] not in inside and op.inputs else ref

    last: dict[Ref, int] = {}
    reads: list[list[Ref]] = []
    for step, group in enumerate(groups):
        own = set(group)
        found = [stored(ref) for index in group for ref in workload.ops[index].inputs]
        reads.append([ref for ref in found if ref[0] not in own])
        last |= dict.fromkeys(reads[-1], step)
    last |= dict.fromkeys((stored(ref) for ref in workload.outputs), len(groups))
    alive = [ref for ref in last if workload.ops[ref[0]].kind == "input"]
    best, most = list(alive), sum(prod(workload.shape(ref)) for ref in alive)
    for step, group in enumerate(groups):
        own = set(group)
        alive += [ref for ref in last if ref[0] in own]
        total = sum(prod(workload.shape(ref)) for ref in alive)
        if total > most:
            best, most = list(alive), total
        alive = [ref for ref in alive if last[ref] > step]
    return best


def _fit_predict(design: FloatArray, peaks: FloatArray, weights: FloatArray, held: FloatArray) -> FloatArray:
    return row_sums(held, nonnegative_fit(design, peaks, weights))
