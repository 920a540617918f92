"""What no model is fitted on: figures that are no numbers, that are of two units, or that cannot tell what is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    from predictors.measured import Measurements

__all__ = ["check_measurements", "check_units", "checked_values", "need_variation"]

FloatArray = NDArray[np.float64]

_UNIT_GAP = 100.0
"""Neighbouring networks of one target never differ by so much in speed, as `_work` counts it."""

_UNITS_APART = ((1000, 150.0, 7000.0), (10**6, 1.5e5, 7e6))
"""Units so far apart, and between what the figures' medians then lie: networks differ among themselves too."""

_MACS_PER_BYTE, _MACS_PER_OP = 8, 20_000
"""What a byte moved and an operator started are worth, roughly, on any board: without them the smallest networks, whose
time is all overhead, would seem a thousand times slower than large ones."""


def checked_values(workloads: Sequence[Workload], values: ArrayLike, unit: str) -> FloatArray:
    """Measured values as an array, shape (n,).

    Raises:
        ConfigError: for another number of them than of workloads, or one that is no number above zero.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (len(workloads),):
        raise ConfigError(f"{len(workloads)} workloads were given with {found.size} figures in {unit}; give one each")
    bad = np.flatnonzero(~(np.isfinite(found) & (found > 0.0)))
    if bad.size:
        index = int(bad[0])
        raise ConfigError(
            f"workload {index} ({workloads[index].name or workloads[index].key[:12]!r}) has the figure "
            f"{found[index]:g} {unit}, and nothing is learned from such; leave out what has no figure above zero"
        )
    return found


def check_measurements(measurements: Measurements) -> None:
    """Refuse figures that no model should learn from.

    Raises:
        ConfigError: a figure or its uncertainty is no finite number, a network's is not above zero, or the networks'
            are of two units.
    """
    for kernel in measurements.kernels:
        if not (math.isfinite(kernel.latency_ms) and kernel.latency_ms >= 0.0 and math.isfinite(kernel.sd_ms)):
            raise ConfigError(_no_number("kernel", kernel.label, kernel.latency_ms, kernel.sd_ms, measurements))
    for model in measurements.models:
        if not (math.isfinite(model.latency_ms) and model.latency_ms > 0.0 and math.isfinite(model.sd_ms)):
            raise ConfigError(_no_number("network", model.label, model.latency_ms, model.sd_ms, measurements))
    check_units(
        [m.workload for m in measurements.models],
        measurements.model_latencies_ms,
        [m.label for m in measurements.models],
    )


def _no_number(kind: str, label: str, value: float, sd: float, measurements: Measurements) -> str:
    return (
        f"the {kind} {label!r} of {measurements.target_id} has the figure {value:g} with the uncertainty {sd:g}, and "
        "nothing is learned from such; leave the row out or measure it again with `edgecost profile`"
    )


def check_units(workloads: Sequence[Workload], values: FloatArray, labels: Sequence[str] = ()) -> None:
    """Refuse figures of which some are in a unit a thousand or a million times larger than that of the others.

    That is seen by work per unit: one target's networks lie close together in that, and two units leave a gap that
    nothing lies in.

    Args:
        workloads: n of them.
        values: (n,), above zero.
        labels: names of the workloads, for the message.

    Raises:
        ConfigError: naming one workload of either side.
    """
    if len(workloads) < 2:
        return
    rate = np.log10(np.array([_work(w) for w in workloads]) / values)
    order = np.argsort(rate)
    gaps = np.diff(rate[order])
    widest = int(np.argmax(gaps))
    if gaps[widest] < math.log10(_UNIT_GAP):
        return
    slow, fast = order[: widest + 1], order[widest + 1 :]
    apart = 10.0 ** float(np.median(rate[fast]) - np.median(rate[slow]))
    factor = next((n for n, least, most in _UNITS_APART if least <= apart <= most), None)
    if factor is None:
        return
    names = [labels[i] if labels else workloads[i].name for i in (int(slow[0]), int(fast[0]))]
    raise ConfigError(
        f"the figures seem to be of two units: those of {len(slow)} networks ({names[0]!r}) are about {factor:,} times "
        f"as large for their size as those of {len(fast)} others ({names[1]!r}); give all of them in one unit"
    )


def _work(workload: Workload) -> float:
    """What a workload takes, in multiply-adds and what is worth as much."""
    moved = workload.bytes_read + workload.bytes_written
    return float(workload.macs + _MACS_PER_BYTE * moved + _MACS_PER_OP * len(workload.compute_ops))


def need_variation(model: str, what: str, amounts: FloatArray, target_id: str) -> None:
    """Refuse networks that are all alike in the one thing a model goes by.

    Args:
        model, what: the model's name, and what it goes by, for the message.
        amounts: (n,) of that of each network.
        target_id: of the target.

    Raises:
        UnknownWorkload: where all are equal.
    """
    if np.ptp(amounts) == 0.0:
        raise UnknownWorkload(
            f"all {len(amounts)} networks measured on {target_id} have the same {what} ({amounts[0]:g}), and the "
            f"{model} model has nothing to go by; measure networks of other sizes with "
            f"`edgecost profile --target {target_id} --model FILE.onnx`"
        )
