"""Layer tables and our own: layers as rows of blocks, and rows of blocks as layers.

A layer's mean is a row's latency, its deviation the row's spread, its count the row's rounds. In our own tables these
are of rounds in fresh processes; in others' of single runs, which agree better with each other than rounds do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from pathlib import Path

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.formats.layerkeys import LayerRow
from profiler.tables.formats.layers.blocks import layer_of, layer_workload
from profiler.tables.formats.layers.writing import LayerForm
from profiler.tables.row import SIMULATED, Row
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload

__all__ = ["NORMAL_INTERVAL", "OwnLayers", "layers_of_table", "row_of_figure", "table_of_layers"]

NS_PER_MS = 1e6

NORMAL_INTERVAL = 1.96
"""Half-width, in standard errors, of the interval that an imported row gets: counts are in the dozens or unknown."""

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class OwnLayers:
    """What of a table can be written as layers.

    Attributes:
        layers: in the order of their keys.
        others: labels of block rows that are no layer of the form.
        unresolved: labels of layers whose figure is not above zero: they cost less than could be resolved.
        gated: how many of the layers failed a gate.
    """

    layers: tuple[LayerRow, ...]
    others: tuple[str, ...]
    unresolved: tuple[str, ...]
    gated: int


def table_of_layers(
    layers: Sequence[LayerRow], form: LayerForm, target: Target, path: Path, factor: float = 1.0
) -> CostTable:
    """A layer table as rows of kind "block", with their Workloads.

    Args:
        layers: as `LayerForm.read` gives them.
        form: whose they are.
        target: what they were measured on; the file doesn't say.
        path: the file, for messages and as the table's source.
        factor: what makes its figures ms.

    Raises:
        ConfigError: a layer that the form doesn't have, a mean not above zero, or a layer with two figures.
    """
    rows: dict[str, Row] = {}
    workloads: dict[str, Workload] = {}
    for layer in layers:
        try:
            workload = layer_workload(layer.shape, form.name, layer.key)
        except ValueError as error:
            raise ConfigError(f"{path}: {layer.key[:120]!r} {error}") from None
        row = row_of_figure(
            workload, target, layer.key, layer.latency_ms, path, layer.deviation_ms, layer.count, factor
        )
        if rows.setdefault(row.key, row) != row:
            raise ConfigError(
                f"{path}: {layer.key[:120]!r} stands there twice, with {rows[row.key].latency_ns / NS_PER_MS:g} and "
                f"{row.latency_ns / NS_PER_MS:g} ms; leave one of them out"
            )
        workloads[workload.key] = workload
    note = f"{len(rows)} layers of {path.name} in {form.title}'s form, taken over as they stand there"
    return CostTable(rows.values(), workloads, (target,), sources=[path.as_posix()], notes=(note,))


def row_of_figure(
    workload: Workload,
    target: Target,
    key: str,
    latency: float,
    path: Path,
    deviation: float = nan,
    count: int | None = None,
    factor: float = 1.0,
) -> Row:
    """One figure of somebody else's as a row of kind "block"; its interval is unknown where deviation or count is.

    Args:
        workload, target: what runs where.
        key: what the file calls it.
        latency, deviation: in the file's own unit; NaN for a deviation that it does not say.
        path: the file.
        count: of measurements; None where it does not say.
        factor: what makes its figures ms.

    Raises:
        ConfigError: a mean that is not above zero, or a deviation or count below it.
    """
    mean, spread = factor * latency, factor * deviation
    if not mean > 0.0 or spread < 0.0 or (count is not None and count < 1):
        raise ConfigError(
            f"{path}: {key[:120]!r} has mean {latency:g}, deviation {deviation:g} and count {count}, which nobody can "
            "have measured; `edgecost table audit` lists all such rows"
        )
    half = NORMAL_INTERVAL * spread / sqrt(count) if isfinite(spread) and count else nan
    latency_ns, half_ns = mean * NS_PER_MS, half * NS_PER_MS
    return Row(
        target.id, workload.key, "block", key, latency_ns, latency_ns - half_ns, latency_ns + half_ns,
        spread=spread / mean, n_rounds=count or 0, run_id=path.name,
        emulation=SIMULATED if target.runtime == SIMULATED else "",
    )  # fmt: skip


def layers_of_table(table: CostTable, target_id: str, form: LayerForm) -> OwnLayers:
    """A target's rows of kind "block" as layers; figures are rounded to twelve digits, so that one way and back again
    ends where it began.

    Raises:
        ConfigError: none of them is a layer of the form.
    """
    found: dict[str, LayerRow] = {}
    others, unresolved, gated = [], [], 0
    for row in table.rows(target_id, "block"):
        workload = table.workloads.get(row.key)
        shape = layer_of(workload, form.name) if workload is not None else None
        if shape is None:
            others.append(row.label)
        elif row.latency_ns <= 0.0:
            unresolved.append(form.key(shape))
        else:
            mean = row.latency_ns / NS_PER_MS
            layer = LayerRow(form.key(shape), shape, _rounded(mean), _rounded(row.spread * mean), row.n_rounds or None)
            found[layer.key] = layer
            gated += row.gated
    if not found:
        raise ConfigError(
            f"none of the {len(others) + len(unresolved)} blocks of {target_id} in the table is a layer of "
            f"{form.title}'s; measure them with `edgecost table build --format {form.name} --target {target_id}`"
        )
    layers = tuple(found[key] for key in sorted(found))
    return OwnLayers(layers, tuple(others), tuple(unresolved), gated)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if isfinite(value) else nan
