"""Costs of networks: parts from rows first, a regressor for the others, constant and scale from whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.blocks import BlockRegressor
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from search.s3nas.costs.networks import NetworkCosts
from search.s3nas.costs.parts import parts_of
from search.s3nas.post.transforms import with_activation, with_se
from search.s3nas.scaling import scale
from search.spaces.network import Block, Network, Stage, network_workload
from search.spaces.supernet import Head, Stem

NETWORK = Network(
    "made-up", 16, 4, Stem(8, 3, 1),
    (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2), (5, 2))), Block(((3, 2),)))), Stage(16, 2, (Block(((5, 2),)),))),
    Head(16),
)  # fmt: skip
SIZES = [scale(NETWORK, phi) for phi in (-2.0, 0.0, 1.0, 2.0, 3.0)]


class ByMacs:
    """A regressor that counts how often it is asked for what."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def predict(self, workloads: Sequence[Workload]) -> NDArray[np.float64]:
        self.calls.append([w.key for w in workloads])
        return np.array([w.macs / 1e6 for w in workloads])


def parts(network: Network) -> list[Workload]:
    return [part.build() for part in parts_of(network)]


def test_parts_are_the_whole_network() -> None:
    for network in (NETWORK, with_activation(with_se(SIZES[-1]), "hswish")):
        whole = network_workload(network)
        found = parts(network)
        assert len(found) == 6 + sum(len(s.blocks) for s in network.stages) - 4
        assert sum(w.macs for w in found) == whole.macs
        assert sum(w.params for w in found) == whole.params
        ops = sorted(op.kind for w in found for op in w.ops if op.kind != "input")
        assert ops == sorted(op.kind for op in whole.ops if op.kind != "input")


def test_equal_spots_are_equal_workloads_and_others_are_not() -> None:
    networks = [*SIZES, with_se(NETWORK), with_activation(NETWORK, "hswish"), replace(NETWORK, num_classes=7)]
    keys: dict[object, set[str]] = {}
    for network in networks:
        for part in parts_of(network):
            keys.setdefault(part.spot, set()).add(part.build().key)
    assert all(len(found) == 1 for found in keys.values())
    assert len({key for found in keys.values() for key in found}) == len(keys)


def test_rows_come_first_and_the_regressor_prices_the_rest_in_one_call() -> None:
    model = ByMacs()
    stem, first, second, third, _, head = parts(NETWORK)
    assert first.key == third.key
    costs = NetworkCosts({stem.key: 10.0, first.key: 100.0}, model)
    rest = sum(w.macs for w in (second, parts(NETWORK)[4], head)) / 1e6
    assert costs([NETWORK])[0] == pytest.approx(10.0 + 2 * 100.0 + rest)
    assert len(model.calls) == 1
    assert len(model.calls[0]) == 3
    costs([NETWORK, *SIZES])
    assert len(model.calls) == 2
    asked = [key for call in model.calls for key in call]
    assert len(asked) == len(set(asked))


def test_what_is_unknown_is_nan_and_named() -> None:
    stem, first, *_ = parts(NETWORK)
    costs = NetworkCosts({stem.key: 10.0, first.key: 100.0})
    assert np.isnan(costs.costs([NETWORK])).all()
    assert costs.missing([NETWORK]) == tuple(w.name for w in (parts(NETWORK)[2], parts(NETWORK)[4], parts(NETWORK)[5]))
    assert costs.missing([]) == ()


def test_a_regressor_that_never_saw_a_gate_prices_none() -> None:
    seen = [w for network in SIZES for w in parts(network)]
    model = BlockRegressor().fit(seen, [0.01 + w.macs / 1e6 for w in seen])
    costs = NetworkCosts({}, model)
    known, unknown = costs([replace(NETWORK, resolution=40), with_se(NETWORK)])
    assert known > 0.0
    assert np.isnan(unknown)
    assert all(" se " in name for name in costs.missing([with_se(NETWORK)]))


