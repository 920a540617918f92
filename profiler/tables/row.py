"""Row: one figure of a cost table with its uncertainty and its doubts; Gates: how much doubt is let pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import isfinite, nan
from typing import Any, Literal, get_args

from profiler.measure.record import Status

__all__ = ["EMULATED", "GATE_CODES", "ROW_KINDS", "Gates", "Row", "RowKind", "RowStatus", "with_gates"]

RowKind = Literal["kernel", "block", "model"]
"""What a row is about, and how its figure came about: the slope of a kernel or block, the median of a model."""
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
"""In the order in which a table answers for a workload that was measured in several ways."""

RowStatus = Status | Literal["incomplete"]
"""A job's status, or "incomplete": nothing failed, and not all that the figure needs has been measured."""

GATE_CODES = frozenset({"spread_high", "noisy", "few_rounds", "negative_slope"})
"""Issue codes that tables add to those of the measurements."""

EMULATED = "emulated"
"""The issue of measurements that enter no table unless that is asked for."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Widths of the gate that figures have to pass; what does not pass stays in the table, with its codes.

    Attributes:
        spread: most that the rounds may differ (`spread_high`): standard deviation relative to the median.
        noise: most that samples within a round may scatter (`noisy`): robust coefficient of variation.
        rounds: rounds that have to have succeeded (`few_rounds`).
    """

    spread: float = 0.02
    noise: float = 0.03
    rounds: int = 3

    def to_dict(self) -> dict[str, Any]:
        """The widths by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Row:
    """What one workload costs on one target, per run and per image of the batch that its shapes name.

    Attributes:
        target_id, key, kind, label: where, which workload, whether it is a kernel, a block or a whole model, its name.
        latency_ns: a model's median latency, or the marginal cost of a kernel or block inside a network; NaN where
            `status` is not "ok". A marginal cost below what could be resolved may be negative: then `issues` says
            `negative_slope`.
        low_ns, high_ns: 95 % interval of latency_ns, from within and between the rounds.
        isolated_ns: a kernel or block run alone, dispatch and layout conversion included; None for models and where
            it failed.
        spread: standard deviation between the rounds relative to the median; NaN with one round.
        n_rounds: rounds that the figure rests on.
        status: "ok", the failure, or "incomplete".
        issues: codes of `profiler.measure.record.ISSUES`.
        split: of models: "fit", "held_out" or "".
        emulation: "" for hardware; else what stood in for it, such as "loopback".
        energy_mj: of one run of a model, or the marginal one of a kernel or block, median over the rounds; None where
            no sensor could be read.
        load_ns: of loading the artefact, median over the rounds.
        run_id: the run that the figure is from.
        error: of a failed row: what was said.
    """

    target_id: str
    key: str
    kind: RowKind
    label: str
    latency_ns: float = nan
    low_ns: float = nan
    high_ns: float = nan
    isolated_ns: float | None = None
    spread: float = nan
    n_rounds: int = 0
    status: RowStatus = "ok"
    issues: tuple[str, ...] = ()
    split: str = ""
    emulation: str = ""
    energy_mj: float | None = None
    load_ns: float | None = None
    run_id: str = ""
    error: str = ""

    @property
    def has_figure(self) -> bool:
        """Whether there is a latency, doubtful or not."""
        return self.status == "ok" and isfinite(self.latency_ns)

    @property
    def gated(self) -> bool:
        """Whether the figure failed a gate."""
        return not GATE_CODES.isdisjoint(self.issues)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values: None stands for what is not finite."""
        data = asdict(self)
        for name, value in data.items():
            if isinstance(value, float) and not isfinite(value):
                data[name] = None
        data["issues"] = list(self.issues)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        """Read what `to_dict` wrote; ValueError or TypeError where it is not that."""
        values = dict(data)
        for name in ("latency_ns", "low_ns", "high_ns", "spread"):
            value = values.get(name)
            values[name] = nan if value is None else float(value)
        values["issues"] = tuple(str(code) for code in values["issues"])
        if values.get("kind") not in ROW_KINDS:
            raise ValueError(f"a row is of kind {values.get('kind')!r}")
        if values["status"] == "ok" and not isfinite(values["latency_ns"]):
            raise ValueError("a row without a latency says that it is ok")
        return cls(**values)


def with_gates(row: Row, gates: Gates) -> Row:
    """The row with the codes of the gates between rounds added to its issues."""
    issues = list(row.issues)
    if isfinite(row.spread) and row.spread > gates.spread:
        issues.append("spread_high")
    if row.n_rounds < gates.rounds:
        issues.append("few_rounds")
    return replace(row, issues=tuple(dict.fromkeys(issues)))
