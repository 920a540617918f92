"""Checks of energy against latency: their ratio is a power, and devices draw what they draw; and of units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from profiler.tables.audit.checks.grids import readings_behind
from profiler.tables.audit.classes import UNKNOWN
from profiler.tables.audit.figures import Figures, Finding, Floats

__all__ = ["constant_power", "power", "too_fast", "units"]

_CONSTANT = 1e-3
_SCALES = {1e-6: "a million times", 1e-3: "a thousand times", 1e3: "a thousandth of", 1e6: "a millionth of"}
"""What a value would have to be multiplied by, and what it then was."""


def _power_w(figures: Figures) -> Floats | None:
    """(n,) energy / latency: mJ / ms is W; NaN where either is missing or not positive."""
    if figures.latency_ms is None or figures.energy_mj is None:
        return None
    found = np.full(len(figures.keys), np.nan)
    both = (figures.latency_ms > 0) & np.isfinite(figures.energy_mj) & np.isfinite(figures.latency_ms)
    found[both] = figures.energy_mj[both] / figures.latency_ms[both]
    return found


def power(figures: Figures) -> Iterator[Finding]:
    """Power that no such device draws, row by row; and from how few readings of a sensor it was averaged."""
    found = _power_w(figures)
    if found is None or not np.any(np.isfinite(found)):
        return
    kind = figures.device_class
    name = "any device" if kind is UNKNOWN else f"a device of class {kind.name}"
    for position in np.flatnonzero(np.isfinite(found) & ((found < kind.low_w) | (found > kind.high_w))):
        yield figures.row(
            "power", "error", int(position),
            f"energy / latency is {found[position]:.3g} W, but {name} draws {kind.low_w:g} to {kind.high_w:g} W",
        )  # fmt: skip
    known = found[np.isfinite(found)]
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    far = np.isfinite(found) & (np.abs(found - middle) > max(8 * spread, 0.3 * abs(middle)))
    for position in np.flatnonzero(far & (found >= kind.low_w) & (found <= kind.high_w)):
        yield figures.row(
            "power", "warning", int(position),
            f"energy / latency is {found[position]:.3g} W, where the median row draws {middle:.3g} W",
        )  # fmt: skip
    behind = readings_behind(known)
    if behind is not None and np.std(known) > _CONSTANT * middle:
        readings, single = behind
        yield figures.whole_table(
            "power", "warning",
            f"energy / latency is a whole number of mW in {single:.0%} of the rows and a mean of at most {readings} "
            "such numbers in the others: each energy is the latency times that many readings of a power sensor, too "
            "few to know its error",
        )  # fmt: skip


def constant_power(figures: Figures) -> Iterator[Finding]:
    """One and the same power in every row: the energy was computed from the latency."""
    found = _power_w(figures)
    if found is None:
        return
    known = found[np.isfinite(found)]
    if known.size >= 10 and float(np.std(known)) <= _CONSTANT * abs(float(np.mean(known))):
        yield figures.whole_table(
            "constant_power", "warning",
            f"energy / latency is {np.mean(known):.4g} W in all of {known.size} rows (they differ by "
            f"{np.std(known) / abs(np.mean(known)):.0e}): the energy was derived from the latency, not measured, and "
            "says nothing that the latency does not",
        )  # fmt: skip


def too_fast(figures: Figures) -> Iterator[Finding]:
    """Networks with more multiply-adds a second than the device can do."""
    if figures.macs is None or figures.latency_ms is None:
        return
    rate = _rate(figures)
    kind = figures.device_class
    if kind is UNKNOWN:
        return
    for position in np.flatnonzero(rate > kind.peak_gmacs):
        yield figures.row(
            "too_fast", "error", int(position),
            f"{figures.macs[position] / 1e6:.3g} million multiply-adds in {figures.latency_ms[position]:g} ms are "
            f"{rate[position]:.3g} G/s, above the {kind.peak_gmacs:g} G/s of class {kind.name}: not all of it ran",
        )  # fmt: skip


def _rate(figures: Figures) -> Floats:
    """(n,) 10^9 multiply-adds a second; NaN where unknown."""
    assert figures.macs is not None
    assert figures.latency_ms is not None
    found = np.full(len(figures.keys), np.nan)
    usable = (figures.latency_ms > 0) & (figures.macs > 0)
    found[usable] = figures.macs[usable] / figures.latency_ms[usable] / 1e6
    return found


def units(figures: Figures) -> Iterator[Finding]:
    """Columns that make sense only a thousand or a million times larger or smaller."""
    kind = figures.device_class
    if figures.whole and figures.macs is not None and figures.latency_ms is not None:
        rate = _rate(figures)
        middle = float(np.median(rate[np.isfinite(rate)])) if np.any(np.isfinite(rate)) else np.nan
        for factor in _SCALES:
            outside = middle > kind.peak_gmacs or middle < kind.floor_gmacs
            if outside and kind.floor_gmacs <= middle / factor <= kind.peak_gmacs:
                yield figures.whole_table(
                    "units", "error",
                    f"the median network would reach {middle:.3g} G multiply-adds a second, outside of "
                    f"{kind.floor_gmacs:g} to {kind.peak_gmacs:g} for class {kind.name}; with latencies of "
                    f"{factor:g} times the figures it would be {middle / factor:.3g}: the unit is not ms",
                )  # fmt: skip
                break
    found = _power_w(figures)
    if found is None or not np.any(np.isfinite(found)):
        return
    middle = float(np.median(found[np.isfinite(found)]))
    if kind.low_w <= middle <= kind.high_w or middle <= 0:
        return
    for factor, words in _SCALES.items():
        if kind.low_w <= middle * factor <= kind.high_w:
            inverse = _SCALES[1 / factor]
            yield figures.whole_table(
                "units", "error",
                f"the median power is {middle:.3g} W, and {middle * factor:.3g} W would fit class {kind.name}: the "
                f"energies are {words} mJ, or the latencies {inverse} ms",
            )  # fmt: skip
            break
