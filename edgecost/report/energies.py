"""What a report says of energy: every figure with its interval and scope, bounds, and why the others have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from profiler.measure.record import ISSUES

if TYPE_CHECKING:
    from profiler.tables.row import Row
    from profiler.tables.table import CostTable

__all__ = ["EnergySection", "energy_section"]

_CODES = tuple(code for code in ISSUES if code.startswith(("energy_", "sensor_")))
_MOST_POINTS = 500
_MOST_LISTED = 10
_GOOD = 0.05  # of the figure: above it there is the code energy_uncertain


@dataclass(slots=True)
class EnergySection:
    """Of all targets.

    Attributes:
        sentence: says it where there is no energy at all; else "".
        targets: rows of the table of targets, formatted.
        points: by the name of a target with figures, what is drawn: label, kind, latency_ms, energy_mj, u_mj (None
            where unknown), bound (whether the energy is only below that).
        listed: the dearest rows of every target, formatted.
        refusals: rows without a figure by code: code, meaning and a count for each target of `names`.
        names: of the targets.
        notes: what is not drawn.
    """

    sentence: str = ""
    targets: list[dict[str, str]] = field(default_factory=list)
    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    listed: list[dict[str, str]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def energy_section(table: CostTable, names: Mapping[str, str]) -> EnergySection:
    """What the rows of a table say.

    Args:
        table: of the rows.
        names: target id -> what the report calls it.
    """
    section = EnergySection(names=list(names.values()))
    refusals: dict[str, Counter[str]] = {}
    for target, name in names.items():
        rows = [row for row in table.rows(target_id=target) if row.has_figure]
        section.targets.append(_summary(name, rows))
        refusals[name] = Counter(code for row in rows if row.energy_mj is None for code in row.issues if code in _CODES)
        _add_points(section, name, rows)
    total = sum(refusals.values(), Counter[str]())
    if not section.points:
        section.sentence = _absence(refusals)
    section.refusals = [
        {"code": code, "meaning": ISSUES[code], "counts": [str(found[code] or "·") for found in refusals.values()]}
        for code in _CODES
        if total[code]
    ]
    return section


def _absence(refusals: Mapping[str, Counter[str]]) -> str:
    """Why no target has any."""
    by_reason: dict[str, list[str]] = {}
    for name, found in refusals.items():
        code = found.most_common(1)[0][0] if found else ""
        reason = f"{ISSUES[code]} ({code})" if code else "no run has measured it; `edgecost profile --energy` does"
        by_reason.setdefault(reason, []).append(name)
    if len(by_reason) == 1:
        return f"There is no energy: {next(iter(by_reason))}."
    return " ".join(f"No energy on {', '.join(names)}: {reason}." for reason, names in by_reason.items())


def _summary(name: str, rows: Sequence[Row]) -> dict[str, str]:
    found = [row for row in rows if row.energy_mj is not None]
    bounds = sum(row.energy_mj is None and row.energy_upper_mj is not None for row in rows)
    shares = sorted(s for row in found if (s := _share(row)) is not None)
    scopes = sorted({row.energy_scope for row in rows if row.energy_scope})
    return {
        "target": name,
        "scope": ", ".join(scopes) or "–",
        "figures": str(len(found)),
        "share": f"{100 * shares[len(shares) // 2]:.1f}" if shares else "–",
        "good": f"{100 * sum(s <= _GOOD for s in shares) / len(shares):.0f} %" if shares else "–",
        "bounds": str(bounds),
        "none": str(len(rows) - len(found) - bounds),
    }


def _share(row: Row) -> float | None:
    """U relative to the energy; None where either says nothing."""
    return abs(row.energy_u_mj / row.energy_mj) if row.energy_mj and row.energy_u_mj is not None else None


def _add_points(section: EnergySection, name: str, rows: Sequence[Row]) -> None:
    points: list[dict[str, Any]] = []
    below_zero = 0
    for row in rows:
        bound = row.energy_mj is None
        energy = row.energy_upper_mj if bound else row.energy_mj
        if energy is None:
            continue
        if energy <= 0 or row.latency_ns <= 0:
            below_zero += 1
            continue
        points.append(
            {
                "label": row.label,
                "kind": row.kind,
                "latency_ms": float(f"{row.latency_ns / 1e6:.5g}"),
                "energy_mj": float(f"{energy:.5g}"),
                "u_mj": None if bound or row.energy_u_mj is None else float(f"{row.energy_u_mj:.4g}"),
                "bound": bound,
                "text": _text(row),
            }
        )
    known = [row for row in rows if row.energy_mj is not None or row.energy_upper_mj is not None]
    known.sort(key=lambda row: (row.kind != "model", -(row.energy_mj or row.energy_upper_mj or 0.0)))
    section.listed += [_listed(name, row) for row in known[:_MOST_LISTED]]
    if len(points) > _MOST_POINTS:
        points.sort(key=lambda point: point["energy_mj"])
        step = (len(points) - 1) / (_MOST_POINTS - 1)
        section.notes.append(f"{name}: {_MOST_POINTS} of {len(points)} figures are drawn, evenly over their order.")
        points = [points[round(i * step)] for i in range(_MOST_POINTS)]
    if below_zero:
        section.notes.append(f"{name}: {below_zero} figures at or below zero are not drawn.")
    if points:
        section.points[name] = points


def _text(row: Row) -> str:
    if row.energy_mj is None:
        return f"< {row.energy_upper_mj:.4g}"
    if row.energy_u_mj is None:
        return f"{row.energy_mj:.4g}"
    return f"{row.energy_mj:.4g} ± {row.energy_u_mj:.2g}"


def _listed(name: str, row: Row) -> dict[str, str]:
    share = _share(row)
    return {
        "target": name,
        "label": row.label,
        "kind": row.kind,
        "energy": _text(row),
        "share": "–" if share is None else f"{100 * share:.1f}",
        "gross": "–" if row.energy_gross_mj is None else f"{row.energy_gross_mj:.4g}",
        "scope": row.energy_scope or "–",
        "issues": " ".join(code for code in row.issues if code in _CODES) or "–",
    }
