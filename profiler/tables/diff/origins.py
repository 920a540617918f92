"""Where a table's figures come from, as far as it says: what has to agree before two tables are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.folders import table_of_folder
from profiler.tables.provenance import Provenance
from profiler.tables.row import SIMULATED, Row
from profiler.tables.table import CostTable

__all__ = ["Origin", "Side", "load_side"]


@dataclass(frozen=True)
class Origin:
    """What is known of one target's figures.

    Attributes:
        target: the configuration measured.
        emulations: "" for hardware, "loopback", "qemu", "simulated"; a value a row that has a figure.
        unpinned: the share of these rows whose clock could not be pinned.
        scopes: of the energies; empty where there are none, or none is said.
        said: what the runs say; None where the table does not hold that.
        cut: how networks are cut into this target's kernels, and kernels isolated, where that was chosen by closure.
    """

    target: Target
    emulations: frozenset[str]
    unpinned: float = 0.0
    scopes: frozenset[str] = frozenset()
    said: Provenance | None = None
    cut: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """One of the two tables.

    Attributes:
        name: the file or folder, for people.
        table: its rows.
        origins: by target id.
    """

    name: str
    table: CostTable
    origins: Mapping[str, Origin]


def load_side(path: Path, cuts: Mapping[str, Mapping[str, str]] | None = None) -> Side:
    """Read a table that was exported (.json, .parquet), a folder of results or one of its runs.

    Args:
        path: of the file or folder.
        cuts: by target id the cut and isolation that were chosen, as far as any were.

    Raises:
        ConfigError: there is no such file, or it is no table of ours.
        StorageError: it cannot be read, or is of a newer schema.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}; name an exported table (.json, .parquet) or a folder of results")
    if path.suffix.lower() == ".csv" and not path.is_dir():
        raise ConfigError(f"{path} holds rows without their targets; export the table as .json or .parquet instead")
    table = table_of_folder(path) if path.is_dir() else CostTable.load(path)
    if not table.rows():
        raise ConfigError(f"{path} holds no row with a figure, so there is nothing to compare")
    chosen = cuts or {}
    origins = {
        target.id: _origin(target, rows, table.provenance.get(target.id), chosen.get(target.id, {}))
        for target in table.targets
        if (rows := table.rows(target.id))
    }
    return Side(str(path), table, origins)


def _origin(target: Target, rows: Sequence[Row], said: Provenance | None, cut: Mapping[str, str]) -> Origin:
    return Origin(
        target,
        emulations=frozenset(_emulation(row) for row in rows),
        unpinned=sum("unpinned" in row.issues for row in rows) / len(rows),
        scopes=frozenset(row.energy_scope for row in rows if row.energy_mj is not None and row.energy_scope),
        said=said,
        cut=cut,
    )


def _emulation(row: Row) -> str:
    return SIMULATED if SIMULATED in row.issues else row.emulation
