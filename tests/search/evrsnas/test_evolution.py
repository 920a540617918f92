"""The search on a space small enough to know the answer: 4 layers x 4 operators, score and cost by formula."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from profiler.errors import ConfigError, StorageError
from search.evrsnas.evolution import Evaluator, EvolutionConfig, breed, evolve, penalty, pick_best
from search.evrsnas.records import Evaluation
from search.spaces.base import Architecture, SearchSpace


class ToySpace(SearchSpace):
    """Reversals are isomorphic."""

    name, n_edges, n_ops = "toy", 4, 4

    def assemble(self, arch, **macro):
        raise NotImplementedError

    def canonical(self, arch):
        return min(str(arch.choices), str(arch.choices[::-1]))

    def representative(self, arch):
        return min(arch, Architecture(self.name, arch.choices[::-1]))


SPACE = ToySpace()
QUICK = {"population": 10, "generations": 15, "tournament": 3}


def scores(archs):
    return np.array([sum(a.choices) + 0.01 * a.choices[1] * a.choices[2] for a in archs], dtype=float)


def costs(archs):
    return np.array([1.0 + sum(c * c for c in a.choices) for a in archs])


def run(budget_ms=20.0, seed=0, score_fn=scores, cost_fn=costs, **kwargs):
    config = EvolutionConfig(budget_ms, **{**QUICK, **kwargs.pop("config", {})})
    return evolve(SPACE, score_fn, cost_fn, config, np.random.default_rng(seed), **kwargs)


def exhaustive_best(budget_ms):
    everything = list(SPACE.all())
    allowed = costs(everything) <= budget_ms
    return scores(everything)[allowed].max()


@pytest.mark.parametrize("budget_ms", [5.0, 12.0, 20.0, 33.0])
def test_finds_the_constrained_optimum(budget_ms):
    # a penalty steep enough that no excess pays: then the penalised optimum is the constrained one
    result = run(budget_ms, config={"generations": 60, "penalty_weight": 20.0})
    assert result.feasible
    assert result.best.cost_ms <= budget_ms
    assert result.best.score == exhaustive_best(budget_ms)


def test_without_a_budget_finds_the_best_of_all():
    result = run(None, config={"generations": 60})
    assert result.feasible
    assert result.best.architecture.choices == (3, 3, 3, 3)


def test_the_same_seed_gives_the_same_search_and_another_seed_another():
    assert run(seed=1) == run(seed=1)
    assert run(seed=1).archive != run(seed=2).archive


def test_a_budget_nobody_can_meet_is_flagged_with_the_least_violating():
    result = run(0.5, config={"generations": 60, "penalty_weight": 20.0})
    assert not result.feasible
    assert result.best.architecture.choices == (0, 0, 0, 0)
    assert result.best.violation == pytest.approx(1.0)
    assert result.history[-1].best_feasible_score is None
    assert result.best.violation == min(e.violation for e in result.archive)


def test_isomorphic_architectures_are_scored_once_and_priced_each():
    scored, priced = [], []

    def score_fn(archs):
        scored.extend(archs)
        return scores(archs)

    def cost_fn(archs):
        priced.extend(archs)
        return costs(archs)

    result = run(score_fn=score_fn, cost_fn=cost_fn, config={"generations": 60, "mutation_rate": 0.3})
    assert len({SPACE.canonical(a) for a in scored}) == len(scored) == result.evaluations
    assert all(SPACE.representative(a) == a for a in scored)
    assert len(set(priced)) == len(priced) == len(result.archive)
    assert len(result.archive) > result.evaluations


def test_an_architecture_without_a_cost_is_no_candidate_and_is_not_scored():
    def cost_fn(archs):
        return np.array([math.nan if a.choices[0] == 3 else c for a, c in zip(archs, costs(archs), strict=True)])

    scored = []
    result = run(None, cost_fn=cost_fn, score_fn=lambda a: scored.extend(a) or scores(a))
    # a class is scored where a member has a cost: neither end of a representative is 3 unless the reversal's is not
    assert all(min(a.choices[0], a.choices[-1]) < 3 for a in scored)
    assert result.best.architecture.choices[0] != 3
    unpriced = [e for e in result.archive if e.architecture.choices[0] == 3]
    assert unpriced
    assert all(math.isnan(e.score) and e.fitness == -math.inf and not e.feasible for e in unpriced)


def test_costs_that_are_all_missing_are_a_config_error():
    with pytest.raises(ConfigError, match="toy has a cost"):
        run(cost_fn=lambda archs: np.full(len(archs), np.nan))


def test_scores_that_are_all_missing_are_a_config_error():
    with pytest.raises(ConfigError, match="could be scored"):
        run(score_fn=lambda archs: np.full(len(archs), np.nan))


def test_a_failed_score_is_not_a_score_of_zero():
    """All scores are negative: a zero in place of NaN would win."""

    def score_fn(archs):
        failed = [a.choices[1] == a.choices[2] for a in archs]
        return np.where(failed, np.nan, scores(archs) - 100)

    result = run(None, score_fn=score_fn)
    assert result.best.architecture.choices[1] != result.best.architecture.choices[2]
    assert result.best.score < 0


def test_a_refusal_coded_as_a_negative_cost_is_not_taken_for_a_cost():
    with pytest.raises(ConfigError, match="never negative"):
        run(cost_fn=lambda archs: np.full(len(archs), -1.0))


def test_functions_that_answer_for_another_number_are_caught():
    with pytest.raises(ConfigError, match="cost function returned shape"):
        run(cost_fn=lambda archs: costs(archs)[:-1])
    with pytest.raises(ConfigError, match="score function returned shape"):
        run(score_fn=lambda archs: scores(archs)[:-1])


def test_the_penalty_follows_its_formula():
    def of(cost_ms, **kwargs):
        return penalty(cost_ms, EvolutionConfig(4.0, **kwargs))

    assert of(4.0) == of(3.0) == 0.0
    assert of(6.0) == pytest.approx(0.5)
    assert of(6.0, penalty_weight=3.0) == pytest.approx(1.5)
    assert of(6.0, penalty_form="absolute") == pytest.approx(2.0)
    assert of(3.0, two_sided=True) == pytest.approx(0.25)
    assert of(3.0, two_sided=True, penalty_form="absolute") == pytest.approx(1.0)
    assert penalty(1e9, EvolutionConfig(None)) == 0.0


def test_fitness_is_score_minus_penalty_for_everything_seen():
    for e in run(12.0).archive:
        assert e.violation == pytest.approx(max(0.0, e.cost_ms - 12) / 12)
        assert e.fitness == pytest.approx(e.score - e.violation)


def test_generations_are_monotone_because_the_elite_stays():
    history = run(12.0, config={"generations": 30}).history
    assert [g.index for g in history] == list(range(31))
    fitness = [g.best_fitness for g in history]
    assert all(b >= a for a, b in pairwise(fitness))
    counts = [g.evaluations for g in history]
    assert counts == sorted(counts)


def population(n=6):
    return [Evaluation(SPACE.at(i), float(n - i), 1.0, 0.0, float(n - i)) for i in range(n)]


def test_breeding_keeps_the_elite_and_fills_up_with_children():
    config = EvolutionConfig(None, population=6, tournament=2, elite=2, mutation_rate=0.0)
    following = breed(SPACE, population(), config, np.random.default_rng(0))
    assert len(following) == 6
    assert following[:2] == [SPACE.at(0), SPACE.at(1)]
    # without mutation a child has no gene that neither parent has
    assert all(a.choices[:3] in {(0, 0, 0), (0, 0, 1)} for a in following)


def test_a_tournament_of_everybody_is_won_by_the_best():
    config = EvolutionConfig(None, population=6, tournament=6, elite=0, mutation_rate=0.0)
    assert set(breed(SPACE, population(), config, np.random.default_rng(0))) == {SPACE.at(0)}


def test_the_elite_is_not_mutated_and_others_are():
    config = EvolutionConfig(None, population=6, tournament=6, elite=1, mutation_rate=1.0)
    following = breed(SPACE, population(), config, np.random.default_rng(0))
    assert following[0] == SPACE.at(0)
    assert any(a != SPACE.at(0) for a in following[1:])


def test_the_answer_prefers_what_meets_the_budget_over_a_higher_fitness():
    inside = Evaluation(SPACE.at(1), 1.0, 4.0, 0.0, 1.0)
    outside = Evaluation(SPACE.at(2), 9.0, 5.0, 0.25, 8.75)
    lost = Evaluation(SPACE.at(3), math.nan, math.nan, math.inf, -math.inf)
    assert pick_best([outside, inside, lost]) is inside
    assert pick_best([outside, lost]) is outside
    with pytest.raises(ConfigError):
        pick_best([lost])


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget_ms": 0.0},
        {"budget_ms": math.nan},
        {"population": 1},
        {"generations": -1},
        {"tournament": 21},
        {"elite": 20},
        {"mutation_rate": 1.5},
        {"penalty_weight": -1.0},
        {"penalty_form": "cubic"},
    ],
)
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ConfigError):
        EvolutionConfig(**{"budget_ms": 1.0, **wrong})


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_killed_search_continues_to_the_same_end(tmp_path, after):
    path = tmp_path / "c.json"
    whole = run(12.0)

    def kill(generation):
        if generation.index == after:
            raise KilledError

    with pytest.raises(KilledError):
        run(12.0, checkpoint=path, observer=kill)
    seen = []
    resumed = run(12.0, checkpoint=path, observer=seen.append)
    assert resumed == whole
    assert [g.index for g in seen] == list(range(after + 1, 16))
    scored = []
    again = run(12.0, checkpoint=path, score_fn=lambda a: scored.extend(a) or scores(a))
    assert again == whole
    assert scored == []


def test_another_searchs_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.json"
    run(12.0, checkpoint=path, identity="table A")
    for other in ({"identity": "table B"}, {"seed": 3, "identity": "table A"}):
        with pytest.raises(ConfigError, match="another search"):
            run(12.0, checkpoint=path, **other)
    with pytest.raises(ConfigError, match="another search"):
        run(13.0, checkpoint=path, identity="table A")


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "c.json"
    run(12.0, checkpoint=path)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(StorageError, match=r"c\.json.*remove it"):
        run(12.0, checkpoint=path)
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(StorageError, match="schema 99"):
        run(12.0, checkpoint=path)


def test_where_few_architectures_have_costs_they_fill_the_population():
    allowed = {SPACE.at(0), SPACE.at(5), SPACE.at(77)}

    def cost_fn(archs):
        return np.array([1.0 if a in allowed else math.nan for a in archs])

    result = run(None, cost_fn=cost_fn, config={"generations": 2})
    assert result.best.architecture in allowed
    assert {e.architecture for e in result.archive if e.candidate} <= allowed


def test_the_evaluator_answers_in_the_order_asked_with_repeats():
    evaluate = Evaluator(SPACE, scores, costs, EvolutionConfig(10.0))
    asked = [SPACE.at(9), SPACE.at(3), SPACE.at(9)]
    assert [e.architecture for e in evaluate(asked)] == asked
    assert len(evaluate.archive) == 2
