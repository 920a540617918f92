"""Post-processing as a stage: h-swish and squeeze-and-excitation, kept only where they beat spending it on phi."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.costs import Pricing
from edgecost.stages.s3nas.demand import Budgets, Demand, Gauge, Measure
from edgecost.stages.s3nas.files import done, identity_of, network_facts, write_stage
from edgecost.stages.s3nas.train import TrainOptions, run_training, schedule_of
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.s3nas.post.options import Option
    from search.s3nas.postprocess import Decision, TrainedNetwork
    from search.spaces.network import Network

__all__ = ["FINAL", "TRAININGS", "PostOptions", "check_prices", "post_process_file", "post_process_network"]

FINAL = "final.yaml"
SCALED_BLOCKS = 60
"""So many blocks of scaled and post-processed networks are enough to learn the cost of others from."""
TRAININGS = "trainings"
"""The folder in which every option's trainings lie."""


@dataclass(frozen=True, slots=True)
class PostOptions:
    """What is tried and how.

    Attributes:
        budgets: on which targets, how much.
        pricing: where costs come from.
        training: how every option is trained; its seed is the first of them.
        seeds: how many trainings an option has.
        removed: shares of blocks that lose squeeze-and-excitation: 1 none has it, 0 all have it.
        divisor: filters are multiples of it; None: half the greatest common divisor of the network's widths.
        resolution_step: resolutions are multiples of it.
    """

    budgets: Budgets
    pricing: Pricing
    training: TrainOptions
    seeds: int = 1
    removed: tuple[float, ...] = (1.0, 0.5, 0.0)
    divisor: int | None = None
    resolution_step: int = 4


def post_process_file(
    path: Path,
    options: PostOptions,
    out: Path | None = None,
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Post-process the network of a file; writes OUT/final.yaml and OUT/postprocess.json.

    Raises:
        ConfigError: where the file is no network, an option has no cost, or its folder would be overwritten.
    """
    from search.spaces.network import read_network

    folder = out or path.parent
    if folder.resolve() / FINAL == path.resolve():
        raise ConfigError(f"{path} is the file that post-processing writes; name another folder with --out")
    return post_process_network(read_network(path), options, folder, measure, progress)


def post_process_network(
    network: Network,
    options: PostOptions,
    folder: Path,
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fill the budget with every option, train all alike, keep one. Interrupted, it goes on where it was.

    Args:
        network: what the search found; options replace its own activation and squeeze-and-excitation.
        options: what is tried and how.
        folder: where final.yaml, postprocess.json and the trainings go.
        measure: measures networks; None: predictions decide what fills the budget.
        progress: is told what is being done.

    Raises:
        ConfigError: where an option cannot be tried.
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from search.s3nas.post.options import all_options
    from search.s3nas.postprocess import Filling, Outcomes, Trainings, post_process, task_gates
    from search.s3nas.scaling import Scaling
    from search.spaces.network import write_network

    if options.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {options.seeds}")
    demand = Demand.of(network, options.pricing, options.budgets)
    task, schedule = options.training.task(), schedule_of(options.training)
    scaling = Scaling(divisor=options.divisor, resolution_step=options.resolution_step)
    tried = all_options(options.removed)
    seeds = tuple(options.training.seed + i for i in range(options.seeds))
    identity = identity_of(
        "postprocess", network.to_dict(), demand.identity, asdict(scaling), [o.name for o in tried], task.digest,
        schedule.to_dict(), seeds, measure is not None,
    )  # fmt: skip
    found = done("postprocess", folder, identity)
    if found is not None and (folder / FINAL).exists():
        return found
    started = time.perf_counter()
    check_prices(network, demand, tried, options.pricing)
    gauge = Gauge(demand, measure) if measure is not None else None

    def train(candidate: Network, seed: int) -> TrainedNetwork:
        where = folder / TRAININGS / identity_of("training", candidate.to_dict(), schedule.to_dict(), task.digest, seed)
        return run_training(candidate, task, schedule, options.training, seed, where)

    trainings = Trainings(
        train,
        schedule=identity_of("schedule", task.digest, schedule.to_dict()),
        seeds=seeds,
        score=task_gates(task),
        outcomes=Outcomes(folder / TRAININGS),
        n_test=len(task.test),
        progress=progress.message if progress else lambda text: None,
    )
    filling = Filling(demand.costs, demand.budget, scaling, gauge, unit=demand.unit)
    decision = post_process(network, filling, trainings, tried)
    kept = decision.kept.trial
    write_network(kept.filled.network, folder / FINAL)
    answer = {
        "from": network_facts(network),
        **decision.to_dict(),
        "phi": kept.filled.phi,
        "accuracy": kept.mean,
        "targets": demand.rows(kept.filled.network, gauge),
        "option_costs": _option_costs(network, demand, gauge),
        "schedule": schedule.name,
        "data": task.name,
        "note": task.note,
        "seconds": round(time.perf_counter() - started, 2),
        **network_facts(kept.filled.network),
        "final": str(folder / FINAL),
        "sentence": _sentence(decision),
    }
    return write_stage("postprocess", folder, identity, answer)


def check_prices(network: Network, demand: Demand, options: Sequence[Option], pricing: Pricing) -> None:
    """Say at once which option nobody can price.

    Raises:
        ConfigError: naming the options, the target and the command.
    """
    import numpy as np

    asked = [option for option in options if not option.pruned]
    for priced in demand.pricings:
        costs = priced.cost_of([option.applied(network) for option in asked])
        unknown = [option.name for option, cost in zip(asked, costs, strict=True) if np.isnan(cost)]
        if unknown:
            raise ConfigError(
                f"the cost of {', '.join(map(repr, unknown))} on {priced.target} is not known: no measured block has "
                f"such operators; measure some with {pricing.command(priced.target, SCALED_BLOCKS)}"
            )


def _option_costs(network: Network, demand: Demand, gauge: Gauge | None) -> list[dict[str, Any]]:
    """What h-swish and squeeze-and-excitation cost where nothing else is changed, on every target."""
    from search.s3nas.costs.models import measured_costs
    from search.s3nas.post.options import option_costs

    found = []
    for pricing in demand.pricings:
        predicted = option_costs(network, pricing.cost_of)
        measured = predicted
        if gauge is not None:
            measured = option_costs(network, measured_costs(partial(gauge.cost, pricing.target)))
        for row, seen in zip(predicted, measured, strict=True):
            costs = {"predicted": _known(row.cost), "predicted_extra": _known(row.extra)}
            if gauge is not None:
                costs |= {"measured": seen.cost, "measured_extra": seen.extra}
            what = {"target": pricing.target, "option": row.option.name, "unit": demand.budgets.unit}
            found.append({**what, **costs, "params": row.params, "macs": row.macs})
    return found


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sentence(decision: Decision) -> str:
    each = ", ".join(
        f"{row.trial.option.name} {100 * row.trial.mean:.1f} % at phi {row.trial.filled.phi:.2f}"
        for row in decision.rows
    )
    kept = decision.kept
    return f"{kept.trial.option.name!r} is {kept.why}; at one budget: {each}"
