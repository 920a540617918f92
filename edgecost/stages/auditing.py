"""What a finished table says about its own figures, from file to findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecost.stages.places import data_folder
from profiler.errors import ConfigError
from profiler.tables.formats.columns import ColumnOptions

__all__ = ["PUBLIC_TABLES", "audit_file"]

PUBLIC_TABLES = {
    "hwnasbench": "hwnasbench_nb201_cifar10.parquet",
    "hwnasbench-layers": "hwnasbench_fbnet_lut_cifar100_recovered.parquet",
    "help-nasbench201": "help_nasbench201_latency.parquet",
    "help-fbnet": "help_fbnet_latency.parquet",
}
"""Names of tables in the folder of public data."""


def audit_file(file: str, options: ColumnOptions, checks: Sequence[str] = ()) -> dict[str, Any]:
    """Run the checks on a table.

    Args:
        file: a path, or a name out of PUBLIC_TABLES.
        options: what is known about its columns.
        checks: names of checks; by default all.

    Returns:
        The devices (or targets) with their rows and class, how many findings there are of each severity, the summary
        and the findings.

    Raises:
        ConfigError: the file is not there or not understood, or there is no such check.
        StorageError: a file or folder of our own cannot be read.
    """
    from profiler.tables.audit.auditing import CHECKS, audit
    from profiler.tables.audit.figures import SEVERITIES
    from profiler.tables.audit.sources.reading import read_figures

    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise ConfigError(f"there is no check {unknown[0]!r}; choose out of {', '.join(CHECKS)}")
    found = audit(read_figures(_path(file), options), checks)
    return {
        "file": file,
        "tables": [
            {"device": t.device, "rows": len(t.keys), "class": t.device_class.name, "source": t.source}
            for t in found.tables
        ],
        "counts": {severity: found.count(severity) for severity in SEVERITIES},
        "summary": found.summary(),
        "findings": [finding.to_dict() for finding in found.findings],
    }


def _path(file: str) -> Path:
    """ConfigError where a public table is named and there is no folder of public data."""
    path = Path(file)
    if path.exists() or file not in PUBLIC_TABLES:
        return path
    folder = data_folder()
    if folder is None:
        raise ConfigError(
            f"{file} is a public table, looked for in the folder that EDGECOST_DATA names; set it, or name a file"
        )
    return folder / PUBLIC_TABLES[file]
