"""Costs of a whole space on a target of our own, by the predictor fitted on its table.

The predictor adds kernels up, so those of every network are counted once for a runtime, a precision and a cut, and kept
on disk; pricing them on a target then takes about a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from predictors.base import CostModel
    from predictors.energy import EnergyModel
    from predictors.population import Population
    from profiler.measure.progress import Progress
    from profiler.workloads.cuts import Cut
    from profiler.workloads.graph import Workload
    from search.spaces.nasbench201 import NasBench201

__all__ = ["space_costs"]


def space_costs(
    model: CostModel | EnergyModel, space: NasBench201, progress: Progress | None = None
) -> NDArray[np.float64]:
    """(n,) costs of a space in the unit of the model, as `predict` gives them; NaN where it has none above zero.

    Args:
        model: fitted, and one that goes by kernels.
        space: all n of it.
        progress: is told where kernels have to be counted first, which takes a minute or, by the runtime's own graph,
            several.

    Raises:
        ArtefactError: the runtime's own graph cannot be read.
        StorageError: the counts cannot be kept.
    """
    import numpy as np

    first, *others = (_counted(model, space, how, progress) for how in model.cuts)
    for other in others:
        first = first.beside(other)
    values = model.price(first)
    values[~(values > 0)] = np.nan  # a prediction that is none: not known, and no candidate
    return values


def _counted(model: CostModel | EnergyModel, space: NasBench201, how: Cut, progress: Progress | None) -> Population:
    from edgecost.stages.places import kernel_counts
    from predictors.population import count_matrix

    def networks() -> Iterator[Workload | int]:
        if progress:
            rules = f"{model.runtime_} {model.precision_}"
            progress.message(f"the {how} kernels of {space.size} networks under {rules} are counted, once")
        return _networks(space)

    alike = [space.architecture((op,) * space.n_edges) for op in range(space.n_ops)]
    space_id = " ".join([space.name, *(space.workload(arch).key for arch in alike)])
    return count_matrix(networks, model.runtime_, model.precision_, how, cache=kernel_counts(), space_id=space_id)


def _networks(space: NasBench201) -> Iterator[Workload | int]:
    """All networks in order; in place of one that runs as an earlier one does, the place of that."""
    first: dict[Workload, int] = {}
    for place, arch in enumerate(space.all()):
        same = first.setdefault(space.lean_cell(arch), place)
        yield same if same < place else space.workload(arch)
