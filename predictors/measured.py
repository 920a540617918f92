"""What models are fitted on: one target's rows of a cost table, in ms, joined with their workloads.

Everything that models know about the table's form is here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.inputs import checked_values
from predictors.intervals import normal_quantile, t_quantile
from profiler.errors import UnknownWorkload
from profiler.fleet.targets import Precision, Runtime, Target
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import isolate

if TYPE_CHECKING:
    from profiler.tables.table import CostTable, Row

__all__ = [
    "BESIDE_ERROR",
    "MIN_FIT_MODELS",
    "KernelPoint",
    "Measurements",
    "ModelPoint",
    "content_sha256",
    "model_points",
]

NS_PER_MS = 1e6

MODEL_ERROR = 0.05
"""Relative error to be expected of a model of cost itself; it bounds the weight of an exact measurement."""
MIN_FIT_MODELS = 3
"""Below this many whole models of split "fit" nothing is fitted on them: a line through two points has no residual."""


BESIDE_ERROR = 0.05
"""What stands beside a kernel that is timed costs there what it costs in a stretch of its own to within so much of it.
Seen where kernels cheaper than what stood beside them were timed alone too, in LiteRT, whose runs cost next to nothing
more than their kernels: half of the differences lay within 3 % of what stood beside, a tenth beyond 13 %."""


@dataclass(frozen=True, slots=True)
class KernelPoint:
    """One measured kernel: its marginal cost, the cost of running it alone, and the uncertainty of the former.

    Attributes:
        beside_ms: what stood beside it when it was timed, and was subtracted.
    """

    key: str
    label: str
    kernel: Kernel
    latency_ms: float
    sd_ms: float
    isolated_ms: float | None
    beside_ms: float = 0.0

    @property
    def doubt_ms(self) -> float:
        """The uncertainty as a figure to learn from and to be judged by: `sd_ms`, which is what rounds and samples
        show, and that of what was subtracted, which all rounds share."""
        return math.hypot(self.sd_ms, BESIDE_ERROR * self.beside_ms)

    @property
    def alone(self) -> KernelPoint | None:
        """The kernel at what it costs alone, where that was measured. Of that no interval is kept; that of the marginal
        cost stands in, relative to its value."""
        if self.isolated_ms is None:
            return None
        sd_ms = self.isolated_ms * self.sd_ms / self.latency_ms if self.latency_ms else 0.0
        return replace(self, latency_ms=self.isolated_ms, sd_ms=sd_ms)


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """One whole model measured end to end; `sd_ms` is the uncertainty of its median over rounds."""

    key: str
    label: str
    workload: Workload
    latency_ms: float
    sd_ms: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that a model of one target may learn from: kernel rows and whole models of split "fit".

    Attributes:
        target_id, runtime, precision: of the target.
        kernels, models: rows with a usable figure, sorted by key.
        pairs: the same kernels where they were chained in pairs, which is measured apart; for models that want it.
        sha256: hash of these figures.
    """

    target_id: str
    runtime: Runtime
    precision: Precision
    kernels: tuple[KernelPoint, ...]
    models: tuple[ModelPoint, ...]
    pairs: tuple[KernelPoint, ...] = ()

    @property
    def sha256(self) -> str:
        """Identity of the figures: equal for equal rows, wherever they are stored."""
        kernels = [[k.key, k.latency_ms, k.sd_ms, k.isolated_ms] for k in self.kernels]
        models = [[m.key, m.latency_ms, m.sd_ms] for m in self.models]
        pairs = [[[k.key, k.latency_ms, k.sd_ms] for k in self.pairs]] if self.pairs else []
        return content_sha256([self.target_id, kernels, models, *pairs])

    @classmethod
    def from_table(cls, table: CostTable, target_id: str, pairs: CostTable | None = None) -> Measurements:
        """Read one target's rows; `pairs` is a table of kernels that were chained in pairs.

        Raises:
            UnknownWorkload: where the table has no such target.
        """
        target = table.target(target_id)
        models = model_points(table, target_id, "fit")
        kernels, paired = _kernel_points(table, target), () if pairs is None else _kernel_points(pairs, target)
        return cls(target_id, target.runtime, target.precision, kernels, models, paired)

    @classmethod
    def of_networks(
        cls, workloads: Sequence[Workload], latencies_ms: ArrayLike, base: Measurements | Target
    ) -> Measurements:
        """Whole networks with their latencies as all that is to be learned from, besides the kernels of `base`.

        A network that `base` holds too keeps the uncertainty that it has there; others have none.

        Args:
            workloads: n of them; one may come several times.
            latencies_ms: (n,).
            base: what they were measured on, or all that was measured there.

        Raises:
            ConfigError: for another number of latencies, or one that is no number above zero.
        """
        known = {m.key: m for m in base.models} if isinstance(base, Measurements) else {}
        points = tuple(
            ModelPoint(w.key, w.name, w, float(ms), 0.0)
            if w.key not in known
            else replace(known[w.key], latency_ms=float(ms))
            for w, ms in zip(workloads, checked_values(workloads, latencies_ms, "ms"), strict=True)
        )
        if isinstance(base, Measurements):
            return replace(base, models=_sorted(points))
        return cls(base.id, base.runtime, base.precision, (), _sorted(points))

    @property
    def workloads(self) -> list[Workload]:
        """The whole models, in the order of `model_latencies_ms`."""
        return [m.workload for m in self.models]

    @property
    def model_latencies_ms(self) -> NDArray[np.float64]:
        """Latencies of the whole models, shape (n,)."""
        return np.array([m.latency_ms for m in self.models], dtype=np.float64)

    @property
    def model_weights(self) -> NDArray[np.float64]:
        """What a residual in ms of each whole model counts for in a fit, shape (n,).

        Errors count relative to the latency. A model whose rounds disagree counts less; one whose rounds agree does
        not count without limit, since every model of cost errs by some per cent on a figure however exact.
        """
        sd_ms = np.array([m.sd_ms for m in self.models], dtype=np.float64)
        return 1.0 / np.hypot(MODEL_ERROR * self.model_latencies_ms, sd_ms)

    def need_models(self, model: str, least: int = MIN_FIT_MODELS) -> None:
        """Raise UnknownWorkload unless there are at least `least` whole models to fit on."""
        if len(self.models) < least:
            raise UnknownWorkload(
                f"the {model} model needs {least} whole models of split 'fit' measured on {self.target_id} and the "
                f"table has {len(self.models)}; measure more with `edgecost profile --target {self.target_id} --space "
                f"nasbench201 --fit-models {max(least, 10)}`, or files of your own with --model FILE.onnx"
            )


