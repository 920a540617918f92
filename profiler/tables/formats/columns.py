"""Any table of columns, .csv or .parquet: which of its columns are costs, of which device and in which unit.

Columns are told by their names, as people name them: `latency_ms`, `raspi4_latency_ms`, `energy (mJ)`; a unit in the
name counts. A column `device`, `target`, `hardware` or `dataset` divides the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS_MJ", "UNITS_MS", "ColumnOptions", "Costs", "divide", "find_costs", "find_keys", "make_numbers",
           "read_frame"]  # fmt: skip

UNITS_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
UNITS_MJ = {"nj": 1e-6, "uj": 1e-3, "µj": 1e-3, "mj": 1.0, "j": 1e3}
_LATENCY = r"latency|latencies|lat|runtime|run_time|inference_time|duration|time"
_ENERGY = r"energy|energies"
_KEYS = ("arch_str", "key", "arch", "architecture", "op_idx", "name", "label", "workload", "model", "network", "layer",
         "config", "arch_index", "id", "index")  # fmt: skip
_SETTINGS = frozenset(
    {
        "batch", "batch_size", "threads", "num_threads", "precision", "dtype", "runtime", "framework", "backend",
        "resolution", "image_size", "input_size", "input_shape", "round", "run", "repeat", "trial", "seed",
    }
)  # fmt: skip
"""Columns by which rows of one name may differ."""
_DIVIDING = ("device", "target", "target_id", "hardware", "hw", "platform", "dataset")
_MOST_ROWS = 5_000_000
_LONGEST_LINE = 1_000_000
_NAMED = 12


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """What the user says about columns; whatever is not said is guessed.

    Attributes:
        latency, energy: names of columns.
        keys: names of the columns that together name a row.
        unit: of the latency: ns, us, ms or s; energy_unit: nJ, uJ, mJ or J.
        device_class: name of a class, for devices whose names don't tell.
    """

    latency: str = ""
    energy: str = ""
    keys: tuple[str, ...] = ()
    unit: str = ""
    energy_unit: str = ""
    device_class: str = ""


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost columns of one device.

    Attributes:
        device: as the columns' names say; "" where they don't.
        latency, energy: names of columns; "" where there is none.
        latency_factor, energy_factor: what makes the values ms and mJ.
        comments: what was assumed.
    """

    device: str
    latency: str = ""
    energy: str = ""
    latency_factor: float = 1.0
    energy_factor: float = 1.0
    comments: tuple[str, ...] = field(default_factory=tuple)


def read_frame(path: Path) -> pd.DataFrame:
    """The file as a data frame.

    Raises:
        ConfigError: a missing file, another ending, or one that cannot be read.
    """
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ConfigError(f"cannot read columns from {path}: the name must end in .csv or .parquet")
    try:
        frame = _read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
        if not isinstance(frame.index, pd.RangeIndex):  # an index may be what names the rows
            named = any(name is not None for name in frame.index.names)
            frame = frame.reset_index(drop=not named)
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except (OSError, ValueError, pd.errors.ParserWarning, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} cannot be read as a table ({reason})") from None
    if frame.empty:
        raise ConfigError(f"{path} holds no rows")
    if len(frame) > _MOST_ROWS:
        raise ConfigError(f"{path} has {len(frame)} rows; tables up to {_MOST_ROWS} are read")
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """A file with commas, semicolons (then with decimal commas) or tabs between its cells, as its first line tells."""
    import warnings

    import pandas as pd

    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(_LONGEST_LINE)
    separator = max((",", ";", "\t"), key=first.count)
    with warnings.catch_warnings():
        # pandas only warns of rows that are longer than the first line, and drops what is too much
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, sep=separator, decimal="," if separator == ";" else ".", index_col=False)


def make_numbers(frame: pd.DataFrame, options: ColumnOptions) -> tuple[pd.DataFrame, dict[str, dict[int, str]]]:
    """The frame with numbers in the columns that hold little else, and what else stood there, by column and row.

    Args:
        frame: as `read_frame` gives it; its columns that name or divide the rows stay as they are.
        options: what is known about columns.
    """
    import pandas as pd

    others: dict[str, dict[int, str]] = {}
    names = [name for name in frame.columns if frame[name].dtype.kind not in "iufbmMc"]
    for name in names:
        if name in (*_KEYS, *_DIVIDING, *options.keys) or name.lower() in _SETTINGS:
            continue
        column = frame[name]
        known = column.notna()
        numbers = pd.to_numeric(column.where(known & ~column.map(lambda cell: isinstance(cell, bool))), errors="coerce")
        read = numbers.notna()
        if not read.any() or read.sum() < known.sum() / 2:
            continue
        frame = frame.assign(**{name: numbers.astype("float64")})
        left = column[known & ~read]
        if len(left):
            others[name] = {row: str(cell)[:40] for row, cell in zip(left.index.tolist(), left, strict=True)}
    return frame, others


