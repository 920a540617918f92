"""HW-NAS-Bench's costs of whole NAS-Bench-201 networks (Li et al., ICLR 2021) on six devices, one image a run.

Two forms are read: columns `<device>_latency_ms` and `<device>_energy_mj` with a row an architecture (and data set), as
derived from the published file; and the long form that `write_networks` makes of them. Latencies of edgegpu, raspi4,
edgetpu and pixel3 were measured by their authors, eyeriss is simulated and fpga estimated. The Edge TPU's compiler
refused some networks, upstream a latency of -1: here a refusal, never a number. What is NaN is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.measure.runfolder import write_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DATASETS",
    "DEVICES",
    "FILES",
    "NetworkTable",
    "Quantity",
    "read_networks",
    "write_networks",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Quantity = Literal["latency", "energy"]

DEVICES = ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga")
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
FILES = ("hwnasbench_nb201_cifar10.parquet", "hwnasbench_nb201_other_datasets_derived.parquet")
"""Data of CIFAR-10, and of the other data sets where an exact relation gives them."""

_UNITS: dict[Quantity, str] = {"latency": "ms", "energy": "mj"}
_REFUSED_STATUS = "upstream_-1"


@dataclass(frozen=True, eq=False)
class NetworkTable:
    """Costs of n networks on one data set.

    Attributes:
        names: architecture strings, each once.
        dataset: out of DATASETS.
        columns: by device and quantity, (n,) ms or mJ; NaN where unknown or refused.
        refused: by device, (n,) whether the device's compiler refused the network.
        source: the file, for messages.
        digest: of the file's bytes.
    """

    names: tuple[str, ...]
    dataset: str
    columns: Mapping[tuple[str, Quantity], Floats]
    refused: Mapping[str, Bools] = field(default_factory=dict)
    source: str = ""
    digest: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices with at least one known latency."""
        return self.devices_with("latency")

    def devices_with(self, quantity: Quantity) -> tuple[str, ...]:
        """Devices of which at least one such cost is known."""
        return tuple(d for (d, q), column in self.columns.items() if q == quantity and np.isfinite(column).any())

    def of(self, device: str, quantity: Quantity = "latency") -> tuple[Floats, Bools]:
        """(n,) costs, NaN where there is none, and (n,) whether the device refused the network.

        Raises:
            ConfigError: where the table has none of the device.
        """
        column = self.columns.get((device, quantity))
        if column is None or not np.isfinite(column).any():
            known = ", ".join(self.devices_with(quantity)) or "none"
            raise ConfigError(f"{self.source} has no {quantity} of {device!r} on {self.dataset}; it has {known}")
        return column, self.refused.get(device, np.zeros(len(self.names), dtype=bool))


def read_networks(path: Path, dataset: str = "cifar10") -> NetworkTable:
    """Read the table of one data set.

    Args:
        path: a file in either form, or the folder that holds FILES.
        dataset: out of DATASETS.

    Raises:
        ConfigError: a missing or unreadable file, or one that is not such a table.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"there is no data set {dataset!r}; known are {', '.join(DATASETS)}")
    if path.is_dir():
        path = path / FILES[0 if dataset == "cifar10" else 1]
    frame, digest = _read(path)
    long = "device" in frame.columns
    if "arch_str" not in frame.columns or "dataset" not in frame.columns:
        raise ConfigError(f"{path} is no table of networks: it lacks the columns arch_str and dataset")
    frame = frame[frame["dataset"] == dataset]
    if frame.empty:
        raise ConfigError(f"{path} holds nothing of the data set {dataset}")
    parts = {str(d): f for d, f in frame.groupby("device", sort=False)} if long else {"": frame}
    names: tuple[str, ...] = ()
    columns: dict[tuple[str, Quantity], Floats] = {}
    refused: dict[str, Bools] = {}
    for name, part in parts.items():
        own = tuple(part["arch_str"].astype(str))
        if len(set(own)) != len(own):
            raise ConfigError(f"{path} holds an architecture twice on {dataset}")
        if names and own != names:
            raise ConfigError(f"{path} lists the architectures of {name} in another order than of its other devices")
        names = own
        for device in (name,) if long else DEVICES:
            _take(part, device, "" if long else f"{device}_", columns, refused, path)
    if not columns:
        raise ConfigError(f"{path} is no table of networks: it has no column such as fpga_latency_ms")
    return NetworkTable(names, dataset, columns, refused, str(path), digest)


def _take(
    frame: pd.DataFrame,
    device: str,
    prefix: str,
    columns: dict[tuple[str, Quantity], Floats],
    refused: dict[str, Bools],
    path: Path,
) -> None:
    """One device's columns."""
    status = frame[f"{prefix}status"] if f"{prefix}status" in frame.columns else None
    out = np.zeros(len(frame), dtype=bool)
    if status is not None:
        out |= status.isin((_REFUSED_STATUS, "refused")).to_numpy(dtype=bool)
    found: dict[Quantity, Floats] = {}
    for quantity, unit in _UNITS.items():
        name = f"{prefix}{quantity}_{unit}"
        if name in frame.columns:
            found[quantity] = frame[name].to_numpy(dtype=np.float64, copy=True)
    if device == "edgetpu" and "latency" in found:
        out |= found["latency"] == -1
    for quantity, values in found.items():
        values[out] = np.nan
        wrong = np.flatnonzero((values <= 0) | np.isinf(values))
        if len(wrong):
            raise ConfigError(
                f"{path}: {device} has the {quantity} {values[wrong[0]]:g} for {frame['arch_str'].iloc[wrong[0]]}, "
                "which is no cost; unknown ones are empty"
            )
        columns[device, quantity] = values
    if found and out.any():
        refused[device] = out


def write_networks(tables: list[NetworkTable], path: Path) -> int:
    """Write tables in the long form: arch_str, dataset, device, latency_ms, energy_mj, status; returns the rows.

    status is "known", "refused" or "unknown" and tells of the latency. The file's metadata name the source and its
    digest.

    Raises:
        StorageError: where the file cannot be written.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    parts = [_long(table, device) for table in tables for device in table.devices]
    whole = pa.concat_tables(parts)
    notes = {"edgecost": "networks 1", "source": "; ".join(f"{Path(t.source).name} {t.digest}" for t in tables)}
    sink = pa.BufferOutputStream()
    pq.write_table(whole.replace_schema_metadata(notes), sink, compression="zstd")
    write_file(path, sink.getvalue().to_pybytes())
    return int(whole.num_rows)


def _long(table: NetworkTable, device: str) -> object:
    import pyarrow as pa

    n = len(table.names)
    latency, refused = table.of(device)
    energy = table.columns.get((device, "energy"), np.full(n, np.nan))
    status = np.where(refused, "refused", np.where(np.isfinite(latency), "known", "unknown"))
    return pa.table(
        {
            "arch_str": pa.array(table.names),
            "dataset": pa.array([table.dataset] * n),
            "device": pa.array([device] * n),
            "latency_ms": pa.array(latency, from_pandas=True),
            "energy_mj": pa.array(energy, from_pandas=True),
            "status": pa.array(status.tolist()),
        }
    )


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = path.read_bytes()
        return pq.read_table(pa.BufferReader(data)).to_pandas(), hashlib.sha256(data).hexdigest()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}; name a table of networks, or the folder that holds {FILES[0]} (EDGECOST_DATA)"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} cannot be read as a parquet file ({reason}); fetch it again") from None