def model_points(table: CostTable, target_id: str, split: str) -> tuple[ModelPoint, ...]:
    """The whole models of one split that have a usable figure, sorted by key."""
    rows = (row for row in table.rows(target_id=target_id, kind="model") if row.split == split)
    return _sorted(
        tuple(
            ModelPoint(row.key, row.label, _workload(table, row), row.latency_ns / NS_PER_MS, _sd_ms(row))
            for row in rows
            if row.latency_ns > 0
        )
    )


def content_sha256(value: Any) -> str:
    """SHA-256 of a JSON-able value in one canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _kernel_points(table: CostTable, target: Target) -> tuple[KernelPoint, ...]:
    rows = table.rows(target_id=target.id, kind="kernel")
    found = [_kernel_point(row, _kernel(_workload(table, row), target)) for row in rows]
    cost_ms = {point.key: point.latency_ms for point in found}
    return _sorted(tuple(replace(point, beside_ms=_beside_ms(point.kernel, target, cost_ms)) for point in found))


def _beside_ms(kernel: Kernel, target: Target, cost_ms: Mapping[str, float]) -> float:
    """What the companions of a kernel cost, as far as the table has it."""
    companions = isolate(kernel, target.runtime, target.precision).companions
    return math.fsum(cost_ms.get(companion.key, 0.0) for companion in companions)


def _kernel(workload: Workload, target: Target) -> Kernel:
    """The kernel that a row's workload is, with the kind that cutting gives it."""
    kernels = cut(workload, target.runtime, target.precision)
    if len(kernels) == 1 and kernels[0].key == workload.key:
        return kernels[0]
    # rows of an older version of the cutting rules: nothing asks for their keys any more, but they can teach
    return Kernel(workload, workload.compute_ops, "other")


def _kernel_point(row: Row, kernel: Kernel) -> KernelPoint:
    # A slope below zero says that the kernel costs less than could be resolved. Its figure is then zero with an
    # uncertainty at least as large as the slope: measured and tiny, which is not the same as missing.
    latency_ms = row.latency_ns / NS_PER_MS
    isolated_ms = None
    if row.isolated_ns is not None and math.isfinite(row.isolated_ns):
        isolated_ms = row.isolated_ns / NS_PER_MS
    sd_ms = max(_sd_ms(row), -latency_ms)
    return KernelPoint(row.key, row.label, kernel, max(latency_ms, 0.0), sd_ms, isolated_ms)


def _sd_ms(row: Row) -> float:
    """The standard error of a row's figure in ms; 0 where nothing is known.

    A table's interval is at least t x (deviation between R rounds) / sqrt(R), and with three rounds t is 4.3. Taking
    that factor back gives the error that a sum over many kernels accumulates.
    """
    factor = t_quantile(0.95, row.n_rounds - 1) if row.n_rounds > 1 else normal_quantile(0.95)
    interval = (row.high_ns - row.low_ns) / 2.0 / factor / NS_PER_MS
    between = abs(row.latency_ns) * row.spread / math.sqrt(max(row.n_rounds, 1)) / NS_PER_MS
    return max((value for value in (interval, between) if math.isfinite(value)), default=0.0)


def _workload(table: CostTable, row: Row) -> Workload:
    workload = table.workloads.get(row.key)
    if workload is None:
        raise UnknownWorkload(
            f"the table has a row for {row.label!r} and not its workload; rebuild the table from its runs", (row.key,)
        )
    return workload


Point = TypeVar("Point", KernelPoint, ModelPoint)


def _sorted(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple(sorted(points, key=lambda point: point.key))
