"""Any table of columns as figures: what its rows are about decides what can be held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import ConfigError
from profiler.tables.audit.classes import class_named, guess_class
from profiler.tables.audit.figures import Figures, Floats
from profiler.tables.formats.columns import ColumnOptions, Costs, divide, find_costs, find_keys, make_numbers
from profiler.tables.formats.nasbench201 import Cells, read_cells

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["figures_of_columns"]

_DEVIATION = ("std", "std_ms", "stdev", "sd", "deviation_ms", "latency_std", "latency_std_ms")
_COUNT = ("count", "n", "n_rounds", "samples", "repeats", "runs")
_MACS = {"macs": 1.0, "macs_m": 1e6, "flops_m": 1e6, "gmacs": 1e9}
_TRAITS = ("h", "w", "height", "width", "size", "resolution", "cin", "cout", "in_channels", "out_channels", "channels",
           "expand", "expansion", "kernel", "kernel_size", "macs", "macs_m")  # fmt: skip
_FAMILY = ("block", "op", "op_type", "type", "kind", "stride", "group", "groups", "precision", "batch_size")
_MOST_CHOICES = 32
_PIXELS = {"imagenet16-120": (16, 120), "imagenet16_120": (16, 120), "cifar100": (32, 100), "cifar10": (32, 10)}


def figures_of_columns(frame: pd.DataFrame, path: Path, options: ColumnOptions) -> list[Figures]:
    """The figures of every device of a table.

    Raises:
        ConfigError: options name what is not there, or no column is a cost.
    """
    frame, others = make_numbers(frame, options)
    costs = find_costs(frame, options, path)
    found = []
    for name, part in divide(frame, options):
        keys, named_by = find_keys(part, options, path)
        shared = _shared(part, keys, named_by)
        for cost in costs:
            device = " ".join(text for text in (cost.device, name) if text) or path.stem
            kind = class_named(options.device_class) if options.device_class else guess_class(device)
            index = np.asarray(part.index, dtype=np.int64)
            values = {**_values(part, cost, named_by), "illegible": _illegible(part, cost, others)}
            if any(
                np.any(np.isfinite(v)) for v in (values.get("latency_ms"), values.get("energy_mj")) if v is not None
            ):
                found.append(Figures(str(path), device, tuple(keys), index, device_class=kind, **{**shared, **values}))
    if not found:
        names = ", ".join(name for cost in costs for name in (cost.latency, cost.energy) if name)
        raise ConfigError(f"{path}: there is no figure in {names}, so there is nothing to audit")
    return found


def _illegible(part: pd.DataFrame, cost: Costs, others: Mapping[str, Mapping[int, str]]) -> tuple[tuple[int, str], ...]:
    """What stands where a number should, with its position in the part."""
    positions = {int(row): position for position, row in enumerate(part.index)}
    return tuple(
        (positions[row], f"the {what} reads {text!r}, which is no number, and was taken for missing")
        for what, column in (("latency", cost.latency), ("energy", cost.energy))
        for row, text in others.get(column, {}).items()
        if row in positions
    )


def _values(part: pd.DataFrame, cost: Costs, named_by: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if cost.latency:
        found["latency_ms"] = part[cost.latency].to_numpy(np.float64, na_value=np.nan) * cost.latency_factor
    if cost.energy:
        found["energy_mj"] = part[cost.energy].to_numpy(np.float64, na_value=np.nan) * cost.energy_factor
    comments = list(cost.comments)
    if not named_by:
        comments.append("no column names the rows, so that doubled rows cannot be told; --key-columns names some")
    status = f"{cost.device}_status"
    if cost.latency and status in part.columns:
        without = part[status][~np.isfinite(found["latency_ms"])]
        found["missing_why"] = {f"{reason!r}": int(n) for reason, n in without.astype(str).value_counts().items()}
    if not cost.device:
        for field, names in (("deviation_ms", _DEVIATION), ("count", _COUNT)):
            column = next((n for n in names if n in part.columns and part[n].dtype.kind in "iuf"), None)
            if column is not None:
                same_unit = field == "deviation_ms" and not column.endswith("_ms")
                factor = cost.latency_factor if same_unit else 1.0
                found[field] = part[column].to_numpy(np.float64, na_value=np.nan) * factor
    return {**found, "comments": tuple(comments)}


def _shared(part: pd.DataFrame, keys: list[str], named_by: tuple[str, ...]) -> dict[str, Any]:
    """What holds for the rows whatever was measured of them."""
    # what is known of cells and of choices holds among rows that were measured in one way
    alone = len(named_by) == 1
    cells = read_cells(keys) if alone and named_by[0] in ("arch_str", "arch", "architecture", "key") else None
    batch = _numbers(part, "batch_size")
    if cells is not None:
        return _of_cells(cells, part, batch)
    found: dict[str, Any] = {}
    choices = _choices(keys) if alone else None
    if choices is not None:
        found["designs"] = {"the choices at each place": choices}
    macs = next((name for name in _MACS if name in part.columns), None)
    amounts = None if macs is None else _numbers(part, macs)
    if macs is not None and amounts is not None:
        found["macs"] = amounts * _MACS[macs]
        found["whole"] = not any(name in part.columns for name in ("block", "op", "op_type", "layer"))
    traits = {name: numbers for name in _TRAITS if (numbers := _numbers(part, name)) is not None}
    if traits:
        found["traits"] = traits
        kinds = dict.fromkeys([*(name for name in _FAMILY if name in part.columns), *named_by[1:]])
        family = [part[name].astype(str) for name in kinds if name not in traits]
        found["family"] = tuple(map(" ".join, zip(*family, strict=True))) if family else None
    return found


def _of_cells(cells: Cells, part: pd.DataFrame, batch: Floats | None) -> dict[str, Any]:
    dataset = str(part["dataset"].iloc[0]).lower() if "dataset" in part.columns else "cifar10"
    macs = cells.macs(*_PIXELS.get(dataset, (32, 10)))
    if batch is not None:
        macs = macs * np.where(np.isfinite(batch), batch, 1.0)
    idle = "its output does not depend on its input, so that a runtime may have run nothing"
    return {
        "macs": macs,
        "same_work": cells.same_work(),
        "contains": cells.contains(),
        "designs": {"operators by edge": cells.one_hot(False), "operators by live edge": cells.one_hot(True)},
        "remarks": {int(row): idle for row in np.flatnonzero(cells.disconnected)},
    }


def _numbers(part: pd.DataFrame, name: str) -> Floats | None:
    if name not in part.columns or part[name].dtype.kind not in "iuf":
        return None
    return part[name].to_numpy(np.float64, na_value=np.nan)


def _choices(keys: list[str]) -> Floats | None:
    """(n, parts) one-hot of keys such as "7 8 1 8": codes of one choice a place; None where keys are no such codes."""
    split = [key.split() for key in keys]
    length = len(split[0])
    if length < 2 or any(len(parts) != length for parts in split):
        return None
    if not all(part.isdigit() and len(part) <= 3 for parts in split[:100] for part in parts):
        return None
    try:
        codes = np.array(split, dtype=np.int64)
    except ValueError:
        return None
    if codes.max() >= _MOST_CHOICES:
        return None
    columns: Mapping[tuple[int, int], Floats] = {
        (place, code): (codes[:, place] == code).astype(np.float64)
        for place in range(length)
        for code in np.unique(codes[:, place])[1:]
    }
    return np.column_stack(list(columns.values())) if columns else None
