"""HW-NAS-Bench's costs of whole networks, read, checked and written as one table of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profiler.errors import ConfigError

__all__ = ["NAME", "import_networks"]

NAME = "hw-nas-bench"


def import_networks(path: Path, out: Path) -> dict[str, Any]:
    """Write the six devices' costs of all NAS-Bench-201 networks, on every data set that has some, to one file.

    Args:
        path: "hw-nas-bench" for EDGECOST_DATA where no such folder is here, or a folder of that name anywhere.
        out: the file to write, .parquet.

    Raises:
        ConfigError: where the data are not found or are no such tables, or `out` has another ending.
        StorageError: where it cannot be written.
    """
    from edgecost.stages.places import data_folder
    from profiler.tables.formats.hwnasbench_networks import DATASETS, read_networks, write_networks
    from search.evrsnas.costs import costs_of_table
    from search.spaces.nasbench201 import NasBench201

    if out.suffix.lower() != ".parquet":
        raise ConfigError(f"cannot write the table to {out}: the name must end in .parquet")
    folder = path if path.is_dir() else data_folder() if path == Path(NAME) else None
    if folder is None:
        raise ConfigError(
            f"there is no folder {path}; give the path of one of that name with HW-NAS-Bench's files, or set "
            f"EDGECOST_DATA to their folder and write {NAME} alone"
        )
    tables = [read_networks(folder, dataset) for dataset in DATASETS]
    space = NasBench201()
    counts = []
    for table in tables:
        for device in table.devices:
            costs = costs_of_table(space, table, device)
            known, refused = int(costs.known.sum()), int(costs.refused.sum())
            counts.append({"dataset": table.dataset, "device": device, "known": known, "refused": refused,
                           "unknown": len(costs.values) - known - refused})  # fmt: skip
    rows = write_networks(tables, out)
    told = ", ".join(
        f"{c['device']} {c['known']}" + (f" and {c['refused']} refused" if c["refused"] else "")
        for c in counts
        if c["dataset"] == "cifar10"
    )
    return {
        "file": str(out),
        "rows": rows,
        "counts": counts,
        "sentence": f"{rows} rows written to {out}; latencies known on CIFAR-10: {told}; unknown ones are empty",
    }
