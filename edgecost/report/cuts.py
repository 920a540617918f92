"""What a report says of how networks were cut: closure of every cut and isolation, and the verdicts on fusion."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecost.report.formats import figure_text, named

__all__ = ["CutsSection", "cuts_section"]


@dataclass(slots=True)
class CutsSection:
    """Rows as the template prints them.

    Attributes:
        closures: of every combination of cut and isolation, target by target.
        verdicts: of every pair of operators that was tried.
        errors: what is drawn of closures: by target, rows of name, mape, sum_mape (per cent or None) and chosen.
        shares: what is drawn of verdicts: by target, its threshold and rows of pair, verdict and share, low, high.
        notes: which verdicts contradict the rules that networks are cut by, and what the runtime's own graph says of
            both; sentences.
    """

    closures: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    shares: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def cuts_section(results: Path) -> CutsSection | None:
    """The section of a results folder; None where cuts were not compared and fusion was not tried.

    Raises:
        StorageError: RESULTS/cuts.json or a fusion.json cannot be read.
    """
    from edgecost.stages.cuts import read_comparison
    from edgecost.stages.fusion import FOLDER

    section = CutsSection()
    for target in read_comparison(results):
        section.closures += [_closure(named(target), row) for row in target["rows"]]
        section.errors[named(target)] = [_error(row) for row in target["rows"]]
    for path in sorted((results / FOLDER).glob("*/*/fusion.json")):
        _add_verdicts(section, _read(path))
    return section if section.closures or section.verdicts else None


_SHOWN = (
    "pair", "verdict", "share", "share_low", "share_high", "benefit", "benefit_low", "benefit_high", "shapes", "rules",
    "graph",
)  # fmt: skip

_DRAWN = {"pair": "pair", "verdict": "verdict", "share": "share", "low": "share_low", "high": "share_high"}


def _read(path: Path) -> dict[str, Any]:
    from profiler.errors import StorageError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pairs = [{name: row[name] for name in _SHOWN} for row in found["pairs"]]
        told = {name: found.get(name) for name in ("threshold", "evidence", "rules_and_graph")}
        return {"name": named(found), "pairs": pairs, **told}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} holds no verdicts ({error!r}); `edgecost fusion` writes them") from None


def _closure(target: str, row: dict[str, Any]) -> dict[str, Any]:
    figures = ("ratio", "fit_mape", "sum_mape", "mape", "within_5", "within_10", "kendall_tau")
    plain = {name: row[name] for name in ("cut", "isolation", "parts", "missing", "chosen")}
    return {"target": target, **plain, **{name: figure_text(row[name], 2) for name in figures}}


def _error(row: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{row['cut']}, {row['isolation']}", **{k: row[k] for k in ("mape", "sum_mape", "chosen")}}


def _add_verdicts(section: CutsSection, found: dict[str, Any]) -> None:
    drawn = [
        {name: row[key] for name, key in _DRAWN.items()}
        for row in found["pairs"]
        if None not in (row["share"], row["share_low"], row["share_high"])
    ]
    if drawn:
        section.shares.setdefault(found["name"], {"threshold": found["threshold"], "pairs": []})["pairs"] += drawn
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
    _add_evidence(section, found)


def _add_evidence(section: CutsSection, found: dict[str, Any]) -> None:
    """What verdicts and rules are worth where the runtime's own graph is the truth."""
    evidence, rules = found["evidence"], found["rules_and_graph"]
    if evidence:
        wrong = ", ".join(evidence["wrong"]) or "none"
        section.notes.append(
            f"{found['name']}: by the runtime's own graph, of {evidence['decided']} verdicts these are wrong: {wrong}; "
            f"{evidence['undecided']} pairs are undecided."
        )
    if rules:
        differ = ", ".join(rules["differ"]) or "none"
        section.notes.append(
            f"{found['name']}: of {rules['pairs']} pairs, rules and the runtime's own graph differ on these: {differ}."
        )


def _interval(row: dict[str, Any], name: str) -> str:
    """In per cent."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return "–" if None in (value, low, high) else f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def _word(fused: bool | None) -> str:
    return "–" if fused is None else "fused" if fused else "apart"