def find_costs(frame: pd.DataFrame, options: ColumnOptions, path: Path) -> list[Costs]:
    """The cost columns, device by device.

    Raises:
        ConfigError: a named column is not there or holds no numbers, no column is a cost, or a unit is not known.
    """
    numeric = [name for name in frame.columns if frame[name].dtype.kind in "iuf"]
    for wanted in (options.latency, options.energy):
        if wanted and wanted not in numeric:
            problem = "holds no numbers" if wanted in frame.columns else "is not there"
            raise ConfigError(f"{path}: the column {wanted!r} {problem}; numbers are in {_named(numeric)}")
    if options.latency or options.energy:
        return [_costs("", options.latency, options.energy, options)]
    latencies, energies = _by_device(numeric, _LATENCY, UNITS_MS), _by_device(numeric, _ENERGY, UNITS_MJ)
    found = [
        _costs(device, latencies.get(device, ""), energies.get(device, ""), options)
        for device in dict.fromkeys([*latencies, *energies])
    ]
    if not found:
        texts = [name for name in frame.columns if name not in numeric]
        called = [*_by_device(texts, _LATENCY, UNITS_MS).values(), *_by_device(texts, _ENERGY, UNITS_MJ).values()]
        if called:
            raise ConfigError(
                f"{path}: the column {called[0]!r} holds no numbers, but such as {str(frame[called[0]].iloc[0])[:40]!r}"
            )
        if not numeric:
            raise ConfigError(
                f"{path}: none of its columns ({_named(texts)}) holds numbers, so there is nothing to audit"
            )
        raise ConfigError(
            f"{path}: no column looks like a latency or an energy; name one of {_named(numeric)} with "
            "--latency-column or --energy-column"
        )
    return found


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _by_device(names: Sequence[str], words: str, units: dict[str, float]) -> dict[str, str]:
    """Device -> column of the names that hold one of the words and, behind it, nothing but a unit."""
    unit = "|".join(units)
    plain = rf"(?:{words})(?:[ _.-]*[\[(]?(?:{unit})[\])]?)?"
    alone, behind = re.compile(plain, re.IGNORECASE), re.compile(rf"(?P<device>.+?)[ _.-]{plain}", re.IGNORECASE)
    found: dict[str, str] = {}
    for name in names:
        if alone.fullmatch(name):
            found.setdefault("", name)
        elif match := behind.fullmatch(name):
            found.setdefault(match["device"], name)
    return found


def _costs(device: str, latency: str, energy: str, options: ColumnOptions) -> Costs:
    comments: list[str] = []
    latency_factor = _factor(latency, options.unit, UNITS_MS, "ms", comments) if latency else 1.0
    energy_factor = _factor(energy, options.energy_unit, UNITS_MJ, "mJ", comments) if energy else 1.0
    return Costs(device, latency, energy, latency_factor, energy_factor, tuple(comments))


def _factor(column: str, said: str, units: dict[str, float], default: str, comments: list[str]) -> float:
    """What makes a column's values ms or mJ, by what is said or else by the column's name."""
    if said:
        if said.lower() not in units:
            raise ConfigError(f"{said!r} is no unit of such a column; choose one of {', '.join(units)}")
        return units[said.lower()]
    match = re.search(rf"[ _.\-\[(]({'|'.join(units)})[\])]?$", column, re.IGNORECASE)
    if match:
        return units[match[1].lower()]
    comments.append(f"the column {column!r} names no unit; {default} is assumed")
    return 1.0


def find_keys(frame: pd.DataFrame, options: ColumnOptions, path: Path) -> tuple[list[str], tuple[str, ...]]:
    """What each row is about, and the columns that say so: the one that looks like a name, and settings that vary
    besides, such as the batch; row numbers and () where no column is a name.

    Raises:
        ConfigError: a named column is not there.
    """
    lacking = [name for name in options.keys if name not in frame.columns]
    if lacking:
        raise ConfigError(f"{path}: the column {lacking[0]!r} is not there; it has {_named(list(frame.columns))}")
    names = options.keys or tuple(name for name in _KEYS if name in frame.columns)[:1]
    if not names:
        return [f"row {number}" for number in range(len(frame))], ()
    if not options.keys:
        settings = (name for name in frame.columns if name.lower() in _SETTINGS)
        names += tuple(name for name in settings if frame[name].astype(str).nunique() > 1)
    texts = [frame[name].astype(str).tolist() for name in names]
    return [" ".join(parts) for parts in zip(*texts, strict=True)], names


def divide(frame: pd.DataFrame, options: ColumnOptions) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each device, target or dataset, by name; all of them by "" where no column tells them apart."""
    by = [name for name in _DIVIDING if name in frame.columns and name not in options.keys]
    if not by:
        yield "", frame
        return
    for names, part in frame.groupby(by, sort=False, observed=True, dropna=False):
        yield " ".join(str(name) for name in names), part
