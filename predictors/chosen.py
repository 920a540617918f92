"""The additive model under the cut and isolation that closure chose for a target, for networks wholly measured so.

What a comparison of cuts measures beyond fused kernels in chains are the kernels of some networks. A network of which
a kernel has no figure of its own under the chosen cut and isolation is predicted as ever, by fused kernels in chains
and regressors for those without a row. And so is every network where the networks fitted on, each left out in turn,
come out nearer as ever: the usual model has more of them to learn from, which may outweigh a better cut.
`Prediction.interval` says which it was. Whole populations are priced likewise, each workload by the chosen cut where it
was wholly measured so, if they are counted under both cuts (`cuts`, `Population.beside`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveModel
from predictors.base import Prediction
from predictors.cuts import Isolated
from predictors.lookup import KernelSum, add_up
from predictors.measured import KernelPoint, Measurements
from predictors.population import Population
from predictors.residual import LEAST_NETWORKS
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.cuts import CUTS, Cut, cut_as
from profiler.workloads.fusion import Kernel
from profiler.workloads.graph import Workload

__all__ = ["ChosenCutModel"]

_ISOLATIONS: tuple[Isolated, ...] = ("alone", "chained", "pairs")


class ChosenCutModel(AdditiveModel):
    """`AdditiveModel`, but that a network wholly measured under one cut and isolation is predicted by these.

    Args:
        cut: out of `profiler.workloads.cuts.CUTS`, but "blocks", which are no kernels.
        isolation: how the parts' costs were found: "alone", "chained", or "pairs" (of kernels in `Measurements.pairs`;
            the others chained).
        overhead, regressors, least_rows, residual, level: as of `AdditiveModel`; regressors serve the networks that are
            predicted as ever.

    Attributes:
        usual_: the fitted `AdditiveModel`.
        costs_, overhead_, skipped_: of the chosen cut; costs are of measured kernels alone.
        outdone_: whether the usual model is nearer to networks left out.
    """

    name = "chosen cut"

    def __init__(
        self,
        cut: Cut = "fused",
        isolation: Isolated = "chained",
        overhead: str = "auto",
        regressors: bool = True,
        least_rows: int = 5,
        residual: bool = True,
        level: float = 0.9,
    ) -> None:
        super().__init__(overhead, regressors, least_rows, residual, level)
        self.cut = cut
        self.isolation = isolation

    def _fit(self, measurements: Measurements) -> None:
        if self.cut not in CUTS or self.cut == "blocks" or self.isolation not in _ISOLATIONS:
            raise ConfigError(
                f"kernels are cut as {', '.join(c for c in CUTS if c != 'blocks')} and isolated "
                f"{', '.join(_ISOLATIONS)}, not {self.cut!r} and {self.isolation!r}"
            )
        self._fit_usual(measurements)
        self._fit_kernels(replace(measurements, kernels=self._isolated(measurements)), regressors=False)
        self.outdone_ = self._is_outdone()

    def _fit_usual(self, measurements: Measurements) -> None:
        self.usual_ = self._usual()
        self.usual_.fit_measurements(measurements)

    def _is_outdone(self) -> bool:
        both = self.left_out_.keys() & self.usual_.left_out_.keys()
        if len(both) < LEAST_NETWORKS:
            return False
        own, usual = (sum(abs(model.left_out_[key]) for key in both) for model in (self, self.usual_))
        return usual < own

    def _usual(self) -> AdditiveModel:
        usual = AdditiveModel(self.overhead, self.regressors, self.least_rows, self.residual, self.level)
        usual._set_target(self.target_id_, self.runtime_, self.precision_)
        return usual

    def _isolated(self, measurements: Measurements) -> tuple[KernelPoint, ...]:
        """The kernels with their costs as they are isolated; without those that were not measured so."""
        if self.isolation == "alone":
            return tuple(alone for point in measurements.kernels if (alone := point.alone) is not None)
        if self.isolation == "pairs" and not measurements.pairs:
            raise UnknownWorkload(
                f"no kernel of {measurements.target_id} was measured in pairs; `edgecost profile --cuts` does that"
            )
        pairs = {point.key: point for point in measurements.pairs} if self.isolation == "pairs" else {}
        return tuple({**{point.key: point for point in measurements.kernels}, **pairs}.values())

    def _cut(self, workload: Workload) -> tuple[Kernel, ...]:
        return cut_as(workload, self.cut, self.runtime_, self.precision_)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        cuts = self._cuts(workloads)
        found = self._found(cuts)
        factors = self._factors(cuts, found)
        sums = [add_up(kernels, found, self.level) for kernels in cuts]
        left = [place for place, total in enumerate(sums) if total.missing or self.outdone_]
        usual = dict(zip(left, self.usual_.estimate_many([workloads[place] for place in left]), strict=True))
        return [
            replace(usual[place], interval=f"{usual[place].interval}; {self._why(total)}")
            if place in usual
            else self._prediction(total, float(factors[place]))
            for place, total in enumerate(sums)
        ]

    def _why(self, total: KernelSum) -> str:
        if self.outdone_:
            instead = f"{self.cut} ones, {self.isolation}"
            return f"by fused kernels, chained, which are nearer to networks left out than {instead}"
        return (
            f"by fused kernels, chained, since {len(total.missing)} of {total.n_kernels} kernels were not measured as "
            f"the target's {self.cut} ones, {self.isolation}"
        )

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """See `CostModel`."""
        self._check_fitted()
        return ("fused",) if self.outdone_ or self.cut == "fused" else ("fused", self.cut)

    def price(self, population: Population) -> NDArray[np.float64]:
        """Latencies in ms of a whole population from its kernel counts, shape (n,), NaN where a cost is missing: by the
        chosen cut and isolation where all of a workload's kernels were measured so, and as ever otherwise. One that is
        not counted under the chosen cut is priced as ever throughout.

        Raises:
            ConfigError: as of `AdditiveModel`.
        """
        self._check_fitted()
        usual = self.usual_.price(population)
        counted = None if self.outdone_ else population.under(self.cut)
        if counted is None:
            return usual
        chosen = self._price(counted)
        return np.where(np.isfinite(chosen), chosen, usual)

    def state(self) -> dict[str, Any]:
        """See `CostModel`."""
        return {
            "chosen": super().state(), "usual": self.usual_.state(), "sha256": self.usual_.measurements_sha256_,
            "outdone": self.outdone_,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """See `CostModel`."""
        super().restore(state["chosen"])
        self.usual_ = self._usual()
        self.usual_.restore(state["usual"])
        self.usual_.measurements_sha256_ = str(state["sha256"])
        self.outdone_ = bool(state["outdone"])
