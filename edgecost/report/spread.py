"""What a report says of spread and verdicts: how far rounds and samples lie apart, and which figures carry a doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.measure.record import ISSUES, ROLE_KINDS
from profiler.tables.row import GATE_CODES

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run
    from profiler.tables.row import Row
    from profiler.tables.table import CostTable

__all__ = ["QUANTITIES", "Box", "SpreadSection", "spread_section"]

Floats = NDArray[np.float64]

QUANTITIES = {
    "spread": ("Between rounds", "standard deviation, % of the median"),
    "noise": ("Within a round", "robust coefficient of variation, %"),
    "half": ("95 % interval", "half-width, % of the figure"),
}
"""What is shown of every target: the title of its figure, and what its axis says."""

_SENTINEL = ROLE_KINDS.index("sentinel")
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Box:
    """A distribution in per cent: its 5, 25, 50, 75 and 95 % quantiles, and of how many values."""

    target: str
    quantiles: tuple[float, ...]
    n: int


@dataclass(slots=True)
class SpreadSection:
    """Of all targets.

    Attributes:
        names: of the targets, in the order shown.
        rows: of the table of targets, formatted.
        boxes: by the names of `QUANTITIES`, one box a target that has values.
        limits: the widths of the gates in per cent, by the same names, where there is one.
        codes: rows of the table of verdicts: code, meaning, whether it fails the gate, and a count for each target.
        figures, passed: how many figures there are, and how many pass the gates.
    """

    names: list[str]
    rows: list[dict[str, str]] = field(default_factory=list)
    boxes: dict[str, list[Box]] = field(default_factory=lambda: {name: [] for name in QUANTITIES})
    limits: dict[str, float] = field(default_factory=dict)
    codes: list[dict[str, Any]] = field(default_factory=list)
    figures: int = 0
    passed: int = 0


def spread_section(table: CostTable, names: Mapping[str, str], runs: Mapping[str, Sequence[Run]]) -> SpreadSection:
    """What rows and journals say.

    Args:
        table: of the rows.
        names: target id -> what the report calls it.
        runs: target id -> its runs.
    """
    section = SpreadSection(list(names.values()))
    section.limits = {"spread": 100 * table.gates.spread, "noise": 100 * table.gates.noise}
    counts: dict[str, Counter[str]] = {}
    for target, name in names.items():
        rows = table.rows(target_id=target, with_failed=True)
        figures = [row for row in rows if row.has_figure]
        passed = sum(not row.gated for row in figures)
        section.figures += len(figures)
        section.passed += passed
        values = _values(figures, runs[target])
        for quantity, found in values.items():
            if len(found):
                section.boxes[quantity].append(_box(name, found))
        counts[name] = Counter(code for row in rows for code in row.issues)
        counts[name].update(f"failed: {row.status}" for row in rows if row.status != "ok")
        section.rows.append(_summary(name, figures, passed, values, runs[target]))
    section.codes = _codes(counts)
    return section


def _values(figures: Sequence[Row], runs: Sequence[Run]) -> dict[str, Floats]:
    """Finite values of every quantity in per cent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        latency, low, high, spread = np.array(
            [(r.latency_ns, r.low_ns, r.high_ns, r.spread) for r in figures], dtype=np.float64
        ).reshape(-1, 4).T  # fmt: skip
        half = (high - low) / (2 * np.abs(latency))
    noise = [_jobs(run, "robust_cv") for run in runs]
    found = {"spread": spread, "noise": np.concatenate([np.zeros(0), *noise]), "half": half}
    return {name: 100 * values[np.isfinite(values)] for name, values in found.items()}


def _jobs(run: Run, column: str) -> Floats:
    """A column of the journal without its sentinels."""
    values: Floats = run.lines[column].to_numpy().astype(np.float64)[run.lines["kind"].to_numpy() != _SENTINEL]
    return values


def _box(name: str, values: Floats) -> Box:
    return Box(name, tuple(float(f"{q:.4g}") for q in np.quantile(values, _QUANTILES)), len(values))


def _summary(
    name: str, figures: Sequence[Row], passed: int, values: Mapping[str, Floats], runs: Sequence[Run]
) -> dict[str, str]:
    outliers, samples = (sum(float(_jobs(run, column).sum()) for run in runs) for column in ("outliers", "samples"))
    return {
        "target": name,
        "figures": str(len(figures)),
        "passed": f"{100 * passed / len(figures):.0f} %" if figures else "–",
        **{quantity: _middle(found) for quantity, found in values.items()},
        "outliers": f"{100 * outliers / samples:.1f}" if samples else "–",
        "bimodal": str(sum("bimodal" in row.issues for row in figures)),
    }


def _middle(values: Floats) -> str:
    return f"{np.median(values):.2f}" if len(values) else "–"


def _codes(counts: Mapping[str, Counter[str]]) -> list[dict[str, Any]]:
    """Those that fail the gate first, then those that most rows have."""
    total = sum(counts.values(), Counter[str]())
    ordered = sorted(total, key=lambda code: (code not in GATE_CODES, -total[code], code))
    return [
        {
            "code": code,
            "meaning": ISSUES.get(code, "there is no figure" if code.startswith("failed") else ""),
            "gate": code in GATE_CODES,
            "counts": [str(found[code] or "·") for found in counts.values()],
        }
        for code in ordered
    ]
