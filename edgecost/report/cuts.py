"""What a report says of how networks were cut: closure of every cut and isolation, and the verdicts on fusion."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CutsSection", "cuts_section"]


@dataclass(slots=True)
class CutsSection:
    """Rows as the template prints them.

    Attributes:
        closures: of every combination of cut and isolation, target by target.
        verdicts: of every pair of operators that was tried.
        notes: which verdicts contradict the rules that networks are cut by, one sentence a target.
    """

    closures: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def cuts_section(results: Path) -> CutsSection | None:
    """The section of a results folder; None where cuts were not compared and fusion was not tried.

    Raises:
        StorageError: RESULTS/cuts.json or a fusion.json cannot be read.
    """
    from edgecost.stages.cuts import read_comparison
    from edgecost.stages.fusion import FOLDER

    section = CutsSection()
    section.closures = [_closure(_name(target), row) for target in read_comparison(results) for row in target["rows"]]
    for path in sorted((results / FOLDER).glob("*/*/fusion.json")):
        _add_verdicts(section, _read(path))
    return section if section.closures or section.verdicts else None


_SHOWN = (
    "pair", "verdict", "share", "share_low", "share_high", "benefit", "benefit_low", "benefit_high", "shapes", "rules",
    "graph",
)  # fmt: skip


def _name(target: dict[str, Any]) -> str:
    return f"{target['target']}{' (simulated)' if target['emulation'] == 'simulated' else ''}"


def _read(path: Path) -> dict[str, Any]:
    from profiler.errors import StorageError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"name": _name(found), "pairs": [{name: row[name] for name in _SHOWN} for row in found["pairs"]]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} holds no verdicts ({error!r}); `edgecost fusion` writes them") from None


def _closure(target: str, row: dict[str, Any]) -> dict[str, Any]:
    figures = ("ratio", "fit_mape", "sum_mape", "mape", "within_5", "within_10", "kendall_tau")
    plain = {name: row[name] for name in ("cut", "isolation", "parts", "missing", "chosen")}
    return {"target": target, **plain, **{name: _figure(row[name], 2) for name in figures}}


def _add_verdicts(section: CutsSection, found: dict[str, Any]) -> None:
    against = []
    for row in found["pairs"]:
        section.verdicts.append(
            {
                "target": found["name"],
                "pair": row["pair"],
                "verdict": row["verdict"],
                "share": _interval(row, "share"),
                "benefit": _interval(row, "benefit"),
                "shapes": sum(bool(shape["resolved"]) for shape in row["shapes"]),
                "rules": _word(row["rules"]),
                "graph": _word(row["graph"]),
            }
        )
        if row["verdict"] != "undecided" and (row["verdict"] == "fused") is not row["rules"]:
            against.append(row["pair"])
    if against:
        section.notes.append(f"{found['name']}: the clock contradicts the rules on {', '.join(against)}.")


def _interval(row: dict[str, Any], name: str) -> str:
    """In per cent."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return "–" if None in (value, low, high) else f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def _word(fused: bool | None) -> str:
    return "–" if fused is None else "fused" if fused else "apart"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
