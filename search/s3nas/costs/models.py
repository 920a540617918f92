"""Costs of networks by any fitted cost model of whole Workloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveModel
from predictors.base import CostModel
from predictors.lookup import TableModel
from predictors.population import Population
from profiler.workloads.fusion import Kernel, cut
from search.s3nas.costs.blockcosts import CostUnit
from search.s3nas.costs.parts import Part, parts_of
from search.spaces.network import Network, network_workload

__all__ = ["ModelCosts", "measured_costs"]

FloatArray = NDArray[np.float64]


class ModelCosts:
    """Costs of networks by a model, in ms; calling it is `costs`. What was asked once is not computed again.

    Models that add up kernels price all networks at once from kernel counts. A network's kernels are those of its
    parts: no runtime's rules fuse across the end of a block, which is a convolution's norm or a sum (held by a test).

    Attributes:
        model: the model.
        unit: "ms".
        target: what the model was fitted for.
    """

    unit: CostUnit = "ms"

    def __init__(self, model: CostModel) -> None:
        self.model = model
        self.target = getattr(model, "target_id_", "")
        self._known: dict[Network, float] = {}
        self._kernels: dict[Hashable, tuple[int, ...]] = {}
        self._columns: dict[str, int] = {}
        self._distinct: list[Kernel] = []

    def costs(self, networks: Sequence[Network]) -> FloatArray:
        """Costs (n,) in ms, NaN where a part of a network has none.

        Raises:
            ConfigError: where the model is not fitted.
        """
        new = [network for network in dict.fromkeys(networks) if network not in self._known]
        if new:
            if self.model.fitted and isinstance(self.model, AdditiveModel | TableModel):
                costs = self.model.price(self._population(new))
            else:
                costs = self.model.predict([network_workload(network) for network in new])
            self._known.update(zip(new, costs.tolist(), strict=True))
        return np.array([self._known[network] for network in networks], dtype=np.float64)

    __call__ = costs

    def _population(self, networks: Sequence[Network]) -> Population:
        from scipy.sparse import csr_matrix

        indptr, indices, data = [0], list[int](), list[float]()
        for network in networks:
            counts = Counter(column for part in parts_of(network) for column in self._columns_of(part))
            indices += counts.keys()
            data += map(float, counts.values())
            indptr.append(len(indices))
        columns = np.unique(indices)
        kernels = tuple(self._distinct[column] for column in columns)
        shape = (len(networks), len(kernels))
        found = csr_matrix((data, np.searchsorted(columns, indices), indptr), shape=shape, dtype=np.float64)
        return Population(found, kernels)

    def _columns_of(self, part: Part) -> tuple[int, ...]:
        """The kernels of one part, as indices into all distinct ones."""
        if part.spot not in self._kernels:
            found = []
            for kernel in cut(part.build(), self.model.runtime_, self.model.precision_):
                column = self._columns.setdefault(kernel.key, len(self._distinct))
                if column == len(self._distinct):
                    self._distinct.append(kernel)
                found.append(column)
            self._kernels[part.spot] = tuple(found)
        return self._kernels[part.spot]


def measured_costs(measure: Callable[[Network], float]) -> Callable[[Sequence[Network]], FloatArray]:
    """A measurement of one network as costs of several, one after another."""
    return lambda networks: np.array([measure(network) for network in networks], dtype=np.float64)
