"""Other projects' tables of single layers as figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

import numpy as np

from profiler.tables.audit.classes import class_named, guess_class
from profiler.tables.audit.figures import Figures
from profiler.tables.formats import ofa, proxylessnas
from profiler.tables.formats.columns import UNITS_MS, ColumnOptions
from profiler.tables.formats.hwnasbench import FbnetBlock, read_hwnasbench
from profiler.tables.formats.layerkeys import LayerRow, read_pairs

__all__ = ["figures_of_layers", "is_hwnasbench_layers"]

_HWNASBENCH_COLUMNS = frozenset({"device", "key", "latency_ms", "block", "expand", "group", "absolute"})


def is_hwnasbench_layers(columns: Iterable[str]) -> bool:
    """Whether a file with these columns is HW-NAS-Bench's table of FBNet's layers."""
    return set(columns) >= _HWNASBENCH_COLUMNS


def figures_of_layers(path: Path, options: ColumnOptions) -> list[Figures]:
    """The figures of a table of layers: HW-NAS-Bench's (.parquet), once-for-all's or ProxylessNAS's (.yaml, .json).

    Raises:
        ConfigError: it is none of these, or a row of it is none.
    """
    if path.suffix.lower() == ".parquet":
        table = read_hwnasbench(path)
        return [_of_blocks([r for r in table.rows if r.device == d], d, str(path)) for d in table.devices]
    pairs = read_pairs(path)
    reader = ofa if ofa.is_ofa(pairs) else proxylessnas
    return [_of_rows(reader.rows_of_pairs(pairs, path), path, options)]


def _of_rows(rows: Sequence[LayerRow], path: Path, options: ColumnOptions) -> Figures:
    factor = UNITS_MS.get(options.unit.lower(), 1.0)
    shapes = [row.shape for row in rows]
    pixels = [s.input[0] * s.input[1] if len(s.input) == 3 else 1 for s in shapes]
    traits = {
        "input pixels": pixels,
        "input channels": [s.input[-1] for s in shapes],
        "output channels": [s.output[-1] for s in shapes],
        "middle channels": [s.middle or 0 for s in shapes],
        "kernel": [s.kernel or 0 for s in shapes],
    }
    macs = np.array([nan if s.macs is None else s.macs for s in shapes], dtype=np.float64)
    counts = [nan if row.count is None else row.count for row in rows]
    return Figures(
        str(path),
        path.stem,
        tuple(row.key for row in rows),
        np.arange(len(rows)),
        latency_ms=factor * np.array([row.latency_ms for row in rows]),
        deviation_ms=factor * np.array([row.deviation_ms for row in rows]),
        count=np.array(counts, dtype=np.float64),
        macs=macs,
        whole=False,
        # a block without its first convolution does another thing, and so does one with other additions
        family=tuple(f"{s.kind} {s.stride} {s.skip} {s.se} {s.hs} {s.middle == s.input[-1]}" for s in shapes),
        traits={name: np.array(values, dtype=np.float64) for name, values in traits.items()},
        ordered=False,  # rows stand in the order of their names
        device_class=class_named(options.device_class) if options.device_class else guess_class(str(path)),
    )


def _of_blocks(rows: Sequence[FbnetBlock], device: str, source: str) -> Figures:
    traits = {
        "kernel": [row.kernel for row in rows],
        "expansion": [row.expansion for row in rows],
        "size": [row.size for row in rows],
        "input channels": [row.in_channels for row in rows],
        "output channels": [row.out_channels for row in rows],
    }
    relative = sum(not row.absolute for row in rows)
    return Figures(
        source,
        device,
        tuple(f"k{r.kernel} e{r.expansion} g{r.groups} at {r.place}" for r in rows),
        np.arange(len(rows)),
        latency_ms=np.array([row.latency_ms for row in rows]),
        whole=False,
        family=tuple(f"{r.groups} {r.stride}" for r in rows),
        traits={name: np.array(values, dtype=np.float64) for name, values in traits.items()},
        signed=np.array([not row.absolute for row in rows]),
        ordered=False,
        device_class=guess_class(device),
        comments=(
            f"{relative} of {len(rows)} figures are differences to a skipped layer that is itself a convolution; only "
            "the others stand on their own",
        ),
    )
