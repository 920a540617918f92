"""The form of HW-NAS-Bench's table of FBNet's layers, written: what `hwnasbench` reads back as the same table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError
from profiler.measure.runfolder import write_file
from profiler.tables.formats.hwnasbench import CONSTANT_KEY, FbnetTable, fbnet_places

__all__ = ["write_hwnasbench"]

_INTEGERS = ("h", "w", "cin", "cout", "expand", "kernel", "stride", "group")


@dataclass(frozen=True, slots=True)
class _Row:
    device: str
    key: str
    latency_ms: float
    absolute: bool
    block: str | None = None
    h: int | None = None
    w: int | None = None
    cin: int | None = None
    cout: int | None = None
    expand: int | None = None
    kernel: int | None = None
    stride: int | None = None
    group: int | None = None


def write_hwnasbench(table: FbnetTable, path: Path, note: str = "") -> None:
    """Write a table as .parquet: a row a device and layer, one a skipped layer (zero), and each device's constant.

    The form has no column for deviation or count; latencies are in ms, which the column's name says.

    Args:
        table: what is written.
        path: ending in .parquet.
        note: kept in the file's metadata, under "edgecost".

    Raises:
        ConfigError: another ending, no rows, or a figure that is no finite number.
        StorageError: the file cannot be written; one that was there stays.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    if path.suffix.lower() != ".parquet":
        raise ConfigError(f"cannot write FBNet's layers to {path}: the name must end in .parquet")
    rows = [row for device in table.devices for row in _rows(table, device)]
    if not table.rows:
        raise ConfigError(f"there is no layer to write to {path}")
    for row in rows:
        if not isfinite(row.latency_ms):
            raise ConfigError(
                f"{path}: {row.key} of {row.device} has the latency {row.latency_ms} ms; measure it again"
            )
    schema = pa.schema(
        [
            ("device", pa.string()), ("key", pa.string()), ("latency_ms", pa.float64()), ("absolute", pa.bool_()),
            ("block", pa.string()), *((name, pa.int64()) for name in _INTEGERS),
        ],
        metadata={b"edgecost": note.encode()} if note else None,
    )  # fmt: skip
    plain: list[dict[str, Any]] = [{name: getattr(row, name) for name in schema.names} for row in rows]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(plain, schema), sink)
    write_file(path, bytes(sink.getvalue()))


def _rows(table: FbnetTable, device: str) -> Iterator[_Row]:
    for r in table.rows:
        if r.device == device:
            at = f"H{r.size}_W{r.size}_Cin{r.in_channels}_Cout{r.out_channels}"
            key = f"ConvBlock_{at}_exp{r.expansion}_kernel{r.kernel}_stride{r.stride}_group{r.groups}"
            yield _Row(
                device, key, r.latency_ms, r.absolute, "ConvBlock", r.size, r.size, r.in_channels, r.out_channels,
                r.expansion, r.kernel, r.stride, r.groups,
            )  # fmt: skip
    yield _Row(device, CONSTANT_KEY, table.fixed_ms[device], False)
    for p in dict.fromkeys(fbnet_places()):
        key = f"Skip_H{p.size}_W{p.size}_Cin{p.in_channels}_Cout{p.out_channels}_stride{p.stride}"
        yield _Row(device, key, 0.0, p.residual, "Skip", p.size, p.size, p.in_channels, p.out_channels, stride=p.stride)
