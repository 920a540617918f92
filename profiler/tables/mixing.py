"""What never stands in one table: simulated beside measured figures, hot beside cold caches, and energies of one target
by several scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from profiler.errors import ConfigError
from profiler.tables.columns import Columns
from profiler.tables.row import EMULATED, SIMULATED

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run

__all__ = ["caches_note", "check_rows", "refuse_mixed_runs", "scopes_note"]

_NAMED = 3


def refuse_mixed_runs(simulated: Iterable[str], measured: Iterable[str]) -> None:
    """Refuse runs of simulated boards beside runs of others.

    Args:
        simulated, measured: their folders.

    Raises:
        ConfigError: there are some of both.
    """
    made_up, real = sorted(set(simulated)), sorted(set(measured))
    if made_up and real:
        raise ConfigError(
            f"simulated runs ({_named(made_up)}) would stand in one table with measured ones ({_named(real)}): keep "
            "each kind in a results folder of its own, or name the runs to read"
        )


def scopes_note(target_id: str, runs_of_scope: Mapping[str, Iterable[str]]) -> str:
    """One sentence for a target whose energies were measured by several scopes, and so are left out."""
    which = "; ".join(
        f"{scope or 'unknown'}: {_named(sorted(set(runs)))}" for scope, runs in sorted(runs_of_scope.items())
    )
    return (
        f"energies of {target_id} were measured by several scopes ({which}) and are left out of the table, because "
        "such figures cannot be compared; choose one with `energy_scope`"
    )


def caches_note(runs: Iterable[Run], cache: str) -> tuple[str, ...]:
    """One sentence where runs were left out because their caches were not hot or cold as wanted, else none."""
    others = sorted(run.path.as_posix() for run in runs if run.cache != cache)
    if not others:
        return ()
    return (
        f"{len(others)} runs ({_named(others)}) were not measured with {cache} caches and are left out of the table; "
        "choose with `cache`",
    )


def check_rows(rows: Columns, *, with_emulated: bool) -> None:
    """Refuse rows that may not stand together, wherever they come from.

    Raises:
        ConfigError: rows of an emulated processor that were not asked for, simulated beside measured rows, or energies
            of one target by several scopes.
    """
    if not with_emulated and rows.with_issue({EMULATED}).any():
        raise ConfigError("figures of an emulated processor enter no cost table unless that is asked for")
    simulated = rows.coded("emulation").which({SIMULATED}) | rows.with_issue({SIMULATED})
    if simulated.any() and not simulated.all():
        targets = rows.coded("target_id")
        made_up, real = ({targets.values[t] for t in set(targets.codes[mask])} for mask in (simulated, ~simulated))
        raise ConfigError(
            f"a cost table would hold simulated rows ({_named(sorted(made_up))}) beside measured ones "
            f"({_named(sorted(real))}): make a table of each kind"
        )
    _check_scopes(rows)


def _check_scopes(rows: Columns) -> None:
    scopes, targets = rows.coded("energy_scope"), rows.coded("target_id")
    with_energy = rows.has_energy
    found: dict[str, set[str]] = {}
    for target, scope in set(zip(targets.codes[with_energy], scopes.codes[with_energy], strict=True)):
        found.setdefault(targets.values[target], set()).add(scopes.values[scope])
    for target_id, several in sorted(found.items()):
        if len(several) > 1:
            named = ", ".join(sorted(scope or "unknown" for scope in several))
            raise ConfigError(
                f"a cost table would hold energies of {target_id} by several scopes ({named}), which cannot be "
                "compared: make a table of each"
            )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
