"""Which cut and which isolation each target is given: every combination closed on the same networks, and one chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import load_table, resolve_target, write_json
from profiler.errors import StorageError

if TYPE_CHECKING:
    from predictors.cuts import CutClosure, CutComparison
    from profiler.tables.table import CostTable

__all__ = ["PAIRS", "compare", "read_comparison"]

PAIRS = "pairs"
"""Runs of kernels that were chained in pairs lie in RESULTS/pairs/<device>/<run>."""

FILE = "cuts.json"


def compare(results: Path, targets: Sequence[str] = ()) -> dict[str, Any]:
    """Compare the combinations of targets and write RESULTS/cuts.json, which records the choices.

    Args:
        results: folder of runs; those below its folder "pairs" were chained in pairs.
        targets: names; by default all targets of the table.

    Returns:
        {"file": ..., "targets": [{"target", "emulation", "chosen", "rows"}]}; shares and errors are in per cent, None
        stands where a figure is undefined.

    Raises:
        ConfigError: a name with several targets.
        StorageError: there is no run, or the file cannot be written.
        UnknownWorkload: a target without rows, or without networks to compare on.
    """
    from predictors.cuts import compare_cuts

    tables = {"chained": load_table(results)}
    if any((results / PAIRS).glob("*/*/run.json")):
        tables["pairs"] = load_table(results / PAIRS)
    chained = tables["chained"]
    ids = [resolve_target(chained, name) for name in targets] or sorted(t.id for t in chained.targets)
    found = [_target_dict(compare_cuts(tables, target_id), _emulation(chained, target_id)) for target_id in ids]
    path = results / FILE
    write_json(path, {"targets": found})
    return {"file": str(path), "targets": found}


def read_comparison(results: Path) -> list[dict[str, Any]]:
    """The targets of RESULTS/cuts.json, as `compare` returns them; none where nothing was compared.

    Raises:
        StorageError: the file cannot be read or is no such file.
    """
    path = results / FILE
    try:
        return [{name: one[name] for name in ("target", "emulation", "chosen", "rows")} for one in _targets(path)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is not a comparison of cuts ({error!r}); `edgecost validate --cuts` writes one"
        ) from None


def _targets(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))["targets"])


def _emulation(table: CostTable, target_id: str) -> str:
    return next((row.emulation for row in table.rows(target_id)), "")


def _target_dict(comparison: CutComparison, emulation: str) -> dict[str, Any]:
    best = comparison.best
    rows = [{**_row(closure), "chosen": closure.combination == best} for closure in comparison.rows]
    chosen = {"cut": best.cut, "isolation": best.isolation} if best else None
    return {"target": comparison.target_id, "emulation": emulation, "chosen": chosen, "rows": rows}


def _row(closure: CutClosure) -> dict[str, Any]:
    """Flat, and in per cent."""
    row = closure.to_dict()
    sums, closed = row.pop("sum") or {}, row.pop("closed") or {}
    row["fit_mape"] = _percent(row["fit_mape"])
    row["sum_mape"] = _percent(sums.get("mape"))
    row["n"] = closed.get("n")
    row |= {name: _percent(closed.get(name)) for name in ("mape", "within_5", "within_10")}
    return {**row, "kendall_tau": closed.get("kendall_tau"), "spearman": closed.get("spearman")}


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
