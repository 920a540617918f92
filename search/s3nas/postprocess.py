"""Post-processing of a found network: every option fills the same budget, is trained alike, and one is kept.

    filling = Filling(cost_of, budget)
    trainings = Trainings(train, schedule="...", score=task_gates(task), outcomes=Outcomes(folder))
    decision = post_process(network, filling, trainings)
    decision.kept.trial.filled.network

What was trained or measured before is not done again: interrupted, it goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.weights import Weights
from search.s3nas.budget import CostOf, correct_phi, solve_budget
from search.s3nas.post.gates import gate_variability, lowest, task_gates
from search.s3nas.post.keeprule import Decision, OptionRow, Trial, decide
from search.s3nas.post.options import OPTIONS, Option, OptionCost, all_options, option_costs
from search.s3nas.post.outcomes import Filled, Outcome, Outcomes
from search.s3nas.post.transforms import remove_se, with_activation, with_se
from search.s3nas.scaling import PHI_HIGH, PHI_LOW, Scaling, origins
from search.spaces.network import Network

__all__ = [
    "OPTIONS",
    "Decision",
    "Filled",
    "Filling",
    "Option",
    "OptionCost",
    "OptionRow",
    "Outcome",
    "Outcomes",
    "TrainedNetwork",
    "Trainings",
    "Trial",
    "all_options",
    "decide",
    "gate_variability",
    "lowest",
    "option_costs",
    "post_process",
    "remove_se",
    "task_gates",
    "with_activation",
    "with_se",
]


class TrainedNetwork(Protocol):
    """What a training gives, such as `search.s3nas.trained.Trained`."""

    @property
    def accuracy(self) -> float:
        """The share of test images classified correctly."""

    @property
    def weights(self) -> Weights:
        """Of `network_workload(network)`."""


@dataclass(frozen=True)
class Filling:
    """How a network is scaled so as to fill the budget.

    Attributes:
        cost_of: prices networks.
        budget: in the unit of the costs.
        scaling, low, high, unit: as of `solve_budget`.
        measure: final network -> measured cost; phi is then corrected by measurements. None: predictions decide.
        tolerance, rounds: of the correction.
    """

    cost_of: CostOf
    budget: float
    scaling: Scaling = field(default_factory=Scaling)
    measure: Callable[[Network], float] | None = None
    tolerance: float = 0.03
    rounds: int = 3
    low: float = PHI_LOW
    high: float = PHI_HIGH
    unit: str = "ms"

    def fill(self, network: Network, outcomes: Outcomes) -> Filled:
        """The largest scaled network that fits; measured ones are kept, since measuring again would give another.

        Raises:
            ConfigError: as `solve_budget`; where no measured network fits.
        """
        found = solve_budget(network, self.cost_of, self.budget, self.scaling, None, self.low, self.high, self.unit)
        if self.measure is None:
            return Filled(found.phi, found.final, found.cost)
        how = [asdict(self.scaling), self.budget, self.unit, self.tolerance, self.rounds, self.low, self.high]
        identity = json.dumps([network.to_dict(), how, found.phi, found.cost])
        kept = outcomes.filling(identity)
        if kept is not None:
            return kept
        corrected = correct_phi(
            network, self.cost_of, self.measure, self.budget, self.scaling, tolerance=self.tolerance,
            rounds=self.rounds, low=self.low, high=self.high, unit=self.unit,
        )  # fmt: skip
        best = corrected.best
        if not corrected.fits:
            raise ConfigError(
                f"no network was measured to fit {self.budget:g} {self.unit} in {len(corrected.rounds)} rounds: the "
                f"cheapest, of phi {best.scaled.phi:.3g}, was predicted at {best.scaled.cost:.4g} and measured at "
                f"{best.measured:.4g} {self.unit}; calibrate the costs by whole networks, or allow more rounds"
            )
        filled = Filled(best.scaled.phi, best.scaled.final, best.scaled.cost, best.measured)
        outcomes.keep_filling(identity, filled)
        return filled


@dataclass(frozen=True)
class Trainings:
    """How options are trained, all alike.

    Attributes:
        train: (network, seed) -> trained.
        schedule: text that stands for task and schedule, all that the accuracy depends on but network and seed.
        seeds: each option is trained once with each.
        score: (network, weights) -> scores of the gates (n_blocks,), such as `task_gates`; pruned options need it.
        outcomes: what is kept; by default in memory only.
        n_test: test images, for the standard error where there is one seed.
        progress: told in words what is about to be done.
    """

    train: Callable[[Network, int], TrainedNetwork]
    schedule: str
    seeds: tuple[int, ...] = (0,)
    score: Callable[[Network, Weights], NDArray[np.float64]] | None = None
    outcomes: Outcomes = field(default_factory=lambda: Outcomes(None))
    n_test: int = 0
    progress: Callable[[str], None] = lambda text: None

    def outcome(self, network: Network, seed: int, judged: bool) -> Outcome:
        """One training, kept or new; with the scores of its gates where these are asked for."""
        kept = self.outcomes.training(network, self.schedule, seed)
        if kept is not None and (kept.gates is not None or not judged):
            return kept
        trained = self.train(network, seed)
        gates = self.score(network, trained.weights) if judged and self.score else None
        found = Outcome(float(trained.accuracy), gates)
        self.outcomes.keep_training(network, self.schedule, seed, found)
        return found


def post_process(
    network: Network, filling: Filling, trainings: Trainings, options: Sequence[Option] = OPTIONS
) -> Decision:
    """Fill the budget with every option, train all alike, and keep one (see `keeprule`).

    All options that need no scores are filled before anything is trained, so that a budget or a cost that is missing
    shows at once. Pruned options go by the gates of the option with all squeeze-and-excitation and the same activation,
    over all seeds; a block counts by the mean over its repeats.

    Args:
        network: what the search found; its own activation and squeeze-and-excitation are replaced by the options'.
        filling: the budget, and how it is filled.
        trainings: how options are trained.
        options: one at least.

    Raises:
        ConfigError: where options cannot be tried; see `Filling.fill`.
    """
    _check(options, trainings)
    whole = [option for option in options if not option.pruned]
    filled = {option: filling.fill(option.applied(network), trainings.outcomes) for option in whole}
    judged = {option.activation for option in options if option.pruned}
    trials: list[Trial] = []
    scores: dict[str, NDArray[np.float64]] = {}
    for option in [*whole, *(option for option in options if option.pruned)]:
        if option.pruned:
            filled[option] = filling.fill(option.applied(network, scores[option.activation]), trainings.outcomes)
        asked = option.removed == 0.0 and option.activation in judged
        outcomes = [_outcome(trainings, option, filled[option], seed, asked) for seed in trainings.seeds]
        if asked:
            mean = np.mean([outcome.gates for outcome in outcomes if outcome.gates is not None], axis=0)
            scores[option.activation] = _of_originals(network, filled[option].phi, filling.scaling, mean)
        trials.append(Trial(option, filled[option], tuple(outcome.accuracy for outcome in outcomes), trainings.n_test))
    return decide(trials, filling.budget, filling.unit)


def _outcome(trainings: Trainings, option: Option, filled: Filled, seed: int, judged: bool) -> Outcome:
    trainings.progress(f"{option.name} at phi {filled.phi:.3f}, seed {seed}")
    return trainings.outcome(filled.network, seed, judged)


def _of_originals(network: Network, phi: float, scaling: Scaling, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of a scaled network's blocks (n_scaled,) as those of the blocks they repeat (n_blocks,), NaN where a block
    was scaled away."""
    original = np.array(origins(network, phi, scaling))
    n = sum(len(stage.blocks) for stage in network.stages)
    found = np.full(n, np.nan)
    for block in np.unique(original):
        found[block] = scores[original == block].mean()
    return found


def _check(options: Sequence[Option], trainings: Trainings) -> None:
    if not options or len(set(options)) < len(options):
        raise ConfigError("post-processing needs one option at least, and each only once")
    if not trainings.seeds or len(set(trainings.seeds)) < len(trainings.seeds):
        raise ConfigError("every option is trained with one seed at least, and with each only once")
    for option in options:
        if option.pruned and (trainings.score is None or Option(option.activation, 0.0) not in options):
            raise ConfigError(
                f"{option.name!r} goes by the gates of {Option(option.activation, 0.0).name!r}: try that option too, "
                f"and say on which images its gates are judged"
            )
