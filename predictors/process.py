"""A Gaussian process on the factor by which a sum of features errs.

Its covariance is a constant, a plane of flags (a factor of its own for each operator) and a Matérn 5/2 kernel with a
length scale for every input [Rasmussen and Williams 2006, section 5.1]. Lengths, amplitudes and noise are those of the
largest marginal likelihood under weak priors: a dozen kernels then leave all inputs as good as forgotten, and hundreds
of them show which ones matter. Every row brings the uncertainty of its own measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from predictors.corrections import INPUTS, Correction
from predictors.features import FLAGS

__all__ = ["GaussianProcess"]

FloatArray = NDArray[np.float64]

_FLAGS = np.array([name in FLAGS for name in INPUTS])
"""Inputs that tell operators apart. They share one length, and are not brought to a common deviation: a rare operator
is no farther from the others than a frequent one."""

_PRIOR_LENGTH, _PRIOR_SHAPE, _PRIOR_FLAGS, _PRIOR_CONSTANT, _PRIOR_NOISE = 3.0, 0.3, 0.1, 0.1, 0.003
_LENGTH_SD, _OTHER_SD = 1.0, 1.5
"""Priors of the hyper-parameters: log-normal, with these medians and deviations. Lengths are in standard deviations of
an input, the others are variances of the logarithm of the factor."""

_BOUNDS = ((-1.6, 4.6), (-9.2, 3.4), (-9.2, 3.4), (-9.2, 3.4), (-11.5, -1.2))
_STEPS = 30
"""Of the search for the hyper-parameters; the likelihood is flat near its top."""

_MOST = 600
"""Rows that a process is fitted to at most: its cost grows with their cube."""

_LEAST_FACTOR = 0.02
"""A kernel that cost nothing has no logarithm."""

_JITTER = 1e-9


class GaussianProcess(Correction):
    """See the module.

    Args:
        settled: hyper-parameters to go by, as `again` hands them over; by default they are searched for.
    """

    def __init__(self, settled: FloatArray | None = None) -> None:
        super().__init__()
        self._settled = settled
        self._mean: FloatArray = np.zeros(0)
        self._sd: FloatArray = np.zeros(0)
        self._rows: FloatArray = np.zeros((0, 0))
        self._alpha: FloatArray = np.zeros(0)
        self._hyper: FloatArray = np.zeros(0)

    def again(self) -> Self:
        """A fresh one with the same hyper-parameters: of rows left out it then learns no more than how they vary."""
        return type(self)(self._hyper)

    def _learn(self, inputs: FloatArray, errors: FloatArray, weights: FloatArray, noise: FloatArray) -> None:
        if len(errors) > _MOST:
            kept = np.random.default_rng(0).permutation(len(errors))[:_MOST]
            inputs, errors, noise = inputs[kept], errors[kept], noise[kept]
        self._mean, self._sd = inputs.mean(axis=0), inputs.std(axis=0)
        self._mean[_FLAGS], self._sd[_FLAGS] = 0.0, 1.0
        self._sd[self._sd < 1e-9] = 1.0
        self._rows = np.ascontiguousarray((inputs - self._mean) / self._sd)
        factors = np.log(np.maximum(1.0 + errors, _LEAST_FACTOR))
        likelihood = _Likelihood(self._rows, factors, np.log1p(noise**2))
        self._hyper = likelihood.best() if self._settled is None else self._settled
        self._alpha = likelihood.alpha(self._hyper)

    def _correct(self, inputs: FloatArray) -> FloatArray:
        lengths, (shape, flags, constant, _) = _spread(self._hyper)
        rows = (inputs - self._mean) / self._sd
        found = np.zeros(len(rows))
        for place in range(len(rows)):  # one at a time, so that each row gets what it would alone
            distance = np.sqrt((((self._rows - rows[place]) / lengths) ** 2).sum(axis=1)) * np.sqrt(5.0)
            similar = shape * (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
            shared = (self._rows[:, _FLAGS] * rows[place, _FLAGS]).sum(axis=1)
            found[place] = float(((similar + flags * shared + constant) * self._alpha).sum())
        return np.expm1(found)

    def _learned(self) -> dict[str, Any]:
        return {
            "mean": self._mean.tolist(),
            "sd": self._sd.tolist(),
            "rows": self._rows.tolist(),
            "alpha": self._alpha.tolist(),
            "hyper": self._hyper.tolist(),
        }

    def _relearn(self, learned: Mapping[str, Any]) -> None:
        self._mean, self._sd, self._rows, self._alpha, self._hyper = (
            np.array(learned[name], dtype=np.float64) for name in ("mean", "sd", "rows", "alpha", "hyper")
        )
        if self._rows.shape != (len(self._alpha), len(INPUTS)) or self._hyper.shape != (_N_LENGTHS + 4,):
            raise ValueError(
                f"a saved process has rows {self._rows.shape}, expected ({len(self._alpha)}, {len(INPUTS)})"
            )


_N_LENGTHS = int((~_FLAGS).sum()) + 1
"""One an input that is no flag, and one for all flags."""


def _spread(hyper: FloatArray) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """(length of every input, (variances of shape, flags, constant and noise)) from their logarithms."""
    lengths = np.full(len(INPUTS), np.exp(hyper[_N_LENGTHS - 1]))
    lengths[~_FLAGS] = np.exp(hyper[: _N_LENGTHS - 1])
    shape, flags, constant, noise = np.exp(hyper[_N_LENGTHS:]).tolist()
    return lengths, (shape, flags, constant, noise)


class _Likelihood:
    """The marginal likelihood of some rows, and its gradient."""

    def __init__(self, rows: FloatArray, values: FloatArray, noise: FloatArray) -> None:
        self._rows = rows
        self._values = values
        self._noise = noise
        self._shared = rows[:, _FLAGS] @ rows[:, _FLAGS].T
        medians = [*([_PRIOR_LENGTH] * _N_LENGTHS), _PRIOR_SHAPE, _PRIOR_FLAGS, _PRIOR_CONSTANT, _PRIOR_NOISE]
        self._prior = np.log(medians)
        self._prior_sd = np.array([_LENGTH_SD] * _N_LENGTHS + [_OTHER_SD] * 4)

    def best(self) -> FloatArray:
        """The hyper-parameters of the largest likelihood that is found from the priors' medians."""
        from scipy.optimize import minimize

        bounds = [_BOUNDS[0]] * _N_LENGTHS + list(_BOUNDS[1:])
        found = minimize(
            self._against, self._prior, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        return np.asarray(found.x, dtype=np.float64)

    def alpha(self, hyper: FloatArray) -> FloatArray:
        """What every row weighs, (n,)."""
        from scipy.linalg import cho_factor, cho_solve

        covariance, _, _ = self._covariance(hyper)
        return np.asarray(cho_solve(cho_factor(covariance, lower=True), self._values), dtype=np.float64)

    def _covariance(self, hyper: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(covariance of the measured values, its Matérn part, and what the squared distances of that count for)."""
        lengths, (shape, flags, constant, noise) = _spread(hyper)
        scaled = self._rows / lengths
        squares = (scaled**2).sum(axis=1)
        distance = np.sqrt(5.0 * np.maximum(squares[:, None] + squares[None, :] - 2.0 * scaled @ scaled.T, 0.0))
        falling = shape * np.exp(-distance)
        matern = (1.0 + distance + distance**2 / 3.0) * falling
        covariance = matern + flags * self._shared + constant
        covariance[np.diag_indices(len(covariance))] += self._noise + noise + _JITTER
        return covariance, matern, 5.0 / 3.0 * (1.0 + distance) * falling

    def _against(self, hyper: FloatArray) -> tuple[float, FloatArray]:
        """Minus the logarithm of likelihood and priors, and its gradient [Rasmussen and Williams 2006, eq. 5.9]."""
        from scipy.linalg import LinAlgError, cho_solve, cholesky

        covariance, matern, slope = self._covariance(hyper)
        try:
            root = cholesky(covariance, lower=True)
        except LinAlgError:
            return 1e10, np.zeros_like(hyper)
        alpha = cho_solve((root, True), self._values)
        weighed = 0.5 * (cho_solve((root, True), np.eye(len(alpha))) - np.outer(alpha, alpha))
        value = 0.5 * float(self._values @ alpha) + float(np.log(np.diag(root)).sum())
        lengths, (_, flags, constant, noise) = _spread(hyper)
        steep = weighed * slope
        scaled = self._rows / lengths
        # the sum over pairs of steep x (difference of an input)^2, input by input
        along = 2.0 * (steep.sum(axis=1) @ scaled**2 - ((steep @ scaled) * scaled).sum(axis=0))
        rest = [
            (weighed * matern).sum(), flags * (weighed * self._shared).sum(), constant * weighed.sum(),
            noise * np.trace(weighed),
        ]  # fmt: skip
        gradient = np.concatenate([along[~_FLAGS], [along[_FLAGS].sum()], rest])
        apart = (hyper - self._prior) / self._prior_sd
        return value + 0.5 * float(apart @ apart), gradient + apart / self._prior_sd
