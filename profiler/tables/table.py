"""CostTable: journals as something to ask; a projection that can be made again from the journals at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, StorageError, UnknownWorkload
from profiler.fleet.targets import Target
from profiler.measure.stats import noise_floor
from profiler.tables.columns import Coded, Columns
from profiler.tables.export import load_contents, write_table
from profiler.tables.loading.rows import reduce_runs
from profiler.tables.loading.runs import Run, read_run
from profiler.tables.loading.subjects import LazyWorkloads, Subjects
from profiler.tables.mixing import caches_note, check_rows
from profiler.tables.provenance import Provenance, provenance_of
from profiler.tables.row import GATE_CODES, NUMBERS, ROW_KINDS, Gates, Row, RowKind
from profiler.tables.sentinels import SentinelRun, sentinels_of
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GATE_CODES", "CostTable", "Gates", "Row"]

NS_PER_MS = 1e6
_NAMED_IN_ERRORS = 5


class CostTable:
    """What workloads cost on targets.

        table = CostTable.from_results(Path("results"))
        table.lookup("rpi5/onnxruntime-fp32-t1", kernel.key).latency_ns

    Attributes:
        targets: all targets with a row, sorted by id.
        workloads: every subject's workload by key, also of rows that failed.
        gates: the widths that the issue codes were given by.
        corrupt_lines: lines of the journals that were skipped because they could not be read.
        sources: the run folders that the table was read from.
        with_emulated: whether rows of an emulated processor are let in, whose latencies say nothing about any hardware.
        left_out: how many of its measurements were not let in, by target id.
        notes: what else was left out and why, a sentence each.
    """

    def __init__(
        self,
        rows: Iterable[Row] = (),
        workloads: Mapping[str, Workload] | None = None,
        targets: Iterable[Target] = (),
        gates: Gates | None = None,
        corrupt_lines: int = 0,
        sources: Sequence[str] = (),
        with_emulated: bool = False,
        left_out: Mapping[str, int] | None = None,
        notes: Sequence[str] = (),
        provenance: Mapping[str, Provenance] | None = None,
    ) -> None:
        self._columns = rows if isinstance(rows, Columns) else Columns.of(rows)
        self.workloads: Mapping[str, Workload] = (
            workloads if isinstance(workloads, LazyWorkloads) else MappingProxyType(dict(workloads or {}))
        )
        self.targets = tuple(sorted(targets, key=lambda target: target.id))
        self.gates = gates or Gates()
        self.corrupt_lines = corrupt_lines
        self.sources = tuple(sources)
        self.with_emulated = with_emulated
        self.left_out: Mapping[str, int] = MappingProxyType(dict(left_out or {}))
        self.notes = tuple(notes)
        self._runs: tuple[Run, ...] = ()
        self._provenance = provenance
        check_rows(self._columns, with_emulated=with_emulated)
        names = [self._columns.coded(name).tolist() for name in ("target_id", "key", "kind")]
        self._index: dict[tuple[str, str, RowKind], int] = {
            place: i for i, place in enumerate(zip(*names, strict=True))
        }
        if len(self._index) != len(self._columns):
            (target_id, key, kind), _ = Counter(zip(*names, strict=True)).most_common(1)[0]
            label = self._columns[self._index[target_id, key, kind]].label
            raise ConfigError(
                f"a cost table holds two rows for one target, kind and workload: {kind} {label!r} on {target_id}; "
                "leave one of them out"
            )

    @classmethod
    def from_runs(
        cls,
        paths: Iterable[Path],
        gates: Gates | None = None,
        *,
        with_emulated: bool = False,
        energy_scope: str | None = None,
        cache: Literal["hot", "cold"] = "hot",
    ) -> CostTable:
        """Read run folders.

        Where several hold the same workload of a target, the newest one with a figure counts, and for its energy the
        newest one with an energy. What an emulated processor gave (issue `emulated`) is left out and counted, unless
        `with_emulated`. Where a target's energies are of several scopes they are left out with a note, unless
        `energy_scope` names the one to let in. Runs with hot and with cold caches make tables of their own: those of
        the other kind than `cache` are left out with a note.

        The first read of a journal takes some 0.05 ms a measurement, about a minute for a million; what came of it is
        kept beside the journal, and from then on a million measurements take about a second.

        Raises:
            StorageError: one is not a run folder, cannot be read, or is of a newer schema.
            ConfigError: some are of simulated boards and others are not.
        """
        gates = gates or Gates()
        all_runs = {path: read_run(path) for path in paths}
        runs = {path: run for path, run in all_runs.items() if run.cache == cache}
        found = reduce_runs(runs.values(), gates, with_emulated=with_emulated, energy_scope=energy_scope)
        targets = {run.target.id: run.target for run in runs.values() if run.target.id in found.targets}
        workloads = _workloads(runs.values(), set(found.rows.coded("key").values))
        corrupt = sum(run.corrupt_lines for run in runs.values())
        sources = [path.as_posix() for path in runs]
        left_out, notes = found.left_out, (*found.notes, *caches_note(all_runs.values(), cache))
        table = cls(found.rows, workloads, targets.values(), gates, corrupt, sources, with_emulated, left_out, notes)
        table._runs = tuple(runs.values())
        return table

    @classmethod
    def from_results(
        cls,
        results_dir: Path,
        gates: Gates | None = None,
        *,
        with_emulated: bool = False,
        energy_scope: str | None = None,
        cache: Literal["hot", "cold"] = "hot",
    ) -> CostTable:
        """Read every run below a folder of results (<device>/<run-id>/run.json), as `from_runs` does.

        Raises:
            StorageError: there is no run, or one cannot be read.
            ConfigError: some are of simulated boards and others are not.
        """
        paths = sorted(path.parent for path in results_dir.glob("*/*/run.json"))
        if not paths:
            raise StorageError(f"there are no runs below {results_dir}; `edgecost profile` makes one")
        return cls.from_runs(paths, gates, with_emulated=with_emulated, energy_scope=energy_scope, cache=cache)

    @classmethod
    def load(cls, path: Path) -> CostTable:
        """Read what `export` wrote as .json or .parquet.

        Raises:
            ConfigError: the file is missing or is not a table.
            StorageError: it cannot be read, or is of a newer schema.
        """
        return cls(**load_contents(path))

    def export(self, path: Path) -> None:
        """Write the table to a file ending in .json or .parquet (read back by `load`) or .csv (rows only).

        Raises:
            ConfigError: another ending.
            StorageError: the file cannot be written.
        """
        write_table(self, path)

    # ---------------------------------------------------------------- asking

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Every row, the ones without a figure too."""
        return tuple(self._columns)

    def rows(
        self,
        target_id: str | None = None,
        kind: RowKind | None = None,
        *,
        with_failed: bool = False,
        with_gated: bool = True,
    ) -> tuple[Row, ...]:
        """The rows of a target and kind that have a figure.

        Args:
            target_id, kind: by default all.
            with_failed: also rows without a figure; their `status` and `error` say why.
            with_gated: also rows that failed a gate (`Row.gated`): models of cost weigh them down rather than do
                without. Without them it is the view for those who look for figures to quote.
        """
        columns = self._columns
        return columns.take(columns.where(target_id, kind, with_failed=with_failed, with_gated=with_gated).tolist())

    def target(self, target_id: str) -> Target:
        """A target of the table by its id.

        Raises:
            UnknownWorkload: there is none.
        """
        for target in self.targets:
            if target.id == target_id:
                return target
        known = ", ".join(target.id for target in self.targets) or "no target"
        raise UnknownWorkload(f"the table has no rows for target {target_id!r}; it knows {known}")

    def sentinels(self, target_id: str) -> tuple[SentinelRun, ...]:
        """How the sentinel of a target went, in the order of time; a table that was read from a file has none."""
        return sentinels_of(run for run in self._runs if run.target.id == target_id)

    @property
    def provenance(self) -> Mapping[str, Provenance]:
        """How each target's figures were measured, by target id, as far as runs or the file say.

        Raises:
            StorageError: the header of a run cannot be read.
        """
        if self._provenance is None:
            self._provenance = provenance_of(self._runs)
        return self._provenance

    def lookup(self, target_id: str, key: str, kind: RowKind | None = None) -> Row:
        """The row of one workload; where it was measured in several ways, the kernel's rather than the block's, and
        that rather than the model's, unless `kind` says otherwise.

        Raises:
            UnknownWorkload: there is no row, or it has no figure.
        """
        row = self._find(target_id, key, kind)
        if row is None or not row.has_figure:
            raise UnknownWorkload(
                f"the table has no cost of {self._name(target_id, key, kind)} on {target_id}; {_remedy(target_id)}",
                (key,),
            )
        return row

    def costs_ms(self, target_id: str, keys: Sequence[str], kind: RowKind | None = None) -> NDArray[np.float64]:
        """Latencies in ms, shape (len(keys),), in the order of `keys`.

        Raises:
            UnknownWorkload: any of them has no figure; names all that are missing. None is ever left out.
        """
        found = [self._place(target_id, key, kind) for key in keys]
        figure = self._columns.has_figure
        missing = tuple(
            dict.fromkeys(key for key, i in zip(keys, found, strict=True) if i is None or not figure.item(i))
        )
        if missing:
            named = ", ".join(self._name(target_id, key, kind) for key in missing[:_NAMED_IN_ERRORS])
            more = f" and {len(missing) - _NAMED_IN_ERRORS} more" if len(missing) > _NAMED_IN_ERRORS else ""
            raise UnknownWorkload(
                f"the table lacks {len(missing)} costs on {target_id}: {named}{more}; {_remedy(target_id)}", missing
            )
        return self._columns.numbers("latency_ns")[np.array(found, dtype=np.intp)] / NS_PER_MS

    def noise_floor(self, target_id: str, split: str | None = None) -> float:
        """The median between-round spread of a target's whole models (of one split): no model of cost can be shown
        to be closer than this. Relative; NaN where no model was measured twice."""
        models = self.rows(target_id, "model")
        return noise_floor([row.spread for row in models if split is None or row.split == split])

    def to_frame(self) -> pd.DataFrame:
        """Every row as a pandas data frame; `issues` are joined by blanks."""
        import pandas as pd

        columns = self._columns.columns
        frame = pd.DataFrame({name: _listed(column) for name, column in columns.items()})
        frame["issues"] = [" ".join(issues) for issues in frame["issues"]]
        return frame.astype(dict.fromkeys(NUMBERS, "float64"))

    def _find(self, target_id: str, key: str, kind: RowKind | None) -> Row | None:
        place = self._place(target_id, key, kind)
        return None if place is None else self._columns[place]

    def _place(self, target_id: str, key: str, kind: RowKind | None) -> int | None:
        """Of the row that answers for a workload: the first kind that has a figure, or else that there is."""
        first, figure = None, self._columns.has_figure
        for k in ROW_KINDS if kind is None else (kind,):
            place = self._index.get((target_id, key, k))
            if place is not None:
                if figure.item(place):
                    return place
                first = place if first is None else first
        return first

    def _name(self, target_id: str, key: str, kind: RowKind | None) -> str:
        """How an error names a workload: its label here or on another target, and why it has no figure."""
        row = self._find(target_id, key, kind)
        if row is not None:
            return f"{row.label!r} ({row.status}{': ' if row.error else ''}{row.error})"
        same = np.flatnonzero(self._columns.coded("key").which({key}))
        label = self._columns[int(same[0])].label if len(same) else ""
        return f"{label!r} (never measured there)" if label else f"workload {key[:12]} (never measured)"


def _remedy(target_id: str) -> str:
    return f"measure it with `edgecost profile --target {target_id}`"


def _workloads(runs: Iterable[Run], keys: set[str]) -> LazyWorkloads:
    """The workloads of rows, each where the first run that has it keeps it."""
    found: dict[str, Subjects] = {}
    for run in runs:
        found |= dict.fromkeys(keys & run.subjects.places.keys() - found.keys(), run.subjects)
    return LazyWorkloads(found)


def _listed(column: Coded | NDArray[Any]) -> Any:
    return column.tolist() if isinstance(column, Coded) else column
