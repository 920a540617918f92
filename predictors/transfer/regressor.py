"""The regressor of a transfer: few measured architectures of a target, features in blocks; ms with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictors.scikit import ScikitShaped
from predictors.transfer.conformal import interval_factor, rounding_half
from predictors.transfer.design import Blocks
from predictors.transfer.grid import AMOUNTS, NOISES, SOURCE_BLOCKS, weighings
from predictors.transfer.mixture import Posterior
from predictors.transfer.robust import robust_posterior, starting_precision
from profiler.errors import ConfigError, UnknownWorkload

__all__ = ["LEAST_SAMPLES", "TransferRegressor"]

FloatArray = NDArray[np.float64]

LEAST_SAMPLES = 5
"""Fewer measured architectures than this are refused: nothing could be said of the error."""

_RESOLUTION = 2e-3
"""Predictions are multiples of this part of the samples' standard deviation: what is finer nobody knows, and
architectures that cost the same on a device of exact sums come out the same."""

_MASS = 0.99
_MOST_KEPT = 60


class TransferRegressor(ScikitShaped):
    """A mixture of Gaussian processes, linear in the features; see `mixture`.

    Args:
        blocks: names and widths of the columns of X, as `Design.blocks`.
        amounts: by block the variances to try; None for the standard ones.
        noises: relative variances of noise to try; None for the standard ones.
        level: nominal coverage of the intervals.
    """

    def __init__(
        self,
        blocks: Blocks,
        amounts: Mapping[str, Sequence[float]] | None = None,
        noises: Sequence[float] | None = None,
        level: float = 0.9,
    ) -> None:
        self.blocks = blocks
        self.amounts = amounts
        self.noises = noises
        self.level = level

    # ---------------------------------------------------------------- fit

    def fit(self, X: ArrayLike, y: ArrayLike) -> TransferRegressor:  # noqa: N803
        """Learn from n measured architectures.

        Args:
            X: (n, d) rows of the design matrix.
            y: (n,) latencies in ms.

        Raises:
            UnknownWorkload: for fewer than `LEAST_SAMPLES` rows.
            ConfigError: for shapes that do not fit, values that are not finite and positive, or all the same.
        """
        rows, latency_ms = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self._check(rows, latency_ms)
        self.centre_ms_ = float(np.median(latency_ms))
        self.scale_ms_ = float(latency_ms.std())
        values = (latency_ms - self.centre_ms_) / self.scale_ms_
        names = [name for name, _ in self.blocks]
        self.grid_ = weighings(names, self.amounts or AMOUNTS, self.noises or NOISES)
        parts = [rows[:, where] for where in self._slices()]
        kernels = np.stack([part @ part.T for part in parts])
        start = np.ones(len(rows))
        if names[0] == "shared":
            start = starting_precision(parts[0][:, 0], values)
        self.posterior_, self.precision_ = robust_posterior(self.grid_, kernels, values, start)
        self.rows_ = rows
        self.latency_ms_ = latency_ms
        self._keep_linear(parts)
        return self

    def _check(self, rows: FloatArray, latency_ms: FloatArray) -> None:
        width = sum(width for _, width in self.blocks)
        if rows.ndim != 2 or rows.shape[1] != width or latency_ms.shape != (len(rows),):
            raise ConfigError(f"features {rows.shape} and latencies {latency_ms.shape} do not fit {width} columns")
        if len(rows) < LEAST_SAMPLES:
            raise UnknownWorkload(
                f"{len(rows)} measured architectures are too few to fit; at least {LEAST_SAMPLES} are needed and 20 "
                "are better: `edgecost transfer suggest -n 20` names them"
            )
        if not (np.isfinite(rows).all() and np.isfinite(latency_ms).all() and (latency_ms > 0.0).all()):
            raise ConfigError("a latency is not a positive number of milliseconds, or a feature is not a number")
        if np.ptp(latency_ms) <= 1e-9 * float(latency_ms.max()):
            raise ConfigError(f"all {len(rows)} latencies are {latency_ms[0]} ms; there is nothing to learn from them")

    def _slices(self) -> list[slice]:
        ends = np.cumsum([width for _, width in self.blocks])
        return [slice(int(end) - width, int(end)) for end, (_, width) in zip(ends, self.blocks, strict=True)]

    def _keep_linear(self, parts: Sequence[FloatArray]) -> None:
        """The mixture's mean as one linear function, in ms."""
        found: Posterior = self.posterior_
        dual = np.einsum("sl,sb,sln->bn", found.weights, self.grid_.shares, found.alpha, optimize=True)
        slopes = np.concatenate([part.T @ row for part, row in zip(parts, dual, strict=True)])
        self.coef_ = slopes * self.scale_ms_
        self.intercept_ = self.centre_ms_ + self.scale_ms_ * float((found.weights * found.mean).sum())

    # ---------------------------------------------------------------- predict

    def predict(self, X: ArrayLike) -> FloatArray:  # type: ignore[override]  # noqa: N803
        """Latencies in ms, shape (m,).

        Args:
            X: (m, d) rows of the design matrix.

        Raises:
            ConfigError: before `fit`.
        """
        self._check_fitted()
        step_ms = _RESOLUTION * self.scale_ms_
        return np.asarray(np.round(self._mean(np.asarray(X, dtype=np.float64)) / step_ms) * step_ms)

    def _mean(self, rows: FloatArray) -> FloatArray:
        """The mixture's mean in ms, not rounded."""
        return np.asarray(rows @ self.coef_ + self.intercept_)

    def spread(self, X: ArrayLike) -> FloatArray:  # noqa: N803
        """Standard deviation in ms, shape (m,), of a single new measurement around its prediction, as the mixture has
        it: uncertainty of the function, noise, and what weighings disagree about."""
        self._check_fitted()
        rows = np.asarray(X, dtype=np.float64)
        slices = self._slices()
        inner = [rows[:, s] @ self.rows_[:, s].T for s in slices]
        own = [np.square(rows[:, s]).sum(axis=1) for s in slices]
        found: Posterior = self.posterior_
        mean = (self._mean(rows) - self.centre_ms_) / self.scale_ms_
        variance, mass = np.zeros(len(rows)), 0.0
        for share, noise in self._kept():
            shares, weight = self.grid_.shares[share], float(found.weights[share, noise])
            across = sum(s * k for s, k in zip(shares, inner, strict=True))
            explained = across @ found.root_inverse(share, float(self.grid_.noises[noise]))
            lever = 1.0 - across @ found.row_sums[share, noise]
            prior = sum(s * k for s, k in zip(shares, own, strict=True)) + self.grid_.noises[noise]
            within = prior - np.square(explained).sum(axis=1) + np.square(lever) / found.total[share, noise]
            between = found.mean[share, noise] + across @ found.alpha[share, noise] - mean
            variance += weight * (np.maximum(within, 0.0) * found.variance[share, noise] + np.square(between))
            mass += weight
        return np.asarray(np.sqrt(variance / mass) * self.scale_ms_)

    def predict_with_interval(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:  # noqa: N803
        """Latencies in ms and half-widths of their intervals at `level`, both (m,); see `conformal`. Half-widths hold
        what predictions are rounded by: of a device of exact sums that is all the error there is."""
        rounding_ms = rounding_half(_RESOLUTION * self.scale_ms_, self.level)
        return self.predict(X), self.spread(X) * self.interval_factor_ + rounding_ms

    @property
    def interval_factor_(self) -> float:
        """By what the mixture's standard deviations are multiplied."""
        self._check_fitted()
        return interval_factor(self.posterior_.left_out_scores(), self.level)

    @property
    def noise_ms_(self) -> float:
        """Standard deviation in ms of the noise of one measurement that is believed, as the mixture has it."""
        self._check_fitted()
        found: Posterior = self.posterior_
        return float(np.sqrt((found.weights * found.variance * self.grid_.noises).sum()) * self.scale_ms_)

    def _kept(self) -> list[tuple[int, int]]:
        """The weighings (share, noise) that carry nearly all of the posterior."""
        weights = self.posterior_.weights
        order = np.argsort(-weights, axis=None)
        enough = int(np.searchsorted(np.cumsum(weights.ravel()[order]), _MASS)) + 1
        where = np.unravel_index(order[: min(enough, _MOST_KEPT)], weights.shape)
        return [(int(share), int(noise)) for share, noise in zip(*where, strict=True)]

    @property
    def transfer_share_(self) -> float:
        """Posterior probability of the weighings that use any source; 0 where there is none."""
        self._check_fitted()
        weights = self.posterior_.weights
        of_sources = [i for i, (name, _) in enumerate(self.blocks) if name in SOURCE_BLOCKS]
        uses = self.grid_.shares[:, of_sources].sum(axis=1) > 0.0 if of_sources else np.zeros(len(weights), bool)
        return float(weights[uses].sum())

    def _check_fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise ConfigError(f"{type(self).__name__} is not fitted yet; call fit(X, y) first")

    def state(self) -> dict[str, Any]:
        """What it was fitted on, as JSON-able values; fitting to it again gives the same predictions."""
        self._check_fitted()
        return {"rows": self.rows_.tolist(), "latency_ms": self.latency_ms_.tolist()}
