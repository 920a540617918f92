"""What any network costs on one target: its parts added up, by table rows first and a regressor for unseen parts.

A search prices the blocks of one supernet; scaling and post-processing leave it: other widths and sizes, gates,
h-swish. A network's parts are its stem, its blocks and its head, each a Workload of its own:

    cost = constant + scale x (sum of parts)

Constant and scale are 0 and 1 until they are fitted to whole networks measured on the target (`calibrated`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from predictors.blocks import BlockRegressor
from predictors.intervals import leave_one_out
from predictors.regressors import nonnegative_fit, row_sums
from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.s3nas.costs.blockcosts import UNITS, CostUnit
from search.s3nas.costs.models import ModelCosts, measured_costs
from search.s3nas.costs.parts import Part, parts_of
from search.spaces.network import Network

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = [
    "MIN_NETWORKS",
    "BlockModel",
    "Calibration",
    "ModelCosts",
    "NetworkCosts",
    "Part",
    "measured_costs",
    "parts_of",
]

FloatArray = NDArray[np.float64]

MIN_NETWORKS = 3
"""A line through fewer whole networks has no residual."""

_NAMED = 3


class BlockModel(Protocol):
    """What prices parts without a row, such as `predictors.blocks.BlockRegressor`."""

    def predict(self, workloads: Sequence[Workload], /) -> FloatArray:
        """Costs (n,), NaN where nothing is known."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How sums of parts became whole networks.

    Attributes:
        constant: of a run, in the unit of the costs.
        scale: of the sum of parts.
        n_networks: whole networks fitted to; 0 where nothing was fitted.
        mape, left_out_mape: mean absolute relative error on these, and each predicted from the others; NaN without.
    """

    constant: float = 0.0
    scale: float = 1.0
    n_networks: int = 0
    mape: float = float("nan")
    left_out_mape: float = float("nan")


class NetworkCosts:
    """Costs of networks on one target; calling it is `costs`.

    Attributes:
        rows: costs of parts by Workload key.
        regressor: prices parts without a row; None leaves them missing.
        calibration: constant and scale.
        unit: "ms" or "mj" a run.
        target: id of the target.
    """

    def __init__(
        self,
        rows: Mapping[str, float],
        regressor: BlockModel | None = None,
        *,
        calibration: Calibration | None = None,
        unit: CostUnit = "ms",
        target: str = "",
    ) -> None:
        self.rows = dict(rows)
        self.regressor = regressor
        self.calibration = calibration or Calibration()
        self.unit = unit
        self.target = target
        self._known: dict[Hashable, float] = {}

    @classmethod
    def from_table(cls, table: CostTable, target_id: str, *, regressor: bool = True) -> Self:
        """From a table's block rows of one target, in ms; a regressor is fitted to the same rows.

        A marginal cost below what could be resolved is measured and tiny: its row counts as zero, and the regressor,
        which goes by relative errors, does not learn from it.

        Raises:
            ConfigError: where there is no block row, or there are too few for a regressor.
        """
        found = table.rows(target_id=target_id, kind="block")
        if not found:
            raise ConfigError(
                f"the table has no block measured on {target_id}; measure some with "
                f"`edgecost profile --target {target_id} --blocks`"
            )
        rows = {row.key: max(row.latency_ns, 0.0) / 1e6 for row in found}
        if not regressor:
            return cls(rows, target=target_id)
        learn = [key for key, cost in rows.items() if cost > 0.0 and key in table.workloads]
        model = BlockRegressor().fit([table.workloads[key] for key in learn], [rows[key] for key in learn])
        return cls(rows, model, target=target_id)

    # ---------------------------------------------------------------- asking

    def costs(self, networks: Sequence[Network]) -> FloatArray:
        """Costs (n,) in `unit`; NaN where a part has neither a row nor an estimate."""
        fitted = self.calibration
        return fitted.constant + fitted.scale * self.sums(networks)

    __call__ = costs

    def sums(self, networks: Sequence[Network]) -> FloatArray:
        """Sums of parts (n,) without constant and scale; NaN where one is missing."""
        parts = [parts_of(network) for network in networks]
        self._price(part for found in parts for part in found)
        known = self._known
        return np.array([sum(known[part.spot] for part in found) for found in parts], dtype=np.float64)

    def missing(self, networks: Sequence[Network]) -> tuple[str, ...]:
        """Names of the distinct parts without any cost."""
        parts = {part.spot: part for network in networks for part in parts_of(network)}
        self._price(parts.values())
        return tuple(part.build().name for spot, part in parts.items() if np.isnan(self._known[spot]))

    def _price(self, parts: Iterable[Part]) -> None:
        """Look up or estimate what was not asked before, in one call of the regressor."""
        new = {part.spot: part for part in parts if part.spot not in self._known}
        unseen: dict[Hashable, Workload] = {}
        for spot, part in new.items():
            workload = part.build()
            cost = self.rows.get(workload.key) if self.rows else None
            if cost is None:
                unseen[spot] = workload
            else:
                self._known[spot] = cost
        if not unseen:
            return
        work = list(unseen.values())
        costs = np.full(len(work), np.nan) if self.regressor is None else self.regressor.predict(work)
        self._known.update(zip(unseen, costs.tolist(), strict=True))

    # ---------------------------------------------------------------- whole networks

    def calibrated(self, networks: Sequence[Network], measured: Sequence[float] | FloatArray) -> NetworkCosts:
        """The same costs with constant and scale fitted to whole networks, neither below zero.

        Squared relative errors are the least; what is known of parts so far is kept.

        Args:
            networks: three or more.
            measured: their costs (n,) in `unit`.

        Raises:
            ConfigError: for too few networks, costs not above zero, parts without a cost, or costs that do not rise
                with the sum of the parts.
        """
        whole = np.asarray(measured, dtype=np.float64)
        if whole.shape != (len(networks),) or len(networks) < MIN_NETWORKS:
            raise ConfigError(
                f"{len(networks)} networks with {whole.size} costs were given for constant and scale of "
                f"{self.target or 'the target'}: give at least {MIN_NETWORKS}, one cost each"
            )
        if not (np.isfinite(whole) & (whole > 0)).all():
            raise ConfigError(f"measured costs must be positive numbers of {UNITS[self.unit]}")
        sums = self.sums(networks)
        if np.isnan(sums).any():
            raise ConfigError(f"parts of the measured networks have no cost: {_some(self.missing(networks))}")
        fitted = NetworkCosts(
            self.rows, self.regressor, calibration=_calibrate(sums, whole), unit=self.unit, target=self.target
        )
        fitted._known = dict(self._known)
        if fitted.calibration.scale == 0.0:
            raise ConfigError(
                f"the measured networks' costs on {self.target or 'the target'} do not rise with the sum of their "
                f"parts; were they measured on the same target, and are they of different sizes?"
            )
        return fitted


def _calibrate(sums: FloatArray, whole: FloatArray) -> Calibration:
    design = np.column_stack([np.ones_like(sums), sums])
    weights = 1.0 / whole

    def fit_predict(rows: FloatArray, values: FloatArray, of: FloatArray, held: FloatArray) -> FloatArray:
        return row_sums(held, nonnegative_fit(rows, values, of))

    constant, scale = (float(c) for c in nonnegative_fit(design, whole, weights))
    errors = (constant + scale * sums) / whole - 1.0
    left_out = np.array(leave_one_out(fit_predict, design, whole, weights))
    return Calibration(constant, scale, len(whole), float(np.abs(errors).mean()), float(np.abs(left_out).mean()))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more
