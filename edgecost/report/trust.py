"""How far a report's figures can be trusted: their spread, their boards over the campaign, their energies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecost.report.boards import BoardCourse, board_courses
from edgecost.report.energies import EnergySection, energy_section
from edgecost.report.spread import SpreadSection, spread_section
from profiler.tables.row import SIMULATED

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run
    from profiler.tables.table import CostTable

__all__ = ["TrustSection", "trust_section"]


@dataclass(frozen=True, slots=True)
class TrustSection:
    """The section's parts.

    Attributes:
        label: what stands behind every heading and title, such as " (simulated)"; "" for hardware.
        spread, energy: of all targets; boards: one course a target, in the order of names.
    """

    label: str
    spread: SpreadSection
    boards: tuple[BoardCourse, ...]
    energy: EnergySection


def trust_section(table: CostTable, names: Mapping[str, str]) -> TrustSection:
    """What a table and the journals behind it say.

    Args:
        table: of run folders, which are read once more from their digests; one without sources has no courses.
        names: target id -> what the report calls it, in the order shown.

    Raises:
        StorageError: a run cannot be read.
    """
    from profiler.tables.loading.runs import read_run

    runs: dict[str, list[Run]] = {target: [] for target in names}
    for source in table.sources:
        run = read_run(Path(source))
        if run.target.id in runs:
            runs[run.target.id].append(run)
    # a table holds rows of simulated boards or others, never both
    emulations = {run.emulation for found in runs.values() for run in found} | {r.emulation for r in table.all_rows}
    label = " (simulated)" if SIMULATED in emulations else ""
    courses = (board_courses(names[target], found) for target, found in runs.items())
    return TrustSection(
        label=label,
        spread=spread_section(table, names, runs),
        boards=tuple(course for course in courses if course is not None),
        energy=energy_section(table, names),
    )
