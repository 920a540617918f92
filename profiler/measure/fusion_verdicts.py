"""Whether a runtime runs two operators as one, judged by the clock: what it costs to have the one behind the other.

    saved = t(a) + t(b) - t(ab)          of marginal costs, each less the scaffold that stands around all three
    share = saved / t(b)                 1: the second operator is absorbed;  0: it costs what it costs alone
    benefit = saved / (t(a) + t(b))

A shape gives one estimate of the share, from rounds in fresh processes. The shapes are then combined as the random
effects that they are (DerSimonian and Laird 1986, with the variance of Hartung and Knapp 2001, never below that of
fixed effects), so that a runtime that fuses at some shapes only is not called either. The share is tested against a
threshold between the two truths, and the false discoveries among the verdicts on all pairs are bounded (Benjamini and
Hochberg 1995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite, nan, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from profiler.workloads.fusion_pairs import Pair

__all__ = ["ABSORBED", "FALSE_DISCOVERIES", "Finding", "ShapeFinding", "Slopes", "Verdict", "judge", "judge_shape"]

Verdict = Literal["fused", "not", "undecided"]
Floats = NDArray[np.float64]

ABSORBED = 0.5
"""An operator is fused where more than this share of what it costs alone is saved. A fused clamp or sum saves all that
it costs alone (reading, writing, being started), one that stands apart saves nothing; half is the furthest from both.
What is dear by its arithmetic and not by its traffic may be drawn in and save little: see docs/fusion.md."""

FALSE_DISCOVERIES = 0.05
"""The share of wrong verdicts among all that are not "undecided"."""

FEWEST_SHAPES = 5
"""Below this many shapes at which the second operator alone could be resolved, nothing is said."""

RESOLVED = 3.0
"""The second operator alone has to cost so many of its standard errors, or its share means nothing."""

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Slopes:
    """Slopes of one trial in ns a repetition: one value a round, and its standard error within the round."""

    values: Mapping[int, float]
    within: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class ShapeFinding:
    """What one shape says.

    Attributes:
        shape: of the tensors.
        first_ns, second_ns, both_ns: marginal costs.
        share, share_low, share_high: of the second's cost that is saved, and its 95 % interval over the rounds (Fieller
            1954); infinite where the second operator alone could not be resolved.
        benefit, benefit_low, benefit_high: saved relative to both, likewise.
        share_error, benefit_error: standard errors, from these rounds alone.
        rounds: that it rests on.
        resolved: whether it counts.
    """

    shape: tuple[int, ...]
    first_ns: float
    second_ns: float
    both_ns: float
    share: float
    share_low: float
    share_high: float
    benefit: float
    benefit_low: float
    benefit_high: float
    share_error: float
    benefit_error: float
    rounds: int
    resolved: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What the trials of one pair come to.

    Attributes:
        pair: kinds of the two operators.
        verdict: "fused", "not" or "undecided".
        share, share_low, share_high: of the second's cost that is saved, over all shapes, with its 95 % interval.
        benefit, benefit_low, benefit_high: saved relative to both, likewise.
        p: of a share at the threshold; adjusted: with the false discoveries over all pairs.
        shapes: what each says.
        reason: why it is undecided.
    """

    pair: Pair
    verdict: Verdict
    share: float
    share_low: float
    share_high: float
    benefit: float
    benefit_low: float
    benefit_high: float
    p: float
    adjusted: float
    shapes: tuple[ShapeFinding, ...]
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; None stands for what is not finite."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: plain(v) for k, v in value.items()}
            if isinstance(value, list | tuple):
                return [plain(v) for v in value]
            return None if isinstance(value, float) and not isfinite(value) else value

        return dict(plain(asdict(self)))


def judge_shape(shape: tuple[int, ...], nothing: Slopes, first: Slopes, second: Slopes, both: Slopes) -> ShapeFinding:
    """What one shape says, from the slopes of its four trials.

    Only rounds in which all four have a figure count; with fewer than two nothing is resolved.
    """
    trials = (nothing, first, second, both)
    rounds = sorted(set.intersection(*(set(trial.values) for trial in trials)))
    if len(rounds) < 2:
        return ShapeFinding(shape, nan, nan, nan, *_UNKNOWN, *_UNKNOWN, nan, nan, len(rounds), False)
    slopes = np.array([[trial.values[r] for r in rounds] for trial in trials])
    means = slopes.mean(axis=1)
    covariance = np.cov(slopes) / len(rounds)
    within = _within([np.array([trial.within[r] for r in rounds]) for trial in trials])
    # the scatter between rounds holds that within them; the latter keeps rounds that agree by luck from looking exact
    if _SAVED @ within @ _SAVED > _SAVED @ covariance @ _SAVED:
        covariance = within
    alone = float(_SECOND @ means)
    share, share_error = _ratio(means, covariance, _SECOND, len(rounds) - 1)
    benefit, benefit_error = _ratio(means, covariance, _FIRST + _SECOND, len(rounds) - 1)
    return ShapeFinding(
        shape,
        float(_FIRST @ means),
        alone,
        float(_BOTH @ means),
        *share,
        *benefit,
        share_error,
        benefit_error,
        len(rounds),
        isfinite(benefit_error) and bool(alone > RESOLVED * sqrt(_SECOND @ covariance @ _SECOND)),
    )


# what is made of the slopes of nothing, first, second and both
_FIRST, _SECOND, _BOTH = np.array([[-1.0, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1]])
_SAVED = _FIRST + _SECOND - _BOTH

