"""What a report says of closure: whether the costs of kernels add up to the networks that they are the kernels of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecost.report.formats import figure_text, short_names

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["ClosureSection", "closure_section"]


@dataclass(slots=True)
class ClosureSection:
    """Of the targets whose kernels were measured.

    Attributes:
        parity: target -> points of its parity plot.
        titles: target -> title of that plot.
        rows: formatted rows of the closure table.
        twice: formatted rows of closure beside what a second measurement gave, a row a target and its families.
        card: the worst error, for the top of the report; empty where there is none.
        notes: why there is nothing, a sentence.
    """

    parity: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    twice: list[dict[str, Any]] = field(default_factory=list)
    card: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def closure_section(table: CostTable, found: dict[str, Any] | None) -> ClosureSection:
    """Closure as it was validated, or made anew of the table.

    A sum of kernels says nothing of a target whose runs hold only blocks or whole networks, so there is none for it.

    Args:
        table: of the rows.
        found: what RESULTS/closure.json holds; None where there is no such file.
    """
    from edgecost.stages.closing import closure
    from profiler.errors import UnknownWorkload

    section = ClosureSection()
    kernels = {row.target_id for row in table.rows(kind="kernel")}
    without = {target.id for target in table.targets} - kernels
    if found is None:
        if not kernels:
            return section
        try:
            found = closure(table, sorted(kernels))
        except UnknownWorkload as error:
            section.notes.append(f"No closure: {error}")
            return section
    rows = [row for row in found["rows"] if row["target"] not in without]
    section.parity = {
        target: [point for point in points if point["predicted_ms"] is not None]
        for target, points in found["points"].items()
        if target not in without
    }
    best = {row["target"]: row for row in rows if row["headline"]}
    names = short_names(list(section.parity))
    section.titles = {t: f"{names[t]}: MAPE {figure_text(best[t]['mape'])} %" for t in section.parity}
    section.rows = [_row(row) for row in rows]
    section.twice = [row for target in section.parity for row in _twice(found, target, best[target])]
    errors = [row["mape"] for row in best.values() if row["mape"] is not None]
    if errors:
        detail = f"worst of {len(errors)} targets; best {min(errors):.1f} %"
        section.card = {
            "label": "closure error (MAPE)", "value": f"{max(errors):.1f} %", "detail": detail, "tone": "",
        }  # fmt: skip
    return section


def _twice(found: dict[str, Any], target: str, headline: dict[str, Any]) -> list[dict[str, Any]]:
    """A target as a whole, with its verdict, and its families; none where it has neither families nor repeats."""
    again = found.get("repeats", {}).get(target)
    families = found.get("families", {}).get(target, [])
    if again is None and not families:
        return []
    told = found["verdicts"][target]
    word = {True: "met", False: "missed", None: "not judged: nothing was measured twice"}[told["met"]]
    floors = {row["family"]: row for row in again["families"]} if again else {}
    whole = _beside(target, "all", headline, again) | {"limit": figure_text(told["limit"]), "met": word}
    return [whole, *(_beside(target, row["family"], row, floors.get(row["family"])) for row in families)]


def _beside(target: str, family: str, closed: dict[str, Any], floor: dict[str, Any] | None) -> dict[str, Any]:
    scores = ("mape", "within_5", "within_10")
    return {
        "target": target,
        "family": family,
        "n": closed["n"],
        **{name: figure_text(closed[name]) for name in scores},
        **{f"floor_{name}": figure_text(floor[name] if floor else None) for name in scores},
        "limit": "",
        "met": "",
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("target", "model", "n", "headline")},
        **{name: figure_text(row[name]) for name in ("mape", "within_5", "within_10")},
        "kendall": figure_text(row["kendall_tau"], 3),
        "spearman": figure_text(row["spearman"], 3),
        "covered": figure_text(None if row.get("covered") is None else 100 * row["covered"]),
    }
