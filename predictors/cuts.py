"""Which cut and which isolation adds up best on a target: closure on data, every combination on the same networks.

Isolation is how a part's cost was found: alone; chained (its slope in a chain or fan); in pairs (chained with a partner
that brings the channels back, where a part changes them); or inside the block it belongs to, where blocks are measured.
A combination is judged as a table is used: the sum of its parts and a constant overhead, fitted on the networks of
split "fit". The choice is made on those, each predicted from the others; networks held out only report it. All are
judged on the same networks: those whose parts have a cost under every combination that covers a third of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictors.additive import Sums, fit_overhead
from predictors.evaluate import Scores, score
from predictors.measured import MODEL_ERROR, ModelPoint, model_points
from profiler.errors import UnknownWorkload
from profiler.fleet.targets import Target
from profiler.workloads.cuts import Cut, cut_as, cuts_of, into_blocks

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["Combination", "CutClosure", "CutComparison", "Isolated", "compare_cuts"]

FloatArray = NDArray[np.float64]

Isolated = Literal["alone", "chained", "pairs", "block"]

NS_PER_MS = 1e6

WORTH = 0.1
"""By so much of its error a combination has to beat the usual one: fused kernels, chained."""

_FEWEST_FIT = 3

_LEAST_SHARE = 1 / 3
"""A combination with a cost for every part of so many of the networks takes part in the comparison."""


@dataclass(frozen=True, slots=True)
class Combination:
    """What the parts are, and how their costs were found."""

    cut: Cut
    isolation: Isolated


USUAL = Combination("fused", "chained")


@dataclass(frozen=True, slots=True)
class CutClosure:
    """How one combination closes.

    Attributes:
        combination: which.
        parts: distinct parts of the networks that were compared.
        missing: of these, without a cost; with any the combination cannot be judged, and what follows is None or NaN.
        ratio: median of sum of parts / measured latency: 1 adds up by itself.
        overhead_ms: the constant that was fitted.
        fit_mape: mean absolute relative error on the networks fitted on, each predicted from the others.
        sums: scores of the bare sums on held-out networks.
        scores: the same with the constant added.
    """

    combination: Combination
    parts: int
    missing: int
    ratio: float = math.nan
    overhead_ms: float = math.nan
    fit_mape: float = math.nan
    sums: Scores | None = None
    scores: Scores | None = None

    def to_dict(self) -> dict[str, Any]:
        """One flat JSON-able row; None stands for what is undefined."""

        def finite(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        names = ("parts", "missing", "ratio", "overhead_ms", "fit_mape")
        row = {**asdict(self.combination), **{name: finite(getattr(self, name)) for name in names}}
        for name, scores in (("sum", self.sums), ("closed", self.scores)):
            row[name] = {k: finite(v) for k, v in asdict(scores).items()} if scores else None
        return row


@dataclass(frozen=True, slots=True)
class CutComparison:
    """All combinations of a target side by side, and the one that is chosen (None where none is whole)."""

    target_id: str
    rows: tuple[CutClosure, ...]
    best: Combination | None


def compare_cuts(tables: Mapping[str, CostTable], target_id: str) -> CutComparison:
    """Close every combination that the tables allow.

    Args:
        tables: "chained": of kernels, blocks and whole networks; "pairs", where there is one, has the kernels that were
            chained in pairs.
        target_id: one of their targets.

    Raises:
        UnknownWorkload: the table lacks the target, networks to fit on, or networks held out.
    """
    table = tables["chained"]
    target = table.target(target_id)
    fit, held = model_points(table, target_id, "fit"), model_points(table, target_id, "held_out")
    if len(fit) < _FEWEST_FIT or not held:
        raise UnknownWorkload(
            f"cuts are compared on networks: {target_id} has {len(fit)} to fit on ({_FEWEST_FIT} are needed) and "
            f"{len(held)} held out; measure some with `edgecost profile --cuts`"
        )
    chained, alone = _kernel_costs(table, target_id)
    costs = {"alone": alone, "chained": chained}
    if "pairs" in tables:
        costs["pairs"] = {**chained, **_kernel_costs(tables["pairs"], target_id)[0]}
    candidates: list[_Candidate] = []
    for how in cuts_of(target.runtime, target.accelerator):
        parts = {m.key: _kernels(m, how, target) for m in (*fit, *held)}
        # mypy cannot see that the names of `costs` are isolations
        candidates += [_Candidate(Combination(how, i), parts, known) for i, known in costs.items()]  # type: ignore[arg-type]
    candidates += _blocks(table, target_id, fit, held)
    fit_on, reported = _same_networks(candidates, fit, held)
    rows = tuple(_closure(candidate, fit_on, reported) for candidate in candidates)
    return CutComparison(target_id, rows, _best(rows))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A combination, what every network's parts are under it, and what of them has a cost in ms."""

    combination: Combination
    parts: Mapping[str, Sequence[str]]
    known: Mapping[str, float]

    def covers(self, model: ModelPoint) -> bool:
        return all(key in self.known for key in self.parts[model.key])


