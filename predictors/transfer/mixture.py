"""Gaussian-process regressions on few points, one for every weighing of the blocks, averaged by marginal likelihood.

For one weighing: y = mu + sigma f(x) + noise, f a Gaussian process whose covariance is a weighted sum of the blocks'
linear kernels. mu has a flat prior and is integrated out, as is sigma (prior 1 / sigma), so that nothing depends on the
unit or the size of what is measured (Rasmussen and Williams 2006, section 2.7, with a scale mixture).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.grid import Grid

__all__ = ["Posterior", "posterior"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """What n standardised values say under s ways to share the variance and l noises.

    Attributes:
        weights: (s, l) posterior probability of each.
        alpha: (s, l, n): K^-1 (y - mu); predictions are mu + k(x) alpha.
        mean: (s, l) mu.
        variance: (s, l) sigma squared.
        left_out: (s, l, n) y minus the prediction of y from all others.
        left_out_variance: (s, l, n) of these, in units of `variance`.
        row_sums: (s, l, n) of the inverse covariance with mu known; `total` (s, l) their sums.
        vectors, sizes: (s, n, n), (s, n): eigenvectors and eigenvalues of the covariances without noise, both sides
            multiplied by the roots of `precision` (n,), that of each value's noise.
    """

    weights: FloatArray
    alpha: FloatArray
    mean: FloatArray
    variance: FloatArray
    left_out: FloatArray
    left_out_variance: FloatArray
    row_sums: FloatArray
    total: FloatArray
    vectors: FloatArray
    sizes: FloatArray
    precision: FloatArray

    @property
    def left_out_mean(self) -> FloatArray:
        """(n,) left-out residuals of the average prediction."""
        return np.tensordot(self.weights, self.left_out, axes=2)

    def left_out_scores(self) -> FloatArray:
        """(n,) left-out residuals in their own standard deviations, of mixtures that know nothing of what is left out.

        A value's evidence is taken out of the weights of the weighings, and its residual out of sigma; without this the
        residuals are too small, because the weights have seen it (importance weighting as of Vehtari et al. 2017, here
        exact). Values that are believed less keep the precision that they have.
        """
        n = len(self.precision)
        total = self.variance[..., None] * (n - 1)
        rest = np.maximum(total - np.square(self.left_out) / self.left_out_variance, 1e-12 * total + 1e-300)
        density = -0.5 * np.log(self.left_out_variance) + 0.5 * (n - 2) * np.log(rest) - 0.5 * (n - 1) * np.log(total)
        log_weight = np.log(np.maximum(self.weights, 1e-300))[..., None] - density
        weight = np.exp(log_weight - log_weight.max(axis=(0, 1)))
        weight /= weight.sum(axis=(0, 1))
        mean = (weight * self.left_out).sum(axis=(0, 1))
        spread = self.left_out_variance * rest / (n - 2) + np.square(self.left_out - mean)
        return np.asarray(mean / np.sqrt(np.maximum((weight * spread).sum(axis=(0, 1)), 1e-300)))

    def root_inverse(self, share: int, noise: float) -> FloatArray:
        """(n, n) R with R R' the inverse of one covariance, noise included."""
        root = np.sqrt(self.precision)[:, None] * self.vectors[share]
        return np.asarray(root / np.sqrt(self.sizes[share] + noise))


def posterior(grid: Grid, kernels: FloatArray, values: FloatArray, precision: FloatArray) -> Posterior:
    """Fit every weighing; one eigendecomposition serves all noises of one way to share.

    Args:
        grid: the weighings of b blocks.
        kernels: (b, n, n) of the blocks.
        values: (n,), standardised.
        precision: (n,) of each value's noise, 1 for one that is believed.
    """
    n, root = len(values), np.sqrt(precision)
    covariance = np.tensordot(grid.shares, kernels, axes=1) * root[:, None] * root
    sizes, vectors = np.linalg.eigh(covariance)
    sizes = np.maximum(sizes, 0.0)
    inverse = 1.0 / (sizes[:, None, :] + grid.noises[None, :, None])
    turned = np.einsum("sij,i->sj", vectors, root * values)[:, None, :]
    ones = np.einsum("sij,i->sj", vectors, root)[:, None, :]
    total = (inverse * ones**2).sum(axis=2)
    mean = (inverse * ones * turned).sum(axis=2) / total
    residual = turned - mean[..., None] * ones
    quadratic = (inverse * residual**2).sum(axis=2)
    back = root[:, None] * vectors
    alpha = (inverse * residual) @ back.swapaxes(1, 2)
    row_sums = (inverse * ones) @ back.swapaxes(1, 2)
    diagonal = inverse @ np.square(back).swapaxes(1, 2) - row_sums**2 / total[..., None]
    diagonal = np.maximum(diagonal, 1e-300)
    evidence = 0.5 * (np.log(inverse).sum(axis=2) - np.log(total) - (n - 1) * np.log(quadratic + 1e-12))
    log_weight = evidence + grid.log_prior
    weights = np.exp(log_weight - log_weight.max())
    return Posterior(
        weights / weights.sum(), alpha, mean, quadratic / (n - 1), alpha / diagonal, 1.0 / diagonal, row_sums, total,
        vectors, sizes, precision,
    )  # fmt: skip
