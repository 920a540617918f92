"""CostTable: journals as something to ask; a projection that can be made again from the journals at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, StorageError, UnknownWorkload
from profiler.fleet.targets import Target
from profiler.measure.stats import noise_floor
from profiler.tables.estimate import Run, read_run, rows_of_runs
from profiler.tables.export import load_contents, write_table
from profiler.tables.row import EMULATED, GATE_CODES, ROW_KINDS, Gates, Row, RowKind
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
    ) -> None:
        self._rows = tuple(rows)
        self.workloads: Mapping[str, Workload] = MappingProxyType(dict(workloads or {}))
        self.targets = tuple(sorted(targets, key=lambda target: target.id))
        self.gates = gates or Gates()
        self.corrupt_lines = corrupt_lines
        self.sources = tuple(sources)
        self.with_emulated = with_emulated
        self.left_out: Mapping[str, int] = MappingProxyType(dict(left_out or {}))
        if not with_emulated and any(EMULATED in row.issues for row in self._rows):
            raise ConfigError("figures of an emulated processor enter no cost table unless that is asked for")
        self._index: dict[tuple[str, str, RowKind], Row] = {(r.target_id, r.key, r.kind): r for r in self._rows}
        if len(self._index) != len(self._rows):
            raise ConfigError("a cost table holds two rows for the same target, kind and workload")

    @classmethod
    def from_runs(cls, paths: Iterable[Path], gates: Gates | None = None, *, with_emulated: bool = False) -> CostTable:
        """Read run folders.

        Where several hold the same workload of a target, the newest one with a figure counts. What an emulated
        processor gave (issue `emulated`) is left out and counted, unless `with_emulated`.

        Raises:
            StorageError: one is not a run folder, cannot be read, or is of a newer schema.
        """
        gates = gates or Gates()
        runs = {path: read_run(path, with_emulated=with_emulated) for path in paths}
        rows = rows_of_runs(runs.values(), gates)
        left_out = Counter[str]()
        for run in runs.values():
            if run.left_out:
                left_out[run.target.id] += run.left_out
        # a target of which nothing was let in is not one that the table knows
        targets = {run.target.id: run.target for run in runs.values() if run.data or not run.left_out}
        workloads, unreadable = _workloads(runs.values(), {row.key for row in rows})
        corrupt = sum(run.corrupt_lines for run in runs.values()) + unreadable
        sources = [path.as_posix() for path in runs]
        return cls(rows, workloads, targets.values(), gates, corrupt, sources, with_emulated, left_out)

    @classmethod
    def from_results(cls, results_dir: Path, gates: Gates | None = None, *, with_emulated: bool = False) -> CostTable:
        """Read every run below a folder of results (<device>/<run-id>/run.json), as `from_runs` does.

        Raises:
            StorageError: there is no run, or one cannot be read.
        """
        paths = sorted(path.parent for path in results_dir.glob("*/*/run.json"))
        if not paths:
            raise StorageError(f"there are no runs below {results_dir}; `edgecost profile` makes one")
        return cls.from_runs(paths, gates, with_emulated=with_emulated)

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
        return self._rows

    def rows(
        self, target_id: str | None = None, kind: RowKind | None = None, *, with_failed: bool = False
    ) -> tuple[Row, ...]:
        """The rows of a target and kind that have a figure, also of those that failed a gate (`Row.gated`).

        Args:
            target_id, kind: by default all.
            with_failed: also rows without a figure; their `status` and `error` say why.
        """
        return tuple(
            row
            for row in self._rows
            if (target_id is None or row.target_id == target_id)
            and (kind is None or row.kind == kind)
            and (with_failed or row.has_figure)
        )

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
        found = [self._find(target_id, key, kind) for key in keys]
        missing = tuple(
            dict.fromkeys(key for key, row in zip(keys, found, strict=True) if row is None or not row.has_figure)
        )
        if missing:
            named = ", ".join(self._name(target_id, key, kind) for key in missing[:_NAMED_IN_ERRORS])
            more = f" and {len(missing) - _NAMED_IN_ERRORS} more" if len(missing) > _NAMED_IN_ERRORS else ""
            raise UnknownWorkload(
                f"the table lacks {len(missing)} costs on {target_id}: {named}{more}; {_remedy(target_id)}", missing
            )
        return np.array([row.latency_ns for row in found if row is not None], dtype=np.float64) / NS_PER_MS

    def noise_floor(self, target_id: str, split: str | None = None) -> float:
        """The median between-round spread of a target's whole models (of one split): no model of cost can be shown
        to be closer than this. Relative; NaN where no model was measured twice."""
        models = self.rows(target_id, "model")
        return noise_floor([row.spread for row in models if split is None or row.split == split])

    def to_frame(self) -> pd.DataFrame:
        """Every row as a pandas data frame; `issues` are joined by blanks."""
        import pandas as pd

        rows = [{**row.to_dict(), "issues": " ".join(row.issues)} for row in self._rows]
        frame = pd.DataFrame(rows, columns=list(Row.__dataclass_fields__))
        numbers = ["latency_ns", "low_ns", "high_ns", "isolated_ns", "spread", "energy_mj", "load_ns"]
        return frame.astype(dict.fromkeys(numbers, "float64"))

    def _find(self, target_id: str, key: str, kind: RowKind | None) -> Row | None:
        kinds = ROW_KINDS if kind is None else (kind,)
        found = [row for k in kinds if (row := self._index.get((target_id, key, k))) is not None]
        return next((row for row in found if row.has_figure), found[0] if found else None)

    def _name(self, target_id: str, key: str, kind: RowKind | None) -> str:
        """How an error names a workload: its label here or on another target, and why it has no figure."""
        row = self._find(target_id, key, kind)
        if row is not None:
            return f"{row.label!r} ({row.status}{': ' if row.error else ''}{row.error})"
        label = next((r.label for r in self._rows if r.key == key), "")
        return f"{label!r} (never measured there)" if label else f"workload {key[:12]} (never measured)"


def _remedy(target_id: str) -> str:
    return f"measure it with `edgecost profile --target {target_id}`"


def _workloads(runs: Iterable[Run], keys: set[str]) -> tuple[dict[str, Workload], int]:
    """Workloads by key, and how many lines were no workload."""
    found: dict[str, Workload] = {}
    unreadable = 0
    for run in runs:
        for key in keys & run.subjects.keys() - found.keys():
            try:
                found[key] = Workload.from_dict(run.subjects[key].workload)
            except ConfigError:
                unreadable += 1
    return found, unreadable
