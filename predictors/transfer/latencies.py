"""Tables of many devices' latencies of the architectures of one space, as HELP's are published.

One row an architecture and device: `device`, `latency_ms`, and the architecture as text in `arch_str` (NAS-Bench-201)
or `op_idx` (FBNet). Parquet or CSV; further columns are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, StorageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SPACE_COLUMNS", "LatencyTable", "read_latencies"]

FloatArray = NDArray[np.float64]

SPACE_COLUMNS = {"arch_str": "nasbench201", "op_idx": "fbnet"}
"""The column in which a space's architectures stand."""

_OTHER_UNITS = ("latency", "latency_s", "latency_us", "latency_ns")


@dataclass(frozen=True)
class LatencyTable:
    """Latencies of n architectures on several devices.

    Attributes:
        space: the name of their space.
        architectures: as written in the file, in order of their first rows.
        devices: by name.
        latency_ms: (n, devices), NaN where an architecture was not measured.
        path: where it was read.
    """

    space: str
    architectures: tuple[str, ...]
    devices: tuple[str, ...]
    latency_ms: FloatArray
    path: str = ""

    def of(self, device: str) -> FloatArray:
        """One device's column (n,), NaN where not measured.

        Raises:
            ConfigError: where the table lacks the device.
        """
        self.need([device])
        return self.latency_ms[:, self.devices.index(device)]

    def need(self, devices: Sequence[str], what: str = "") -> None:
        """Raise ConfigError unless all devices are in the table.

        Args:
            devices: by name.
            what: that needs them, for the sentence.
        """
        lacking = [device for device in devices if device not in self.devices]
        if lacking:
            raise ConfigError(
                f"{what or 'what was asked for'} needs the devices {', '.join(lacking)}, which "
                f"{self.path or 'the table'} lacks (it holds {', '.join(self.devices)}); give a file that has them "
                "with --data, or name others with --sources and --targets"
            )

    def joined(self, other: LatencyTable) -> LatencyTable:
        """Both tables' devices over the architectures of both; a device of both is taken from `other`.

        Raises:
            ConfigError: where they are of different spaces.
        """
        if self.space != other.space:
            raise ConfigError(f"{self.path} is of {self.space} and {other.path} of {other.space}; give files of one")
        names = tuple(dict.fromkeys((*self.architectures, *other.architectures)))
        where = {name: row for row, name in enumerate(names)}
        columns: dict[str, FloatArray] = {}
        for table in (self, other):
            rows = [where[name] for name in table.architectures]
            for device, values in zip(table.devices, table.latency_ms.T, strict=True):
                columns[device] = np.full(len(names), np.nan)
                columns[device][rows] = values
        return LatencyTable(
            self.space, names, tuple(columns), np.stack(list(columns.values()), axis=1), f"{self.path}, {other.path}"
        )


def read_latencies(path: Path) -> LatencyTable:
    """Read a table and check it.

    Raises:
        StorageError: where the file cannot be read.
        ConfigError: where it is not such a table, or holds a latency that is none.
    """
    frame = _frame(path)
    found = [column for column in SPACE_COLUMNS if column in frame.columns]
    if "latency_ms" not in frame.columns:
        other = next((f" ({c} is there: convert it to milliseconds)" for c in _OTHER_UNITS if c in frame.columns), "")
        raise ConfigError(f"{path} has no column latency_ms{other}; it needs device, latency_ms and arch_str or op_idx")
    if "device" not in frame.columns or len(found) != 1:
        raise ConfigError(
            f"{path} is no table of latencies by device: it needs the columns device, latency_ms and one of "
            f"{', '.join(SPACE_COLUMNS)}, and has {', '.join(map(str, frame.columns))[:200]}"
        )
    if "unit" in frame.columns and set(frame["unit"].unique()) != {"ms"}:
        raise ConfigError(f"{path} has units other than ms in its column unit; convert all rows to milliseconds")
    _check_rows(frame, found[0], path)
    wide = frame.pivot(index=found[0], columns="device", values="latency_ms")
    wide = wide.loc[frame[found[0]].drop_duplicates(), list(dict.fromkeys(frame["device"]))]
    return LatencyTable(
        SPACE_COLUMNS[found[0]], tuple(map(str, wide.index)), tuple(map(str, wide.columns)),
        wide.to_numpy(dtype=np.float64), str(path),
    )  # fmt: skip


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError:
        raise StorageError(f"cannot read {path}: no such file; name a table of latencies (Parquet or CSV)") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is neither Parquet nor CSV that can be read: {str(error)[:200]}") from None


def _check_rows(frame: pd.DataFrame, column: str, path: Path) -> None:
    if frame.empty:
        raise ConfigError(f"{path} holds no row; give a table of measured latencies")
    try:
        latency_ms = frame["latency_ms"].to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: latency_ms holds something that is no number") from None
    bad = ~(np.isfinite(latency_ms) & (latency_ms > 0.0))
    if bad.any():
        row = int(bad.argmax())
        raise ConfigError(
            f"{path}: row {row} ({frame['device'].iloc[row]}) has the latency {latency_ms[row]} ms, which is no "
            f"positive number ({int(bad.sum())} such); leave rows out that were not measured"
        )
    twice = frame.duplicated([column, "device"])
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise ConfigError(
            f"{path}: {frame[column].iloc[row]} stands there twice for {frame['device'].iloc[row]} "
            f"({int(twice.sum())} such); keep one latency an architecture and device"
        )
