"""Post-processing: every option fills the same budget and is trained once, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.weights import Weights
from search.s3nas.costs.models import measured_costs
from search.s3nas.post.transforms import se_blocks
from search.s3nas.postprocess import OPTIONS, Decision, Filling, Option, Outcomes, Trainings, all_options, post_process
from search.s3nas.scaling import origins, plateaus
from search.spaces.network import Block, Network, Stage, network_workload
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 32, 4, Stem(8, 3, 1),
    (Stage(8, 2, (Block(((3, 2),)), Block(((5, 4),)))), Stage(16, 2, (Block(((5, 2),)), Block(((3, 2),))))), Head(32),
)  # fmt: skip
BUDGET = 4.0


def cost(network: Network) -> float:
    """h-swish costs a tenth, a gate 0.2."""
    macs = network_workload(network).macs / 1e6
    return macs * (1.1 if network.activation == "hswish" else 1.0) + 0.2 * len(se_blocks(network))


@dataclass(frozen=True)
class Done:
    accuracy: float
    weights: Weights


class Trainer:
    """Accuracies that are made up: larger networks are better, h-swish is worth 0.1, a gate nothing."""

    def __init__(self, fail_after: int = 1000) -> None:
        self.calls: list[tuple[Network, int]] = []
        self.fail_after = fail_after

    def __call__(self, network: Network, seed: int) -> Done:
        if len(self.calls) == self.fail_after:
            raise KeyboardInterrupt
        self.calls.append((network, seed))
        gain = 0.1 * (network.activation == "hswish")
        return Done(0.5 + gain + 0.01 * network_workload(network).macs / 1e6 + 0.001 * seed, {})


SCORES = {(0, 3): 0.4, (0, 5): 0.1, (1, 5): 0.3, (1, 3): 0.2}
"""Of the four blocks, by stage and kernel: the second and the last vary least."""


def score(network: Network, weights: Weights) -> NDArray[np.float64]:
    return np.array([
        SCORES[stage, block.kernels[0][0]] if block.se else np.nan
        for stage, found in enumerate(network.stages) for block in found.blocks
    ])  # fmt: skip


def run(
    trainer: Trainer,
    outcomes: Outcomes | None = None,
    options: tuple[Option, ...] = OPTIONS,
    measure: Callable[[Network], float] | None = None,
    budget: float = BUDGET,
) -> Decision:
    filling = Filling(measured_costs(cost), budget, measure=measure, tolerance=0.01)
    trainings = Trainings(trainer, "made up", (0, 1), score, outcomes or Outcomes(None))
    return post_process(NETWORK, filling, trainings, options)


def test_every_option_fills_the_same_budget() -> None:
    decision = run(Trainer())
    assert [row.trial.option for row in decision.rows] == list(OPTIONS)
    for row in decision.rows:
        filled, option = row.trial.filled, row.trial.option
        assert filled.predicted == cost(filled.network) <= BUDGET
        larger = [p for p in plateaus(option.applied(NETWORK, np.array([4, 1, 3, 2]))) if p.low >= filled.phi - 1e-9]
        assert all(cost(p.network) > BUDGET for p in larger)
        assert filled.network.activation == option.activation
    phis = {row.trial.option.name: row.trial.filled.phi for row in decision.rows}
    assert phis["plain"] > phis["hswish"] > phis["se + hswish"]
    assert phis["plain"] > phis["se -50%"] >= phis["se"]


def test_h_swish_is_kept_and_gates_do_not_pay() -> None:
    decision = run(Trainer())
    assert decision.kept.trial.option.name == "hswish"
    assert decision.kept.trial.accuracies[1] == pytest.approx(decision.kept.trial.accuracies[0] + 0.001)


def test_where_a_gate_costs_nothing_it_may_be_kept() -> None:
    """The same trainer and costs, but a gate is worth 0.05: the rule answers the figures and not the names."""

    class Fond(Trainer):
        def __call__(self, network: Network, seed: int) -> Done:
            done = super().__call__(network, seed)
            return replace(done, accuracy=done.accuracy + 0.05 * len(se_blocks(network)))

    assert run(Fond()).kept.trial.option.name == "se + hswish"


def test_the_blocks_of_the_lowest_scores_lose_their_gates_with_their_repeats() -> None:
    found = {row.trial.option.name: row.trial.filled for row in run(Trainer(), budget=8.0).rows}
    pruned = found["se -50%"]
    of = origins(NETWORK, pruned.phi)
    assert origins(NETWORK, found["se"].phi) == of == (0, 1, 1, 2, 2, 3)
    assert {of[block] for block in se_blocks(pruned.network)} == {0, 2}
    assert set(of) - {of[block] for block in se_blocks(pruned.network)} == {1, 3}


def test_an_interrupted_run_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    whole = Trainer()
    expected = run(whole).to_dict()
    assert len(whole.calls) == len(set(whole.calls)) == 12
    first, second, third = Trainer(fail_after=7), Trainer(), Trainer()
    with pytest.raises(KeyboardInterrupt):
        run(first, Outcomes(tmp_path))
    assert run(second, Outcomes(tmp_path)).to_dict() == expected
    assert first.calls + second.calls == whole.calls
    assert run(third, Outcomes(tmp_path)).to_dict() == expected
    assert third.calls == []


def test_trainings_without_scores_are_done_again_where_scores_are_asked_for(tmp_path: Path) -> None:
    run(Trainer(), Outcomes(tmp_path), all_options((1.0, 0.0)))
    again = Trainer()
    run(again, Outcomes(tmp_path), all_options())
    names = [(network.activation, len(se_blocks(network)) > 0) for network, _ in again.calls]
    assert names == [("relu", True)] * 2 + [("hswish", True)] * 2 + [("relu", True)] * 2 + [("hswish", True)] * 2


def test_measurements_correct_phi_and_are_not_repeated(tmp_path: Path) -> None:
    measured: list[Network] = []

    def measure(network: Network) -> float:
        measured.append(network)
        return 1.3 * cost(network)

    options = all_options((1.0, 0.0))
    decision = run(Trainer(), Outcomes(tmp_path), options, measure)
    for row in decision.rows:
        filled = row.trial.filled
        assert filled.measured is not None
        assert filled.measured == pytest.approx(1.3 * filled.predicted)
        assert 0.5 * BUDGET < filled.measured <= BUDGET
    assert len(measured) > len(options)
    n = len(measured)
    assert run(Trainer(), Outcomes(tmp_path), options, measure).to_dict() == decision.to_dict()
    assert len(measured) == n


def test_a_budget_that_no_measured_network_meets_is_an_error_before_anything_is_trained() -> None:
    trainer = Trainer()
    answers = iter([5.0, 4.9, 4.8])
    with pytest.raises(ConfigError, match=r"measured to fit 4 ms in \d rounds: .* measured at 4.8"):
        run(trainer, measure=lambda network: next(answers))
    assert trainer.calls == []


def test_what_cannot_be_tried_is_refused() -> None:
    filling = Filling(measured_costs(cost), BUDGET)
    with pytest.raises(ConfigError, match="'se -50%' goes by the gates of 'se'"):
        post_process(NETWORK, filling, Trainings(Trainer(), "s", score=score), (Option(), Option(removed=0.5)))
    with pytest.raises(ConfigError, match="goes by the gates"):
        post_process(NETWORK, filling, Trainings(Trainer(), "s"), OPTIONS)
    with pytest.raises(ConfigError, match="one option at least"):
        post_process(NETWORK, filling, Trainings(Trainer(), "s"), ())
    with pytest.raises(ConfigError, match="one seed at least"):
        post_process(NETWORK, filling, Trainings(Trainer(), "s", ()), (Option(),))


def test_progress_is_told() -> None:
    told: list[str] = []
    filling = Filling(measured_costs(cost), BUDGET)
    post_process(NETWORK, filling, Trainings(Trainer(), "s", (3,), progress=told.append), (Option(),))
    assert told[0].startswith("plain at phi ")
    assert told[0].endswith(", seed 3")
