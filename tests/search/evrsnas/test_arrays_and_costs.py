"""A space as arrays; costs by position, unknown and refused ones; constraints joined; what is refused."""

import numpy as np
import pandas as pd
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench_networks import NetworkTable, read_networks
from search.evrsnas.arrays import arrays_of
from search.evrsnas.costs import SpaceCosts, costs_by_function, costs_of_table, jointly
from search.evrsnas.evolution import Evaluator, EvolutionConfig
from search.evrsnas.judging import macs_and_params
from search.evrsnas.records import Evaluation
from search.spaces import find_space

SPACE = find_space("nasbench201")


@pytest.fixture(scope="module")
def arrays():
    return arrays_of(SPACE)


def test_positions_are_those_of_all_and_classes_those_of_canonical(arrays):
    picked = [0, 1, 777, 15_624]
    assert arrays.positions([SPACE.at(i) for i in picked]).tolist() == picked
    assert arrays.classes.max() + 1 == 6_466
    for i in picked:
        assert SPACE.at(int(arrays.representatives[i])) == SPACE.representative(SPACE.at(i))
        assert arrays.connected[i] == SPACE.connected(SPACE.at(i))


def test_classes_are_those_of_the_benchmark(arrays, data_dir):
    table = pd.read_parquet(data_dir / "nasbench201_accuracy.parquet", columns=["arch_str", "canonical_str"])
    ours = arrays.classes[arrays.positions([SPACE.parse(text) for text in table["arch_str"]])]
    pairs = set(zip(ours.tolist(), table["canonical_str"], strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 6_466


def test_a_class_has_one_score_and_disconnected_networks_none(arrays):
    counts = np.bincount(arrays.classes)
    picked = next(i for i in range(len(arrays)) if counts[arrays.classes[i]] > 1 and arrays.connected[i])
    scores = arrays.scores({SPACE.at(picked): 2.5})
    assert (np.flatnonzero(np.isfinite(scores)) == np.flatnonzero(arrays.classes == arrays.classes[picked])).all()
    assert np.isnan(arrays.scores(np.ones(len(arrays)))[~arrays.connected]).all()
    with pytest.raises(ConfigError, match="15625 architectures"):
        arrays.scores([1.0, 2.0])
    with pytest.raises(ConfigError, match="not all NaN"):
        arrays.scores({})


def test_macs_and_parameters_are_those_of_the_workloads(arrays):
    macs, params = macs_and_params(arrays)
    for i in (3, 5_000, 12_345, 15_624):
        workload = SPACE.workload(SPACE.at(i))
        assert (macs[i], params[i]) == (workload.macs, workload.params)


def table(values, refused=None):
    names = tuple(SPACE.describe(SPACE.at(i)) for i in range(len(values)))
    return NetworkTable(names, "cifar10", {("fpga", "latency"): np.array(values)}, refused or {}, "t.parquet")


def test_unknown_is_no_candidate_and_refused_is_infeasible(arrays):
    refused = np.array([False, False, True])
    costs = costs_of_table(SPACE, table([4.0, np.nan, np.nan], {"fpga": refused}), "fpga")
    assert costs([SPACE.at(2), SPACE.at(0)]).tolist() == [np.inf, 4.0]
    assert costs.known.sum() == costs.refused.sum() == 1
    evaluate = Evaluator(SPACE, lambda archs: np.ones(len(archs)), costs, EvolutionConfig(9.0))
    known, unknown, out = evaluate([SPACE.at(i) for i in range(3)])
    assert known.feasible
    assert not unknown.candidate
    assert not unknown.refused
    assert out.refused
    assert not out.candidate
    assert not out.feasible
    assert evaluate.evaluations == 1
    again = Evaluation.from_dict(out.to_dict())
    assert again.refused
    assert not Evaluation.from_dict(unknown.to_dict()).refused


def test_a_budget_below_the_cheapest_network_is_one_sentence(arrays):
    costs = SpaceCosts(arrays, "fpga", "ms", np.linspace(3.0, 9.0, len(arrays)))
    costs.check_budget(9.0)
    with pytest.raises(ConfigError, match=r"below the cheapest network of nasbench201 on fpga, 3\.\d+ ms: raise it"):
        costs.check_budget(2.0)


def test_a_table_of_another_space_is_refused():
    other = NetworkTable(("[0, 1]",), "cifar10", {("fpga", "latency"): np.array([1.0])}, {}, "t.parquet")
    with pytest.raises(ConfigError, match="of another space than nasbench201"):
        costs_of_table(SPACE, other, "fpga")


def test_costs_of_zero_or_none_at_all_are_refused(arrays):
    values = np.ones(len(arrays))
    values[7] = 0.0
    with pytest.raises(ConfigError, match="above zero"):
        SpaceCosts(arrays, "d", "ms", values)
    with pytest.raises(ConfigError, match="no cost of any"):
        SpaceCosts(arrays, "d", "ms", np.full(len(arrays), np.nan))


def test_latency_and_energy_together_are_the_one_that_binds(arrays):
    latency, energy = np.full(len(arrays), 4.0), np.full(len(arrays), 10.0)
    latency[1], energy[2], energy[3] = np.inf, np.nan, 30.0
    both = jointly([(SpaceCosts(arrays, "a", "ms", latency), 5.0), (SpaceCosts(arrays, "a", "mJ", energy), 20.0)])
    assert both.values[:4] == pytest.approx([0.8, np.inf, np.nan, 1.5], nan_ok=True)
    with pytest.raises(ConfigError, match="one space"):
        jointly([])


def test_any_function_prices_the_space(arrays):
    costs = costs_by_function(SPACE, lambda archs: np.array([1.0 + sum(a.choices) for a in archs]), "mine")
    assert costs([SPACE.at(6)]).tolist() == [3.0]


def test_real_tables_cover_the_space(data_dir, arrays):
    costs = costs_of_table(SPACE, read_networks(data_dir), "edgetpu")
    assert (costs.known.sum(), costs.refused.sum()) == (8_787, 3_768)
