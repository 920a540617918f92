"""Closure: predicted against measured latency of whole models that nothing was fitted on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictors.base import CostModel
from predictors.classes import class_of, classes_of
from predictors.measured import Measurements, ModelPoint, model_points
from profiler.errors import ConfigError, UnknownWorkload

if TYPE_CHECKING:
    import pandas as pd

    from profiler.tables.table import CostTable

__all__ = [
    "NOISE_FLOOR",
    "ClosureRow",
    "ClosureTable",
    "Scores",
    "closure",
    "noise_floor",
    "regret",
    "score",
    "without_copies",
]

FloatArray = NDArray[np.float64]

NOISE_FLOOR = "noise floor"
_FLOOR_DRAWS = 400


@dataclass(frozen=True, slots=True)
class Scores:
    """How well predictions agree with measurements.

    Attributes:
        n: workloads asked for.
        n_missing: of these, without a prediction. They are outside the means and rank correlations (there is nothing
            to compare) and count as misses in `within_5` and `within_10`.
        mape, rmspe: mean absolute and root mean square relative error, as fractions (0.05 is 5 %).
        within_5, within_10: share of the n within 5 and 10 % of the measured value.
        kendall_tau: tau-b. NaN where all values are equal, or with fewer than two.
        spearman: rank correlation, likewise.
        regret_1, regret_10: what a search for the fastest would lose by believing the predictions: how much slower than
            the fastest of all the fastest is of the one, or of the tenth of all, predicted as fastest.
    """

    n: int
    n_missing: int
    mape: float
    rmspe: float
    within_5: float
    within_10: float
    kendall_tau: float
    spearman: float
    regret_1: float = math.nan
    regret_10: float = math.nan


@dataclass(frozen=True, slots=True)
class ClosureRow:
    """One model's scores on one target.

    Attributes:
        model, target_id: which model where.
        scores: of its predictions.
        covered: share of the n whose measured value lies in the prediction's interval; NaN for the noise floor.
            A workload without a complete prediction counts as not covered.
        level: nominal coverage of these intervals.
    """

    model: str
    target_id: str
    scores: Scores
    covered: float = math.nan
    level: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """One flat JSON-able row; None stands for what is undefined."""
        values = {**asdict(self.scores), "covered": self.covered, "level": self.level}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        return {"model": self.model, "target_id": self.target_id, **finite}


@dataclass(frozen=True, slots=True)
class ClosureTable:
    """All models side by side, and the predictions that the scores are of.

    Attributes:
        rows: one a model and target, the noise floor last of each target.
        labels: of the held-out workloads by target.
        measured_ms: their latencies by target, each (n,).
        predicted_ms: by target and model, each (n,), NaN where missing.
    """

    rows: tuple[ClosureRow, ...]
    labels: Mapping[str, tuple[str, ...]]
    measured_ms: Mapping[str, FloatArray]
    predicted_ms: Mapping[str, Mapping[str, FloatArray]]

    def row(self, model: str, target_id: str) -> ClosureRow:
        """One row.

        Raises:
            KeyError: where there is none.
        """
        for row in self.rows:
            if (row.model, row.target_id) == (model, target_id):
                return row
        raise KeyError((model, target_id))

    def __add__(self, other: ClosureTable) -> ClosureTable:
        """The rows of several targets in one table."""
        return ClosureTable(
            self.rows + other.rows,
            {**self.labels, **other.labels},
            {**self.measured_ms, **other.measured_ms},
            {**self.predicted_ms, **other.predicted_ms},
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form: the rows, and per target the points of a parity plot."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "points": {
                target_id: {
                    "labels": list(self.labels[target_id]),
                    "measured_ms": measured.tolist(),
                    "predicted_ms": {
                        model: [v if math.isfinite(v) else None for v in values.tolist()]
                        for model, values in self.predicted_ms[target_id].items()
                    },
                }
                for target_id, measured in self.measured_ms.items()
            },
        }

    def to_frame(self) -> pd.DataFrame:
        """The rows as a data frame with the columns model, target_id, those of `Scores`, covered and level."""
        import pandas as pd

        numbers = [*(field.name for field in fields(Scores)), "covered", "level"]
        rows = [row.to_dict() for row in self.rows]
        return pd.DataFrame(rows, columns=["model", "target_id", *numbers]).astype(
            dict.fromkeys(numbers[2:], "float64")
        )


def score(predicted: FloatArray, measured: FloatArray) -> Scores:
    """Compare predictions (n,), NaN where missing, with measured values (n,), all positive.

    Raises:
        ConfigError: where the shapes differ, or nothing was measured.
    """
    from scipy.stats import kendalltau, spearmanr

    if predicted.shape != measured.shape or not len(measured):
        raise ConfigError(f"cannot score {predicted.shape} predictions against {measured.shape} measurements")
    known = np.isfinite(predicted)
    relative = np.abs(predicted[known] - measured[known]) / measured[known]
    ranked = known.sum() >= 2 and np.ptp(predicted[known]) > 0 and np.ptp(measured[known]) > 0
    return Scores(
        n=len(measured),
        n_missing=int((~known).sum()),
        mape=float(relative.mean()) if known.any() else math.nan,
        rmspe=math.sqrt(float((relative**2).mean())) if known.any() else math.nan,
        within_5=float((relative <= 0.05).sum()) / len(measured),
        within_10=float((relative <= 0.10).sum()) / len(measured),
        kendall_tau=float(kendalltau(predicted[known], measured[known]).statistic) if ranked else math.nan,
        spearman=float(spearmanr(predicted[known], measured[known]).statistic) if ranked else math.nan,
        regret_1=regret(predicted, measured, 1),
        regret_10=regret(predicted, measured, -(-len(measured) // 10)),
    )


def regret(predicted: FloatArray, measured: FloatArray, k: int) -> float:
    """How much slower, relatively, the fastest of the k predicted as fastest is than the fastest of all (n,).

    What has no prediction is never chosen; NaN where nothing has one.
    """
    known = np.flatnonzero(np.isfinite(predicted))
    if not len(known):
        return math.nan
    believed = known[np.argsort(predicted[known], kind="stable")[:k]]
    return float(measured[believed].min() / measured.min() - 1.0)


def noise_floor(held_out: Sequence[ModelPoint], seed: int = 0) -> Scores:
    """What a predictor that knew every true latency would score, given how far the measurements themselves spread.

    The measured values stand for the truth and are measured again in thought: each disturbed by a log-normal error of
    its own standard deviation, from interval and spread between rounds. The scores are means over many such draws.
    A drift that all rounds share is not in it, and with three rounds of which one met a busy machine it is too high.
    """
    rng = np.random.default_rng(seed)
    truth = np.array([m.latency_ms for m in held_out])
    sd = np.array([m.sd_ms for m in held_out])
    sigma = np.sqrt(np.log1p((sd / truth) ** 2))
    drawn = [truth * np.exp(sigma * rng.standard_normal(len(truth))) for _ in range(_FLOOR_DRAWS)]
    scores = [asdict(score(truth, noisy)) for noisy in drawn]
    means = {name: float(np.mean([s[name] for s in scores])) for name in scores[0] if name not in ("n", "n_missing")}
    return Scores(n=len(truth), n_missing=0, **means)


def without_copies(held_out: Sequence[ModelPoint], measurements: Measurements) -> tuple[ModelPoint, ...]:
    """The held-out networks that are no copies of those fitted on: that do not run the very same kernels."""
    where = measurements.runtime, measurements.precision
    seen = set(classes_of(measurements.workloads, *where))
    return tuple(m for m in held_out if class_of(m.workload, *where) not in seen)


def closure(
    models: Mapping[str, CostModel],
    table: CostTable,
    target_id: str,
    held_out: Sequence[ModelPoint] | None = None,
) -> ClosureTable:
    """Score fitted models on whole models that they have not seen, all models on the same ones.

    Args:
        models: fitted for `target_id`, by the name to show.
        table: holds the measurements.
        target_id: the target.
        held_out: what to score on; by default the table's model rows of split "held_out".

    Raises:
        UnknownWorkload: where nothing held out was measured.
        ConfigError: where a held-out workload is also among those fitted on, or a model is of another target.
    """
    points = model_points(table, target_id, "held_out") if held_out is None else tuple(held_out)
    if not points:
        raise UnknownWorkload(
            f"the table has no held-out whole model measured on {target_id}; measure some with `edgecost profile`"
        )
    seen = {m.key for m in model_points(table, target_id, "fit")}
    leaked = [p.label for p in points if p.key in seen]
    if leaked:
        raise ConfigError(f"{leaked[0]!r} is held out and also fitted on ({len(leaked)} such); hold out others")
    strangers = [name for name, model in models.items() if not model.fitted or model.target_id_ != target_id]
    if strangers:
        raise ConfigError(f"the model {strangers[0]!r} is not fitted for {target_id}; call fit(table, {target_id!r})")
    measured = np.array([p.latency_ms for p in points])
    workloads = [p.workload for p in points]
    rows: list[ClosureRow] = []
    predicted: dict[str, FloatArray] = {}
    for name, model in models.items():
        answers = model.estimate_many(workloads)
        predicted[name] = np.array([a.latency_ms if a.complete else math.nan for a in answers])
        inside = [a.complete and a.low_ms <= ms <= a.high_ms for a, ms in zip(answers, measured, strict=True)]
        rows.append(ClosureRow(name, target_id, score(predicted[name], measured), float(np.mean(inside)), model.level))
    rows.append(ClosureRow(NOISE_FLOOR, target_id, noise_floor(points)))
    return ClosureTable(
        tuple(rows), {target_id: tuple(p.label for p in points)}, {target_id: measured}, {target_id: predicted}
    )