_UNKNOWN = (nan, -inf, inf)


def _within(errors: Sequence[Floats]) -> Floats:
    """The covariance (4, 4) of the four mean slopes, as far as the errors within the rounds make it."""
    squares = [float(np.mean(np.square(e[np.isfinite(e)]))) if np.isfinite(e).any() else 0.0 for e in errors]
    return np.diag(squares) / len(errors[0])


def _ratio(means: Floats, covariance: Floats, of: Floats, degrees: int) -> tuple[tuple[float, float, float], float]:
    """What is saved relative to a sum of costs, with its interval (Fieller 1954), and its standard error.

    Args:
        means, covariance: (4,) and (4, 4), of the slopes.
        of: (4,) what sum.
        degrees: of freedom.
    """
    from scipy.special import stdtrit

    n, d = float(_SAVED @ means), float(of @ means)
    if d <= 0:
        return _UNKNOWN, nan
    ratio = n / d
    rest = _SAVED - ratio * of
    error = sqrt(max(float(rest @ covariance @ rest), 0.0)) / d
    q = float(stdtrit(degrees, (1 + _CONFIDENCE) / 2)) ** 2
    square = d * d - q * float(of @ covariance @ of)
    if square <= 0:
        return (ratio, -inf, inf), error
    middle = (n * d - q * float(_SAVED @ covariance @ of)) / square
    spread = sqrt(max(middle**2 - (n * n - q * float(_SAVED @ covariance @ _SAVED)) / square, 0.0))
    return (ratio, middle - spread, middle + spread), error


# -------------------------------------------------------------------- over shapes, and over pairs


def judge(found: Mapping[Pair, Sequence[ShapeFinding]], threshold: float = ABSORBED) -> tuple[Finding, ...]:
    """The verdicts on all pairs together.

    Args:
        found: what each shape says, by pair.
        threshold: the share of the second operator's cost that has to be saved.
    """
    from scipy.stats import false_discovery_control

    bare = [_combined(pair, tuple(shapes), threshold) for pair, shapes in found.items()]
    tested = [i for i, finding in enumerate(bare) if finding.p == finding.p]
    adjusted = dict.fromkeys(range(len(bare)), nan)
    if tested:
        adjusted.update(zip(tested, map(float, false_discovery_control([bare[i].p for i in tested])), strict=True))
    return tuple(_decided(finding, adjusted[i], threshold) for i, finding in enumerate(bare))


def _decided(finding: Finding, adjusted: float, threshold: float) -> Finding:
    values = {name: getattr(finding, name) for name in Finding.__dataclass_fields__} | {"adjusted": adjusted}
    if adjusted != adjusted:
        return Finding(**values)
    if adjusted > FALSE_DISCOVERIES:
        return Finding(**values | {"reason": f"the share may lie on either side of {threshold:g}: measure more rounds"})
    return Finding(**values | {"verdict": "fused" if finding.share > threshold else "not"})


def _combined(pair: Pair, shapes: tuple[ShapeFinding, ...], threshold: float) -> Finding:
    from scipy.special import stdtr, stdtrit

    good = [s for s in shapes if s.resolved]
    if len(good) < FEWEST_SHAPES:
        reason = f"{pair[1]} alone could be resolved at {len(good)} of {len(shapes)} shapes, and {FEWEST_SHAPES} needed"
        return Finding(pair, "undecided", nan, nan, nan, nan, nan, nan, nan, nan, shapes, reason)
    first, second, both = np.array([(s.first_ns, s.second_ns, s.both_ns) for s in good]).T
    run = first + second + both
    share, error = _random_effects(
        np.array([s.share for s in good]), _pooled(np.array([s.share_error for s in good]), second, run)
    )
    benefit, benefit_error = _random_effects(
        np.array([s.benefit for s in good]), _pooled(np.array([s.benefit_error for s in good]), first + second, run)
    )
    degrees = len(good) - 1
    p = 2 * float(stdtr(degrees, -abs(share - threshold) / error)) if error > 0 else float(share == threshold)
    t = float(stdtrit(degrees, (1 + _CONFIDENCE) / 2))
    return Finding(
        pair, "undecided", share, share - t * error, share + t * error, benefit, benefit - t * benefit_error,
        benefit + t * benefit_error, p, nan, shapes,
    )  # fmt: skip


def _pooled(errors: Floats, relative_to: Floats, durations: Floats) -> Floats:
    """Standard errors of ratios, shape by shape. A few rounds say little of their own scatter, so the noise is taken as
    one share of the durations at all shapes: the root mean square of what the shapes say."""
    noise = errors * relative_to / durations
    return np.asarray(durations / relative_to * sqrt(float(np.mean(np.square(noise)))), dtype=np.float64)


def _random_effects(values: Floats, errors: Floats) -> tuple[float, float]:
    """The mean over shapes and its standard error."""
    k = len(values)
    weights = 1.0 / np.square(np.maximum(errors, 1e-12))
    mean = float(np.average(values, weights=weights))
    q = float(np.sum(weights * np.square(values - mean)))
    scale = float(np.sum(weights) - np.sum(np.square(weights)) / np.sum(weights))
    between = max(0.0, (q - (k - 1)) / scale) if scale > 0 else 0.0
    weights = 1.0 / (1.0 / weights + between)
    mean = float(np.average(values, weights=weights))
    fixed = 1.0 / float(np.sum(weights))
    scatter = float(np.sum(weights * np.square(values - mean))) / (k - 1)
    return mean, sqrt(fixed * max(scatter, 1.0))
