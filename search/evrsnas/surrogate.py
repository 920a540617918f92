"""A score of a whole space from that of a sample: a model on what cells are made of. Ours; not in the paper.

Brief training is too dear for every architecture, and the argmax of a noisy score is whatever architecture it flatters
most. A ridge regression on few features of structure, fitted to the trained phi of a random sample, knows all
architectures and flatters none: what of phi is peculiar to one network is left out. (RMI-NAS fits a random forest to
its scores; a forest cannot go beyond what it has seen, see docs/hw-evrsnas.md.) The score by distillation is extended
likewise, by a Gaussian process, which predicts it better than a ridge regression does where it was left out. No
accuracy is seen.

Features of NAS-Bench-201, each of the cell without what carries nothing from input to output: which operator stands on
which edge, how often each occurs, the convolutions on the longest and on the shortest path from input to output, and
the number of paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.evrsnas.arrays import SpaceArrays
from search.evrsnas.judging import macs_and_params
from search.spaces.nasbench201 import NB201_OPS, NasBench201

__all__ = [
    "DISTILLED",
    "DISTILLED_FIT",
    "FITTED",
    "LEAST",
    "LIVE_MACS",
    "essential_choices",
    "fitted",
    "is_sample",
    "live_macs",
    "sample_of",
    "smoothed",
    "structure",
]

Floats = NDArray[np.float64]

FITTED = "phi_fit"
LIVE_MACS = "live_macs"
"""Under which names a study knows the model's phi, and the MACs of what reaches the output."""
DISTILLED = "distilled"
DISTILLED_FIT = "distilled_fit"
"""The score by distillation (`search.evrsnas.distilling`) and the model fitted to it, likewise."""
LEAST = 100
"""Classes that a model is fitted to at least."""
_PENALTY = 1.0
_SOURCE, _TARGET = (0, 0, 1, 0, 1, 2), (1, 2, 2, 3, 3, 3)
_CONVOLUTIONS = tuple(NB201_OPS.index(name) for name in ("nor_conv_1x1", "nor_conv_3x3"))


@cache
def essential_choices(arrays: SpaceArrays) -> NDArray[np.int64]:
    """(n, edges) operators of `SearchSpace.essential` of every architecture; one a class.

    Raises:
        ConfigError: for another space than NAS-Bench-201.
    """
    space = arrays.space
    if not isinstance(space, NasBench201):
        raise ConfigError(f"phi is fitted to the structure of nasbench201, not of {space.name}")
    firsts, inverse = np.unique(arrays.representatives, return_inverse=True)
    found = np.array([space.essential(space.at(int(i))).choices for i in firsts], dtype=np.int64)
    result: NDArray[np.int64] = found[inverse]
    return result


def structure(arrays: SpaceArrays) -> Floats:
    """(n, 32) features; see the module."""
    choices = essential_choices(arrays)
    ops = range(1, len(NB201_OPS))
    edges = np.stack([choices[:, e] == op for e in range(choices.shape[1]) for op in ops], axis=1).astype(np.float64)
    counts = np.stack([(choices == op).sum(axis=1) for op in ops], axis=1) / 2
    longest, shortest = np.full((len(arrays), 4), -np.inf), np.full((len(arrays), 4), np.inf)
    paths = np.zeros((len(arrays), 4))
    longest[:, 0], shortest[:, 0], paths[:, 0] = 0, 0, 1
    for edge, (start, end) in enumerate(zip(_SOURCE, _TARGET, strict=True)):
        there, step = choices[:, edge] != 0, np.isin(choices[:, edge], _CONVOLUTIONS)
        longest[:, end] = np.maximum(longest[:, end], np.where(there, longest[:, start] + step, -np.inf))
        shortest[:, end] = np.minimum(shortest[:, end], np.where(there, shortest[:, start] + step, np.inf))
        paths[:, end] += paths[:, start] * there
    ends = [np.clip(longest[:, 3], 0, 3), np.clip(shortest[:, 3], 0, 3), paths[:, 3], np.sqrt(paths[:, 3])]
    return np.concatenate([edges, counts, np.stack(ends, axis=1)], axis=1)


def fitted(scores: Floats, arrays: SpaceArrays) -> Floats:
    """(n,) what a ridge regression says of every architecture, in standard deviations of the sample; NaN where the
    output does not depend on the input.

    Args:
        scores: (n,) of the sample's classes, NaN elsewhere.
        arrays: the space.

    Raises:
        ConfigError: for fewer than 100 classes with a score, or scores that are all the same.
    """
    from sklearn.linear_model import Ridge

    known, y = _sampled(scores, arrays)
    features = structure(arrays)
    model = Ridge(_PENALTY).fit(features[known], (y - y.mean()) / y.std())
    found: Floats = np.where(arrays.connected, model.predict(features), np.nan)
    return found


def smoothed(scores: Floats, arrays: SpaceArrays) -> Floats:
    """(n,) what a Gaussian process says of every architecture's rank, in standard deviations; as `fitted` otherwise.

    A radial kernel over the features, its length and the noise by marginal likelihood. The scores go in by their ranks,
    as quantiles of a normal distribution: a loss spreads out among the few networks that learn next to nothing, and a
    model of it would be one of these.
    """
    from scipy.stats import norm, rankdata
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    known, y = _sampled(scores, arrays)
    features = structure(arrays)
    kernel = ConstantKernel(1.0) * RBF(3.0) + WhiteKernel(0.3)
    model = GaussianProcessRegressor(kernel, normalize_y=True)
    model.fit(features[known], norm.ppf((rankdata(y) - 0.5) / len(y)))
    found: Floats = np.where(arrays.connected, model.predict(features), np.nan)
    return found


def _sampled(scores: Floats, arrays: SpaceArrays) -> tuple[NDArray[np.int64], Floats]:
    """The positions of the sample's representatives, and their scores."""
    firsts = np.unique(arrays.representatives)
    known = firsts[np.isfinite(scores[firsts])]
    if len(known) < LEAST or np.ptp(scores[known]) == 0:
        raise ConfigError(f"a score is fitted to at least {LEAST} classes whose scores differ, not to {len(known)}")
    return known, scores[known]


def live_macs(arrays: SpaceArrays) -> Floats:
    """(n,) MACs of the full network without what carries nothing from input to output; NaN where nothing does."""
    macs, _ = macs_and_params(arrays)
    found: Floats = macs[essential_choices(arrays) @ arrays.weights]
    return np.where(arrays.connected, found, np.nan)


def is_sample(scores: Floats, arrays: SpaceArrays, share: float = 0.9) -> bool:
    """Whether scores are known of at least 100 classes, and of no more than a share of all: a model is of use."""
    firsts = np.unique(arrays.representatives[arrays.connected])
    return LEAST <= int(np.isfinite(scores[firsts]).sum()) <= share * len(firsts)


def sample_of(stored: Mapping[str, Floats], arrays: SpaceArrays) -> str | None:
    """The name "phi IDENTITY STEP" of what a model is fitted to: trained scores of most classes, of equals after the
    most steps; None where there is none that `is_sample`."""
    firsts = np.unique(arrays.representatives[arrays.connected])
    counts = {
        name: (int(np.isfinite(own[firsts]).sum()), int(name.rsplit(" ", 1)[1]))
        for name, own in stored.items()
        if name.startswith("phi ") and int(name.rsplit(" ", 1)[1]) > 0
    }
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best is not None and is_sample(stored[best], arrays) else None