def test_constant_and_scale_are_found_again() -> None:
    costs = NetworkCosts({}, ByMacs())
    whole = 3.0 + 1.5 * costs(SIZES)
    fitted = costs.calibrated(SIZES, whole)
    assert fitted.calibration.constant == pytest.approx(3.0)
    assert fitted.calibration.scale == pytest.approx(1.5)
    assert fitted.calibration.n_networks == len(SIZES)
    assert fitted.calibration.mape == pytest.approx(0.0, abs=1e-9)
    other = scale(NETWORK, 1.5)
    assert fitted([other]) == pytest.approx(3.0 + 1.5 * costs([other]))
    assert costs.calibration.scale == 1.0  # the first is as it was


def test_relative_errors_count_and_the_left_out_ones_are_larger() -> None:
    costs = NetworkCosts({}, ByMacs())
    noisy = (1.0 + costs(SIZES)) * np.array([1.05, 0.97, 1.02, 0.96, 1.03])
    found = costs.calibrated(SIZES, noisy).calibration
    errors = (found.constant + found.scale * costs(SIZES)) / noisy - 1.0
    assert found.mape == pytest.approx(np.abs(errors).mean())
    assert 0.0 < found.mape < found.left_out_mape < 0.2
    around = [(found.constant + d, found.scale + s) for d in (-0.01, 0.0, 0.01) for s in (-0.01, 0.0, 0.01)]
    losses = [float(np.square((c + s * costs(SIZES)) / noisy - 1.0).sum()) for c, s in around]
    assert min(losses) == losses[4]


@pytest.mark.parametrize(
    ("networks", "whole", "says"),
    [
        (SIZES[:2], [1.0, 2.0], "at least 3"),
        (SIZES, [1.0, 2.0], "one cost each"),
        (SIZES, [1.0, 2.0, -3.0, 4.0, 5.0], "positive"),
        (SIZES, [9.0, 8.0, 4.0, 3.0, 2.0], "do not rise"),
    ],
)
def test_whole_networks_that_say_nothing_are_refused(networks: list[Network], whole: list[float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NetworkCosts({}, ByMacs()).calibrated(networks, whole)


def test_calibration_needs_every_part() -> None:
    with pytest.raises(ConfigError, match="have no cost: stem 8 .* and .* others"):
        NetworkCosts({}).calibrated(SIZES, [1.0] * len(SIZES))


# ---------------------------------------------------------------- from a table


def table_of(workloads: Sequence[Workload], target: Target) -> CostTable:
    rows = [
        Row(target.id, w.key, "block", w.name, latency_ns=1e6 * (0.01 + w.macs / 1e6), n_rounds=3) for w in workloads
    ]
    rows[0] = replace(rows[0], latency_ns=-5.0, issues=("negative_slope",))
    return CostTable(rows, {w.key: w for w in workloads}, [target])


def test_a_table_gives_rows_and_a_regressor() -> None:
    target = Target("d", "onnxruntime", "fp32")
    known = list({w.key: w for network in SIZES for w in parts(network)}.values())
    table = table_of(known, target)
    costs = NetworkCosts.from_table(table, target.id)
    assert costs.target == target.id
    assert costs.rows[known[0].key] == 0.0  # measured and tiny
    stem, *others = parts(NETWORK)
    assert stem.key != known[0].key
    assert costs([NETWORK])[0] == pytest.approx(sum(0.01 + w.macs / 1e6 for w in (stem, *others)))
    assert np.isfinite(costs([replace(NETWORK, resolution=40)])).all()
    rows_only = NetworkCosts.from_table(table, target.id, regressor=False)
    assert np.isnan(rows_only([replace(NETWORK, resolution=40)])).all()
    with pytest.raises(ConfigError, match="no block measured on nowhere"):
        NetworkCosts.from_table(table, "nowhere")
