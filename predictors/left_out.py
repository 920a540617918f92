"""What predictors are worth on what they have not seen: kernels, kinds, families and networks left out in turn.

    rows = kernels_left_out(points, seeds=range(3))        # each kernel predicted without it, its kind, its family
    rows = networks_left_out(models, measurements, every_network, seeds=range(3))

Networks are left out by class (`predictors.classes`), so that none is predicted by its copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel
from predictors.candidates import BENT_LEAST
from predictors.classes import classes_of, folds_by_class
from predictors.evaluate import Scores, score
from predictors.features import family
from predictors.kernel import LEAST_ROWS, KernelRegressor, Level, fitted_regressor
from predictors.measured import KernelPoint, Measurements, ModelPoint
from profiler.errors import UnknownWorkload

__all__ = ["WELL_MEASURED", "LeftOut", "Point", "kernels_left_out", "networks_left_out"]

FloatArray = NDArray[np.float64]

What = Literal["kernel", "kind", "family", "network"]

FOLDS = 5

EVERYTHING = "all"

WELL_MEASURED = "well measured"
"""Kernels whose own figure is uncertain by `WELL` of it at most: only these can judge a regressor that errs by 12 %."""

WELL = 0.05

_LEAST = 8
"""Kernels that a left-out fit is worth making for."""


@dataclass(frozen=True, slots=True)
class Point:
    """One prediction of something left out."""

    label: str
    group: str
    measured_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float
    noise: float = 0.0

    @property
    def covered(self) -> bool:
        """Whether the measured value lies in the interval of a prediction; without one it does not."""
        return math.isfinite(self.predicted_ms) and self.low_ms <= self.measured_ms <= self.high_ms


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Scores of one predictor on what was left out.

    Attributes:
        what: what was left out at a time: a fold of kernels, a kind, a family, or a fold of networks by class.
        model: which predictor.
        group: a kind or family of kernels, "all", or "well measured".
        seed: of the folds; None where none was drawn.
        scores: of the predictions.
        covered: share of the n whose measured value lies in the interval.
        level: nominal coverage of these intervals.
        noise: root mean square of the measurements' own relative uncertainty: no predictor is better than that.
    """

    what: What
    model: str
    group: str
    seed: int | None
    scores: Scores
    covered: float
    level: float
    noise: float

    def to_dict(self) -> dict[str, Any]:
        """One flat JSON-able row; None stands for what is undefined."""
        names = ("what", "model", "group", "seed", "covered", "level", "noise")
        row = {**{name: getattr(self, name) for name in names}, **asdict(self.scores)}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def kernels_left_out(
    points: Sequence[KernelPoint], seeds: Iterable[int] = (0,), level: float = 0.9
) -> tuple[list[LeftOut], list[Point]]:
    """Kernels without themselves, without their kind and without their family.

    What was measured as costing nothing, or with an uncertainty as large as its value, is not scored; it is fitted on.
    Which regressor serves which kind is chosen once, by cross-validation on all kernels, as it is for a board; all that
    it learns, its hyper-parameters too, it learns without what is left out.

    Args:
        points: measured kernels of one target.
        seeds: of the folds of kernels.
        level: of the intervals.

    Returns:
        Rows (each kind, "all" and "well measured" for folds of kernels, and the same of the roofline; "all" and each
        left-out group for kinds and families), and the predictions of the first seed.

    Raises:
        UnknownWorkload: there are too few kernels.
    """
    if len(points) < _LEAST:
        raise UnknownWorkload(
            f"{len(points)} measured kernels are too few to leave some out ({_LEAST} are needed); measure more with "
            "`edgecost profile --adaptive`"
        )
    rows: list[LeftOut] = []
    shown: list[Point] = []
    for seed in seeds:
        fold = np.random.default_rng(seed).permutation(len(points)) % FOLDS
        folds = [str(f) for f in fold]
        found = _kernels(points, folds, level, ("kind", "family", "all"))
        shown = shown or found
        baseline = _kernels(points, folds, level, ("all",))
        for model, said, by_group in (("roofline", baseline, False), ("regressors", found, True)):
            rows += _scored(said, "kernel", model, seed, level, by_group)
            well = [p for p in said if p.noise <= WELL]
            rows += [_row(well, "kernel", model, WELL_MEASURED, seed, level)] if well else []
    kinds, families = [p.kernel.kind for p in points], [family(p.kernel) for p in points]
    if len(set(kinds)) > 1:
        found = _kernels(points, kinds, level, ("family", "all"))
        rows += _scored(found, "kind", "regressors", None, level, by_group=True)
    if len(set(families)) > 1:
        of = {p.label: name for p, name in zip(points, families, strict=True)}
        found = [replace(p, group=of[p.label]) for p in _kernels(points, families, level, ("all",))]
        rows += _scored(found, "family", "regressors", None, level, by_group=True)
    return rows, shown


