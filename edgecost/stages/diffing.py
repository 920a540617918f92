"""Two tables held against each other, from files to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError

__all__ = ["diff_tables"]


def diff_tables(
    a: Path,
    b: Path,
    target_a: str | None = None,
    target_b: str | None = None,
    allowed: Sequence[str] = (),
    *,
    remove_shift: bool = False,
    with_gated: bool = False,
) -> dict[str, Any]:
    """Compare two tables, workload by workload.

    Args:
        a, b: before and after: exported tables (.json, .parquet), folders of results or single runs.
        target_a, target_b: a target or device of each; by default the targets that both have.
        allowed: names of comparability gates that are let pass.
        remove_shift: judge workloads by how they have changed more than all of them.
        with_gated: give verdicts also by figures that failed a gate for the state of the board.

    Returns:
        Whether there is a regression, the number of each verdict, effects, common shifts and mismatches.

    Raises:
        ConfigError: a file is missing or no table, or the two cannot be compared.
        StorageError: a file or folder cannot be read.
        UnknownWorkload: a table has no such target.
    """
    from edgecost.stages.costs import resolve_target
    from profiler.tables.diff.compare import compare
    from profiler.tables.diff.origins import load_side

    if (target_a is None) != (target_b is None):
        raise ConfigError("--target-a and --target-b name a pair; give both or neither")
    before, after = (load_side(path, _chosen_cuts(path)) for path in (a, b))
    pairs = []
    if target_a is not None and target_b is not None:
        pairs = [(resolve_target(before.table, target_a), resolve_target(after.table, target_b))]
    found = compare(before, after, pairs, allowed, remove_shift=remove_shift, with_gated=with_gated)
    return {
        "a": str(a),
        "b": str(b),
        "regression": found.has_regression,
        "shift_removed": found.shift_removed,
        "verdicts": dict(found.verdicts),
        "shifts": [shift.to_dict() for shift in found.shifts],
        "mismatches": [mismatch.to_dict() for mismatch in found.mismatches],
        "only_a": found.only_a,
        "only_b": found.only_b,
        "effects": [effect.to_dict() for effect in found.effects],
    }


def _chosen_cuts(path: Path) -> dict[str, dict[str, str]]:
    """Cut and isolation by target id, where a folder of results says what `edgecost validate --cuts` has chosen."""
    from edgecost.stages.cuts import read_comparison

    found = read_comparison(path) if path.is_dir() else []
    return {str(one["target"]): one["chosen"] for one in found if isinstance(one["chosen"], dict)}
