"""Row: one figure of a cost table with its uncertainty and its doubts; Gates: how much doubt is let pass."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any, Literal, get_args

from profiler.measure.record import Status

__all__ = ["EMULATED", "GATE_CODES", "NUMBERS", "ROW_KINDS", "SIMULATED", "Gates", "Row", "RowKind", "RowStatus"]

RowKind = Literal["kernel", "block", "model"]
"""What a row is about, and how its figure came about: the slope of a kernel or block, the median of a model."""
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
"""In the order in which a table answers for a workload that was measured in several ways."""

RowStatus = Status | Literal["incomplete"]
"""A job's status, or "incomplete": nothing failed, and not all that the figure needs has been measured."""

GATE_CODES = frozenset(
    {
        # given by tables, from the figures and the widths of `Gates`
        "spread_high",
        "noisy",
        "few_rounds",
        "negative_slope",
        "disturbed",
        # given where it was measured, by the widths that the run's configuration records
        "throttled",
        "clock_moved",
        "too_hot",
        "background_load",
        "bimodal",
        "drifted",
        "process_states",
    }
)
"""Issue codes of figures that failed a gate. Other codes are doubts that a figure may have and count all the same."""

SIMULATED = "simulated"
"""The issue and the emulation of figures of a board that there is not: they stand in no table beside measured ones."""

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
        emulation: "" for hardware; else what stood in for it, such as "loopback" or "simulated".
        energy_mj: of one run of a model, or the marginal one of a kernel or block, median over the rounds, the board's
            idle power taken off; None where there is no figure (then `issues` says why).
        load_ns: of loading the artefact, median over the rounds.
        run_id: the run that the figure is from.
        error: of a failed row: what was said.
        energy_u_mj: the uncertainty of energy_mj with k = 2 (some 95 %), from within and between the rounds; None where
            it is not known.
        energy_gross_mj: as energy_mj, the idle power not taken off.
        energy_upper_mj: a model's energy is below this; known where the power step could not be told from noise
            (`energy_undetected`) in at least half of the rounds.
        energy_scope: what the figures of energy include, such as "module-in"; "" where that is not known.
        energy_run_id: the run that they are from: the newest that has any, which may be another than `run_id`.
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
    energy_u_mj: float | None = None
    energy_gross_mj: float | None = None
    energy_upper_mj: float | None = None
    energy_scope: str = ""
    energy_run_id: str = ""

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
        data: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in NUMBERS:
            value = data[name]
            if value is not None and not isfinite(value):
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


NUMBERS = (
    "latency_ns",
    "low_ns",
    "high_ns",
    "isolated_ns",
    "spread",
    "energy_mj",
    "load_ns",
    "energy_u_mj",
    "energy_gross_mj",
    "energy_upper_mj",
)
"""The fields of a row that are real numbers."""
