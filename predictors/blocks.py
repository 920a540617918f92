"""From measured blocks of one target to blocks that were never measured: other widths, sizes, kernels, expansions.

For targets of which there is only a table of blocks, so that a network can be scaled beyond it. What a block costs is
taken as a sum of what it does, no coefficient below zero, fitted to relative errors:

    kernels             convolutions, linear layers and poolings: what starting one costs
    dense_macs          multiply-accumulates of convolutions that mix channels, and of linear layers
    depthwise_macs      the same of depthwise convolutions, whatever their kernel: a coefficient a kernel fits no better
                        and says nothing of kernels that were not measured
    depthwise_bytes     what depthwise convolutions read and write
    weight_bytes        weights of all convolutions and linear layers
    pixels, channels    output pixels and output channels of each convolution, summed: what loops cost at their edges
    moved_bytes         read and written by products, concatenations, splits and poolings
    nonlinear_bytes     read and written by activations that are no clamp
    spilled_bytes       of what convolutions write and their weights, that much which exceeds a corner (a cache)

Batch norms, clamps (ReLU, ReLU6) and sums of tensors count as parts of the convolutions before them. The corner is
searched on a grid, and taken only where it explains a good deal more of the measurements: few blocks could otherwise be
fitted by chance. Where no measured block was large enough to spill, larger ones are predicted as if they did not spill
either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictors.regressors import nonnegative_fit, row_sums
from profiler.errors import ConfigError
from profiler.workloads.graph import BYTES_PER_VALUE, Workload

__all__ = ["BLOCK_FEATURES", "BlockRegressor", "block_features"]

FloatArray = NDArray[np.float64]

BLOCK_FEATURES: tuple[str, ...] = (
    "kernels",
    "dense_macs",
    "depthwise_macs",
    "depthwise_bytes",
    "weight_bytes",
    "pixels",
    "channels",
    "moved_bytes",
    "nonlinear_bytes",
)
"""Names of the columns of `block_features` but for the last, from which `spilled_bytes` is made."""

_FREE = frozenset({"input", "batch_norm", "relu", "relu6", "add", "identity", "flatten", "zero"})
_NONLINEAR = frozenset({"hswish", "hsigmoid", "sigmoid", "softmax"})
_POOLS = frozenset({"avg_pool", "max_pool", "global_avg_pool"})
_CORNERS_BYTES = 2.0 ** np.arange(14.0, 28.0, 0.5)
_CORNER_GAIN = 0.2
"""Share of the squared error that a corner has to remove in order to be taken."""
_RIDGE = 1e-4
_FEWEST_ROWS = 8


def block_features(workload: Workload) -> dict[str, float]:
    """What a block does, by the names of `BLOCK_FEATURES`, and `held_bytes`: what its convolutions write plus their
    weights. Bytes are those of the Workload's own dtype, whatever the precision of the target."""
    values = dict.fromkeys((*BLOCK_FEATURES, "held_bytes"), 0.0)
    for index in workload.live_ops:
        op = workload.ops[index]
        if op.kind in ("conv2d", "linear"):
            _add_convolution(values, workload, index)
        elif op.kind not in _FREE:
            moved = workload.op_bytes_read(index) + workload.op_bytes_written(index)
            values["nonlinear_bytes" if op.kind in _NONLINEAR else "moved_bytes"] += moved
            values["kernels"] += op.kind in _POOLS
    return values


def _add_convolution(values: dict[str, float], workload: Workload, index: int) -> None:
    """Add what one convolution or linear layer does."""
    op, written = workload.ops[index], workload.shapes[index][0]
    bytes_written = workload.op_bytes_written(index)
    size = BYTES_PER_VALUE[workload.dtype]
    weights = size * sum(prod(shape) for shape in workload.param_shapes(index).values())
    values["kernels"] += 1.0
    values["weight_bytes"] += weights
    values["held_bytes"] += weights + bytes_written
    values["pixels"] += prod(written[2:])
    values["channels"] += written[1]
    groups = op.int("groups") if op.kind == "conv2d" else 1
    if groups > 1 and groups == workload.input_shapes_of(index)[0][1]:
        values["depthwise_macs"] += workload.op_macs(index)
        values["depthwise_bytes"] += workload.op_bytes_read(index) - weights + bytes_written
    else:
        values["dense_macs"] += workload.op_macs(index)


