from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sample_workloads
from artefact_runners import run_onnx

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.graph import Op, Workload
from profiler.workloads.weights import check_weights, seeded_inputs, seeded_weights


def test_weights_have_the_shapes_that_ops_need():
    for workload in (*sample_workloads.operators().values(), sample_workloads.mobilenet_v2()):
        weights = seeded_weights(workload)
        check_weights(workload, weights)
        assert all(array.dtype == np.float32 for arrays in weights.values() for array in arrays.values())


def test_weights_follow_the_seed():
    workload = sample_workloads.mbconv()
    first, again = seeded_weights(workload), seeded_weights(workload)
    other = seeded_weights(replace(workload, seed=1))
    for index in first:
        np.testing.assert_array_equal(first[index]["weight"], again[index]["weight"])
        assert not np.array_equal(first[index]["weight"], other[index]["weight"])


def test_weights_do_not_depend_on_order_or_names():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    left, right = b.relu(b.conv2d(x, 4, 3)), b.sigmoid(b.conv2d(x, 4, 3, name="right"))
    workload = b.build(b.add(left, right))
    order = (0, 3, 1, 4, 2, 5)  # the other branch first
    new = {old: position for position, old in enumerate(order)}
    ops = tuple(
        Op(workload.ops[o].kind, tuple((new[s], p) for s, p in workload.ops[o].inputs), workload.ops[o].attrs)
        for o in order
    )
    moved = Workload(ops, ((5, 0),))
    before, after = seeded_weights(workload), seeded_weights(moved)
    np.testing.assert_array_equal(before[1]["weight"], after[new[1]]["weight"])
    np.testing.assert_array_equal(before[3]["weight"], after[new[3]]["weight"])
    assert not np.array_equal(before[1]["weight"], before[3]["weight"])


def test_equal_branches_have_weights_of_their_own():
    """A runtime may merge branches that compute the same."""
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    total = b.add(b.add(b.conv2d(x, 4), b.conv2d(x, 4)), b.conv2d(x, 4))
    weights = [arrays["weight"].tobytes() for arrays in seeded_weights(b.build(total)).values()]
    assert len(set(weights)) == 3


def test_inputs_are_the_agreed_recipe():
    """The agent has a copy of this recipe: these numbers are part of the protocol."""
    workload = sample_workloads.operators()["several inputs and outputs"]
    first, second = seeded_inputs(workload)
    expected = np.random.default_rng([0, 1]).uniform(-1, 1, (1, 8, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(second, expected)
    assert first.shape == (1, 8, 12, 12)
    assert first.dtype == np.float32
    assert first.reshape(-1)[0] == np.float32(np.random.default_rng([0, 0]).uniform(-1, 1))
    assert not np.array_equal(first, seeded_inputs(workload, seed=1)[0])


def test_inputs_go_by_position():
    ops = (
        Op("input", (), (("position", 1), ("shape", (1, 3)))),
        Op("input", (), (("position", 0), ("shape", (1, 5)))),
        Op("softmax", ((0, 0),)),
    )
    assert [x.shape for x in seeded_inputs(Workload(ops, ((2, 0),)))] == [(1, 5), (1, 3)]


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("rectified", [True, False])
def test_values_keep_their_magnitude_in_deep_networks(norm, rectified):
    b = WorkloadBuilder()
    x = b.input((1, 16, 12, 12))
    for _ in range(40):
        x = b.conv2d(x, 16, 3)
        x = b.batch_norm(x) if norm else x
        x = b.relu(x) if rectified else x
    workload = b.build(x)
    (output,) = run_onnx(build_onnx(workload), seeded_inputs(workload))
    assert 1e-3 < np.sqrt(np.mean(output**2)) < 1e3


def test_misfits_are_refused():
    workload = sample_workloads.operators()["conv 3x3"]
    good = seeded_weights(workload)
    for bad in ({}, {1: {}}, {1: {"weight": good[1]["weight"][:1]}}, {1: {**good[1], "bias": np.zeros(16)}}):
        with pytest.raises(ArtefactError, match="needs weights of shapes"):
            check_weights(workload, bad)
