"""S3NAS in the quick start: the smallest supernet on one board, from measured blocks to a trained, measured network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.planning import PlanOptions, measure_config
from edgecost.stages.profiling import profile_targets
from edgecost.stages.s3nas.costs import Pricing, supernet_costs
from edgecost.stages.s3nas.demand import Budgets, measure_on
from edgecost.stages.s3nas.scale import ScaleOptions, scale_network
from edgecost.stages.s3nas.search import SearchOptions, run_folder, search_supernet
from edgecost.stages.s3nas.train import TrainOptions, train_final
from edgecost.stages.s3nas.verify import verify_stage
from edgecost.stages.spaces import mixconv_of

if TYPE_CHECKING:
    from profiler.fleet.targets import Device, Target
    from profiler.measure.progress import Progress

__all__ = ["SmallS3nas", "run_small_s3nas"]

SUPERNET = "tiny"
EFFORT = "quick"
QUANTILE = 0.5
"""The search's budget: a cost that so large a share of the supernet's random architectures stays below."""
SHARE = 0.5
"""Of the final budget that the search is given."""
SAMPLE = 500
RUNS = "blocks"
"""The folder of the measurements: apart, so that the other space's predictor is fitted to its own networks alone."""


@dataclass(frozen=True, slots=True)
class SmallS3nas:
    """What to run.

    Attributes:
        out: folder of all results.
        data: CIFAR-10 images, or None for the bundled digits.
        seed: of everything random.
        small: fewer measurements and steps.
    """

    out: Path
    data: Path | None = None
    seed: int = 0
    small: bool = False

    @property
    def plan(self) -> PlanOptions:
        """The blocks to measure, also some of scaled networks, and whole networks to fit and to check sums by."""
        fit, held_out = (3, 3) if self.small else (5, 5)
        return PlanOptions("mixconv", (), fit, held_out, self.seed, SUPERNET, True, scaled=10 if self.small else 30)

    @property
    def rounds(self) -> int:
        """Of every measurement of a block, in fresh processes."""
        return 1 if self.small else 2

    @property
    def steps(self) -> tuple[int, int]:
        """Of the two phases of the search."""
        return (40, 40) if self.small else (120, 100)

    @property
    def training(self) -> TrainOptions:
        """Of the final network."""
        data = "digits" if self.data is None else str(self.data)
        return TrainOptions(data, steps=30 if self.small else 120, seed=self.seed)


def run_small_s3nas(
    options: SmallS3nas,
    device: Device,
    target: Target,
    progress: Progress,
    timed: Callable[[str, Callable[[], Any]], Any] = lambda name, stage: stage(),
) -> dict[str, Any]:
    """Profile blocks, search, scale by measurements, train, verify; each stage is resumed from its files.

    Args:
        options: sizes.
        device, target: where.
        progress: is told what happens.
        timed: runs a stage of a name and keeps its time.

    Raises:
        EdgeCostError: where a stage cannot be completed.
    """
    out, measured = options.out, options.out / RUNS
    config = measure_config(EFFORT, rounds=options.rounds, seed=options.seed)
    (blocks,) = timed(
        "profile blocks",
        lambda: profile_targets([(device, target)], options.plan, config, measured, "quick-blocks", progress),
    )
    progress.message(blocks.sentence())
    pricing, training = Pricing(measured, supernet=SUPERNET), options.training
    low = _middle(pricing, target.id, options)
    search = SearchOptions(Budgets((target.id,), (low,)), pricing, SUPERNET, training, steps=options.steps)
    final = Budgets((target.id,), (float(f"{low / SHARE:.3g}"),))
    folder = run_folder(out, search, final)
    found = timed("search s3nas", lambda: search_supernet(search, folder, progress))
    measure = measure_on((device,), EFFORT, measured, progress)
    scaled = timed("scale", lambda: _scale(folder, ScaleOptions(final, pricing), measure))
    trained = timed("train s3nas", lambda: _train(folder, training, target, measure, progress))
    verified = timed(
        "verify s3nas", lambda: verify_stage(folder / "scaling.json", (device,), EFFORT, measured, progress)
    )
    return {
        "run": str(folder),
        "blocks": blocks.to_dict(),
        "search": {k: found[k] for k in ("targets", "feasible", "steps", "seconds", "label", "costs", "sentence")},
        "scaled": {k: scaled[k] for k in ("phi", "targets", "params", "macs", "label", "sentence")},
        "verified": {k: verified[k] for k in ("targets", "within_budget", "sentence")},
        "trained": {k: trained[k] for k in ("accuracy", "steps", "exports", "targets", "note", "sentence")},
        "lines": _lines(found, scaled, verified, trained),
    }


def _middle(pricing: Pricing, target: str, options: SmallS3nas) -> float:
    """The search's budget in ms, to three digits."""
    import numpy as np

    space = mixconv_of(SUPERNET)
    costs, _ = supernet_costs(space, pricing, target)
    rng = np.random.default_rng([options.seed, 11])
    return float(f"{np.quantile(costs.costs([space.sample(rng) for _ in range(SAMPLE)]), QUANTILE):.3g}")


def _scale(folder: Path, options: ScaleOptions, measure: Any) -> dict[str, Any]:
    from search.spaces.network import read_network

    return scale_network(read_network(folder / "network.yaml"), options, folder, measure)


def _train(folder: Path, training: TrainOptions, target: Target, measure: Any, progress: Progress) -> dict[str, Any]:
    from search.spaces.network import read_network

    network = read_network(folder / "scaled.yaml")
    return train_final(network, training, folder / "final", [target], measure, progress)


def _lines(
    found: dict[str, Any], scaled: dict[str, Any], verified: dict[str, Any], trained: dict[str, Any]
) -> list[str]:
    (costs,) = found["costs"].values()
    held = costs.get("held_out")
    table = (
        f" (sums of blocks against {held['n']} held-out networks: MAPE {100 * held['mape']:.1f} %)"
        if held and held["mape"] is not None
        else ""
    )
    return [
        f"S3NAS on the supernet {SUPERNET}{table}: {found['sentence']}",
        f"scaled to twice that budget: {scaled['sentence']}",
        f"measured again: {verified['sentence']}",
        f"trained: {trained['sentence']} (a short training of a small network: it shows that all stages work)",
    ]