class BlockRegressor:
    """Blocks of one target, learned from measured ones (see the module).

        model = BlockRegressor().fit(workloads, latencies_ms)
        model.predict(others)                     # (n,) ms, NaN where a block does what no measured one did

    Attributes:
        coefficients: ms per unit of each of `BLOCK_FEATURES`, and of the bytes beyond the corner; shape (10,).
        corner_bytes: where spilling begins; infinite where that explains nothing.
    """

    def __init__(self) -> None:
        self.coefficients: FloatArray = np.zeros(0)
        self.corner_bytes = np.inf
        self._seen: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def fit(self, workloads: Sequence[Workload], latencies_ms: Sequence[float] | FloatArray) -> Self:
        """Learn from blocks and their latencies in ms, both of length n.

        Raises:
            ConfigError: where lengths differ, blocks are too few, or a latency is not above zero.
        """
        latency_ms = np.asarray(latencies_ms, dtype=np.float64)
        if latency_ms.shape != (len(workloads),):
            raise ConfigError(f"{len(workloads)} blocks were given with {latency_ms.size} latencies; give one each")
        if len(workloads) < _FEWEST_ROWS:
            raise ConfigError(
                f"{len(workloads)} measured blocks are too few to learn others from; give at least {_FEWEST_ROWS}"
            )
        bad = np.flatnonzero(~(np.isfinite(latency_ms) & (latency_ms > 0.0)))
        if bad.size:
            name = workloads[int(bad[0])].name
            raise ConfigError(f"the block {name!r} has the latency {latency_ms[bad[0]]} ms; give figures above zero")
        design, held = _design(workloads)
        self._seen = np.asarray(design.any(axis=0), dtype=bool)
        self.corner_bytes, self.coefficients = _solve(design, held, latency_ms)
        return self

    def predict(self, workloads: Sequence[Workload]) -> FloatArray:
        """Latencies in ms, shape (n,), the same for a block whatever stands beside it.

        NaN where a block does what no measured one did (see `unknown`): such a cost is missing, not zero.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        design, held = _design(workloads)
        spilled = _spilled(held, self.corner_bytes)
        latency_ms = row_sums(np.column_stack([design, spilled]), self.coefficients)
        latency_ms[(design[:, ~self._seen] != 0.0).any(axis=1)] = np.nan
        return latency_ms

    def unknown(self, workload: Workload) -> tuple[str, ...]:
        """Names of the features that the block has and no measured block had.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        features = block_features(workload)
        return tuple(n for n, seen in zip(BLOCK_FEATURES, self._seen, strict=True) if features[n] and not seen)

    def to_dict(self) -> dict[str, Any]:
        """What `fit` learned, as JSON-able values.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        return {
            "features": list(BLOCK_FEATURES),
            "coefficients": self.coefficients.tolist(),
            "corner_bytes": float(self.corner_bytes) if isfinite(self.corner_bytes) else None,
            "seen": [bool(seen) for seen in self._seen],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A fitted model out of what `to_dict` returned; it predicts exactly the same.

        Raises:
            ConfigError: where the data is not that.
        """
        model = cls()
        try:
            if list(data["features"]) != list(BLOCK_FEATURES):
                raise ConfigError(f"a saved block model has the features {data['features']}; fit it again")
            model.coefficients = np.array(data["coefficients"], dtype=np.float64)
            corner = data["corner_bytes"]
            model.corner_bytes = np.inf if corner is None else float(corner)
            model._seen = np.array(data["seen"], dtype=bool)
            fits = model.coefficients.shape == (len(BLOCK_FEATURES) + 1,) and model._seen.shape == (
                len(BLOCK_FEATURES),
            )
            sound = (
                np.isfinite(model.coefficients).all() and (model.coefficients >= 0.0).all() and model.corner_bytes > 0.0
            )
            if not (fits and sound):
                raise ValueError("coefficients that cannot be")
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a saved block model: {error!r}; fit it again") from None
        return model

    def _check_fitted(self) -> None:
        if not self.coefficients.size:
            raise ConfigError("the block model is not fitted yet; call fit(workloads, latencies_ms) first")


def _design(workloads: Sequence[Workload]) -> tuple[FloatArray, FloatArray]:
    """((n, len(BLOCK_FEATURES)) features, (n,) held bytes)."""
    found = [block_features(workload) for workload in workloads]
    rows = [[features[name] for name in BLOCK_FEATURES] for features in found]
    design = np.array(rows, dtype=np.float64).reshape(len(workloads), len(BLOCK_FEATURES))
    return design, np.array([features["held_bytes"] for features in found], dtype=np.float64)


def _spilled(held: FloatArray, corner_bytes: float) -> FloatArray:
    return np.maximum(held - corner_bytes, 0.0)


def _solve(design: FloatArray, held: FloatArray, latency_ms: FloatArray) -> tuple[float, FloatArray]:
    """The corner and the coefficients; no corner unless one removes `_CORNER_GAIN` of the squared relative error."""
    weights = 1.0 / latency_ms

    def tried(corner_bytes: float) -> tuple[float, float, FloatArray]:
        full = np.column_stack([design, _spilled(held, corner_bytes)])
        coefficients = nonnegative_fit(full, latency_ms, weights, _RIDGE)
        error = float(np.sum((row_sums(full, coefficients) * weights - 1.0) ** 2))
        return error, corner_bytes, coefficients

    plain = tried(np.inf)
    best = min((tried(float(corner)) for corner in _CORNERS_BYTES), key=lambda found: found[0])
    _, corner_bytes, coefficients = best if best[0] < (1.0 - _CORNER_GAIN) * plain[0] else plain
    return corner_bytes, coefficients
