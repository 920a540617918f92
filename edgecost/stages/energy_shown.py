"""The energies of a results folder as people read them, and what reading them cost the board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import load_table, resolve_target
from edgecost.stages.energy_costs import simulated_words

if TYPE_CHECKING:
    from profiler.measure.energy_rounds import ObserverEffect
    from profiler.tables.row import Row
    from profiler.tables.table import CostTable

__all__ = ["energies", "sampler_sentence"]


def energies(results: Path, target: str) -> dict[str, Any]:
    """The rows of a target that have an energy or say why not, the dearest first, and the sampler's effect.

    Raises:
        StorageError: there is no run.
        UnknownWorkload: the table lacks the target.
    """
    table = load_table(results)
    target_id = resolve_target(table, target)
    rows = [_row(row) for row in table.rows(target_id)]
    rows.sort(key=lambda row: -(row["energy_mj"] or row["upper_mj"] or 0.0))
    effect = _effect(table, target_id)
    return {
        "target": target_id,
        "rows": rows,
        "sampler": None if effect is None else {**{n: getattr(effect, n) for n in _FIGURES}, "matters": effect.matters},
        "sentence": sampler_sentence(effect),
        "notes": [*table.notes, *filter(None, [simulated_words(table, target_id).strip()])],
    }


_FIGURES = ("latency", "latency_u", "power", "power_u", "idle", "idle_u", "rounds")


def _row(row: Row) -> dict[str, Any]:
    return {
        "label": row.label,
        "kind": row.kind,
        "energy_mj": row.energy_mj,
        "u_mj": row.energy_u_mj,
        "gross_mj": row.energy_gross_mj,
        "upper_mj": row.energy_upper_mj,
        "scope": row.energy_scope,
        "issues": [code for code in row.issues if code.startswith(("energy_", "sensor_"))],
    }


def _effect(table: CostTable, target_id: str) -> ObserverEffect | None:
    from profiler.measure.energy_rounds import observer_effect
    from profiler.measure.journal import read_journal

    wanted = {row.energy_run_id for row in table.rows(target_id) if row.energy_run_id}
    folders = [Path(source) for source in table.sources if Path(source).name in wanted]
    journals = (read_journal(folder / "journal.jsonl").measurements for folder in folders)
    return observer_effect(m for found in journals for m in found if m.target_id == target_id)


def sampler_sentence(effect: ObserverEffect | None) -> str:
    """What reading the sensor costs the board, in one sentence."""
    if effect is None:
        return "what reading the sensor costs the board itself was not measured"
    pairs = (
        ("a run's time", effect.latency, effect.latency_u),
        ("power under load", effect.power, effect.power_u),
        ("power at rest", effect.idle, effect.idle_u),
    )
    told = ", ".join(
        f"{name} {100 * value:+.2f} ± {100 * (u or 0.0):.2f} %" for name, value, u in pairs if value is not None
    )
    more = "; energies and latencies are from runs of their own in any case" if effect.matters else ""
    return f"reading the sensor changes {told} (k = 2, {effect.rounds} rounds){more}"