def _kernels(
    points: Sequence[KernelPoint], groups: Sequence[str], level: float, levels: Sequence[Level]
) -> list[Point]:
    """Each kernel that can be scored, predicted by a fit without its group.

    Args:
        points: (n,) kernels.
        groups: (n,) names; those of one name are left out together.
        level: of the intervals.
        levels: of the regressors that can say anything without the group, the others need not be fitted.
    """
    found: list[Point] = []
    # a kind of few rows that went by its family's has no choice of its own to be held to
    chosen = {
        name: group.chosen
        for name, group in fitted_regressor(tuple(points), LEAST_ROWS).groups.items()
        if not group.of or group.n >= BENT_LEAST.get(group.chosen, 0)
    }
    for group in sorted(set(groups)):
        kept = [p for p, g in zip(points, groups, strict=True) if g != group]
        out = [p for p, g in zip(points, groups, strict=True) if g == group and p.latency_ms > p.doubt_ms]
        fitted = KernelRegressor(levels=levels, chosen=chosen).fit(kept, [p.kernel for p in out])
        for point, estimate in zip(out, fitted.estimate([p.kernel for p in out]), strict=True):
            if estimate is None:
                low, value, high = math.nan, math.nan, math.nan
            else:
                value = estimate.latency_ms
                low, high = fitted.interval(estimate, level)
            noise = point.doubt_ms / point.latency_ms
            found.append(Point(point.label, point.kernel.kind, point.latency_ms, value, low, high, noise))
    return found


def _scored(
    points: Sequence[Point], what: What, model: str, seed: int | None, level: float, by_group: bool = False
) -> list[LeftOut]:
    groups: dict[str, list[Point]] = {EVERYTHING: list(points)}
    for point in points if by_group else ():
        groups.setdefault(point.group, []).append(point)
    return [_row(found, what, model, name, seed, level) for name, found in groups.items() if found]


def _row(points: Sequence[Point], what: What, model: str, group: str, seed: int | None, level: float) -> LeftOut:
    predicted = np.array([p.predicted_ms for p in points])
    measured = np.array([p.measured_ms for p in points])
    covered = float(np.mean([p.covered for p in points]))
    noise = math.sqrt(sum(p.noise**2 for p in points) / len(points))
    return LeftOut(what, model, group, seed, score(predicted, measured), covered, level, noise)


def networks_left_out(
    models: Callable[[], Mapping[str, CostModel]],
    measurements: Measurements,
    networks: Sequence[ModelPoint],
    seeds: Iterable[int] = (0,),
    folds: int = FOLDS,
) -> tuple[list[LeftOut], list[Point]]:
    """Whole networks, each fold of classes predicted by models that were fitted on the others and on all kernels.

    Args:
        models: makes fresh models by name; the last one's predictions are returned.
        measurements: whose kernels are fitted on.
        networks: all that were measured, whatever their split.
        seeds: of the folds.
        folds: how many.

    Raises:
        UnknownWorkload: there are too few networks, or kernels, for one of the models.
    """
    classes = classes_of([m.workload for m in networks], measurements.runtime, measurements.precision)
    rows: list[LeftOut] = []
    shown: list[Point] = []
    for seed in seeds:
        fold = folds_by_class(classes, folds, np.random.default_rng(seed))
        found: dict[str, list[Point]] = {}
        levels: dict[str, float] = {}
        for held in range(int(fold.max(initial=0)) + 1):
            kept = tuple(m for m, f in zip(networks, fold, strict=True) if f != held)
            out = [m for m, f in zip(networks, fold, strict=True) if f == held]
            for name, model in models().items():
                fitted = model.fit_measurements(replace(measurements, models=kept))
                levels[name] = fitted.level
                found.setdefault(name, []).extend(_networks(fitted, out))
        for name, points in found.items():
            rows += _scored(points, "network", name, seed, levels[name])
        shown = shown or next(reversed(found.values()), [])
    return rows, shown


def _networks(fitted: CostModel, out: Sequence[ModelPoint]) -> list[Point]:
    answers = fitted.estimate_many([m.workload for m in out])
    return [
        Point(m.label, "network", m.latency_ms, a.latency_ms if a.complete else math.nan, a.low_ms, a.high_ms,
              m.sd_ms / m.latency_ms)
        for m, a in zip(out, answers, strict=True)
    ]  # fmt: skip
