"""Inputs from whose values int8 takes its ranges: seeded ones by default, real images for a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError, ConfigError
from profiler.workloads.graph import Workload
from profiler.workloads.weights import seeded_inputs

__all__ = ["Calibration", "Inputs", "calibration_of", "check_calibration", "seeded_calibration"]

Inputs = tuple[NDArray[np.float32], ...]
"""One array a graph input, channel-first, in the order of `workload.inputs`."""

Calibration = Sequence[Inputs]
"""Several sets of inputs. The noise that `seeded_inputs` draws says nothing about a trained network's activations."""


def seeded_calibration(workload: Workload, seeds: Iterable[int]) -> Calibration:
    """The inputs of these seeds, see `seeded_inputs`."""
    return [seeded_inputs(workload, seed) for seed in seeds]


def calibration_of(workload: Workload, images: NDArray[np.float32]) -> Calibration:
    """Images as sets of inputs for a workload that reads images only.

    Args:
        workload: has one input, (batch, channels, h, w).
        images: (n, channels, h, w), normalised as in training; what does not fill a last batch is left out.

    Raises:
        ConfigError: where the workload has several inputs, or the images are fewer than one batch or of another shape.
    """
    if len(workload.inputs) != 1:
        raise ConfigError(f"images calibrate workloads with one input; {_label(workload)} has {len(workload.inputs)}")
    batch, *wanted = workload.shapes[workload.inputs[0]][0]
    if list(images.shape[1:]) != wanted or len(images) < batch:
        raise ConfigError(
            f"{_label(workload)} is calibrated with at least {batch} images of shape {tuple(wanted)}, not with an "
            f"array of shape {images.shape}"
        )
    whole = len(images) // batch * batch
    return [(np.ascontiguousarray(images[i : i + batch], np.float32),) for i in range(0, whole, batch)]


def check_calibration(workload: Workload, calibration: Calibration) -> None:
    """Make sure that every set of inputs fits the workload and that there is one.

    Raises:
        ArtefactError: where there is none, one has other shapes, or a value is not finite.
    """
    wanted = [workload.shapes[index][0] for index in workload.inputs]
    if not calibration:
        raise ArtefactError(f"{_label(workload)} cannot be calibrated without inputs: give at least one set")
    for number, inputs in enumerate(calibration):
        given = [array.shape for array in inputs]
        if given != wanted:
            raise ArtefactError(f"{_label(workload)} reads {wanted}, but calibration set {number} has {given}")
        if not all(np.isfinite(array).all() for array in inputs):
            raise ArtefactError(f"calibration set {number} of {_label(workload)} holds values that are not finite")


def _label(workload: Workload) -> str:
    return f"workload {workload.name or workload.key}"