_Points = Sequence[ModelPoint]


def _same_networks(candidates: Sequence[_Candidate], fit: _Points, held: _Points) -> tuple[_Points, _Points]:
    """The networks that every combination can be judged on; all of them where too few are left."""

    def covered(candidate: _Candidate, models: _Points) -> list[ModelPoint]:
        return [m for m in models if candidate.covers(m)]

    able = [
        c for c in candidates if all(len(covered(c, models)) >= _LEAST_SHARE * len(models) for models in (fit, held))
    ]
    left, reported = ([m for m in models if all(c.covers(m) for c in able)] for models in (fit, held))
    return (left, reported) if able and len(left) >= _FEWEST_FIT and reported else (fit, held)


def _kernel_costs(table: CostTable, target_id: str) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds by key: chained, and alone. A slope below zero is below what could be resolved: nothing."""
    rows = table.rows(target_id, "kernel")
    chained = {row.key: max(row.latency_ns, 0.0) / NS_PER_MS for row in rows}
    alone = {row.key: row.isolated_ns / NS_PER_MS for row in rows if row.isolated_ns is not None}
    return chained, alone


def _kernels(model: ModelPoint, how: Cut, target: Target) -> tuple[str, ...]:
    return tuple(kernel.key for kernel in cut_as(model.workload, how, target.runtime, target.precision))


def _blocks(table: CostTable, target_id: str, fit: _Points, held: _Points) -> list[_Candidate]:
    """Of networks that are sequences of measured blocks; none where no block was measured."""
    rows = [row for row in table.rows(target_id, "block") if row.key in table.workloads]
    if not rows:
        return []
    workloads = {row.key: table.workloads[row.key] for row in rows}
    parts = {m.key: into_blocks(m.workload, workloads) or ("not made of measured blocks",) for m in (*fit, *held)}
    known = {row.key: max(row.latency_ns, 0.0) / NS_PER_MS for row in rows}
    return [_Candidate(Combination("blocks", "block"), parts, known)]


def _closure(candidate: _Candidate, fit: _Points, held: _Points) -> CutClosure:
    combination, parts, known = candidate.combination, candidate.parts, candidate.known
    distinct = {key for m in (*fit, *held) for key in parts[m.key]}
    missing = len(distinct - known.keys())
    if missing:
        return CutClosure(combination, len(distinct), missing)

    def sums(models: _Points) -> tuple[FloatArray, FloatArray, FloatArray]:
        total = np.array([math.fsum(known[key] for key in parts[m.key]) for m in models])
        return total, np.array([float(len(parts[m.key])) for m in models]), np.array([m.latency_ms for m in models])

    fitted = Sums(*sums(fit), _weights(fit))
    overhead = fit_overhead("constant", fitted)
    total, counts, measured = sums(held)
    return CutClosure(
        combination,
        len(distinct),
        0,
        float(np.median(total / measured)),
        overhead.constant_ms,
        float(np.mean(np.abs(overhead.residuals.relative))),
        score(total, measured),
        score(overhead.total(total, counts), measured),
    )


def _weights(models: _Points) -> FloatArray:
    latency_ms = np.array([m.latency_ms for m in models])
    return np.asarray(1.0 / np.hypot(MODEL_ERROR * latency_ms, [m.sd_ms for m in models]), dtype=np.float64)


def _best(rows: Sequence[CutClosure]) -> Combination | None:
    """The least error on the networks fitted on; the usual combination, unless another one is clearly better."""
    whole = {row.combination: row.fit_mape for row in rows if math.isfinite(row.fit_mape)}
    if not whole:
        return None
    best = min(whole, key=lambda combination: whole[combination])
    usual = whole.get(USUAL, math.inf)
    return USUAL if whole[best] >= (1.0 - WORTH) * usual else best
