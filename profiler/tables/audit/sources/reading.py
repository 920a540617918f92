"""Reading whatever holds a table into figures: ours, those of other projects, and any table of columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import ConfigError
from profiler.tables.audit.figures import Figures
from profiler.tables.audit.sources.columns import figures_of_columns
from profiler.tables.audit.sources.layers import figures_of_layers, is_hwnasbench_layers
from profiler.tables.audit.sources.own import figures_of_rows, is_own, rows_of_csv
from profiler.tables.formats.columns import ColumnOptions, read_frame

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["read_figures"]


def read_figures(path: Path, options: ColumnOptions | None = None) -> list[Figures]:
    """The figures of every device (and dataset or kind) that a file or a folder of results holds.

    Args:
        path: a folder of results or of one run; .json or .parquet as `edgecost table export` writes them; .yaml of
            once-for-all or ProxylessNAS; any .csv or .parquet.
        options: what is known about columns.

    Raises:
        ConfigError: a missing file, one that is not understood, or options that don't fit it.
        StorageError: our own file or folder cannot be read.
    """
    options = options or ColumnOptions()
    if path.is_dir() or is_own(path):
        table = _own_table(path)
        return figures_of_rows(table.all_rows, table.workloads, str(path))
    suffix = path.suffix.lower()
    if not path.exists():
        raise ConfigError(f"there is no {path}; name a table (.json, .parquet, .csv, .yaml) or a folder of results")
    if suffix in (".yaml", ".yml", ".json"):
        return figures_of_layers(path, options)
    if suffix not in (".csv", ".parquet"):
        raise ConfigError(f"cannot audit {path}: the name must end in .json, .parquet, .csv or .yaml")
    frame = read_frame(path)
    own = rows_of_csv(frame, path)
    if own is not None:
        return figures_of_rows(own, {}, str(path))
    if is_hwnasbench_layers(frame.columns):
        return figures_of_layers(path, options)
    return figures_of_columns(frame, path, options)


def _own_table(path: Path) -> CostTable:
    from profiler.tables.folders import table_of_folder
    from profiler.tables.table import CostTable

    return table_of_folder(path, with_emulated=True) if path.is_dir() else CostTable.load(path)
