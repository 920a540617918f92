from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import sample_workloads
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Op, Workload

SAMPLES = {**sample_workloads.operators(), **sample_workloads.blocks(), **sample_workloads.networks()}


def shuffled(workload, seed):
    """The same graph in another topological order, with other names."""
    rng = random.Random(seed)
    waiting, order = list(range(len(workload.ops))), []
    while waiting:
        ready = [i for i in waiting if all(source in order for source, _ in workload.ops[i].inputs)]
        order.append(rng.choice(ready))
        waiting.remove(order[-1])
    new = {old: position for position, old in enumerate(order)}
    ops = []
    for old in order:
        op = workload.ops[old]
        sources = [(new[s], p) for s, p in op.inputs]
        if op.kind in ("add", "mul"):
            rng.shuffle(sources)
        ops.append(Op(op.kind, tuple(sources), op.attrs, f"renamed-{rng.random()}"))
    return Workload(tuple(ops), tuple((new[s], p) for s, p in workload.outputs), "other name", seed=9)


@pytest.mark.parametrize("name", SAMPLES)
def test_key_is_blind_to_order_names_and_seed(name):
    assert {shuffled(SAMPLES[name], seed).key for seed in range(3)} == {SAMPLES[name].key}


def test_keys_of_different_workloads_differ():
    keys = {workload.key for workload in SAMPLES.values()}
    assert len(keys) == len(SAMPLES)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=6), st.integers(0, 99))
def test_key_of_any_cell_is_blind_to_order(choices, seed):
    cell = sample_workloads.nb201_cell(choices)
    assert shuffled(cell, seed).key == cell.key


def test_key_is_pinned():
    """Keys are stored in journals: a change of this value needs a new KEY_VERSION and a note in the changelog."""
    assert sample_workloads.mbconv().key == "c174d7981c17e4b06419337f27855577"


def test_key_depends_on_the_wiring_of_equal_ops():
    """Two equal convolutions: both feed one sum each way round, or each its own."""

    def wired(*pairs):
        b = WorkloadBuilder()
        x = b.input((1, 4, 8, 8))
        convs = [b.conv2d(x, 4, 3) for _ in range(2)]
        return b.build(*(b.add(convs[i], convs[j]) for i, j in pairs))

    keys = [wired(*pairs).key for pairs in ([(0, 1), (0, 1)], [(0, 0), (1, 1)], [(0, 0), (0, 1)], [(0, 0), (0, 0)])]
    assert len(set(keys)) == 4
    assert wired((1, 0), (0, 1)).key == keys[0]
    assert wired((1, 1), (0, 0)).key == keys[1]


def test_key_sees_what_only_neighbours_tell_apart():
    """Four equal convolutions summed in pairs; a sigmoid on both of one pair, or on one of each."""

    def marked(first, second):
        b = WorkloadBuilder()
        x = b.input((1, 4, 8, 8))
        convs = [b.conv2d(x, 4, 3) for _ in range(4)]
        pairs = b.add(b.add(convs[0], convs[1]), b.add(convs[2], convs[3]))
        return b.build(b.add(pairs, b.add(b.sigmoid(convs[first]), b.sigmoid(convs[second]))))

    assert marked(0, 1).key == marked(2, 3).key
    assert marked(0, 2).key == marked(1, 3).key
    assert marked(0, 1).key != marked(0, 2).key


def test_key_depends_on_ports_order_and_outputs():
    def build(make):
        b = WorkloadBuilder()
        x, y = b.input((1, 4, 8, 8)), b.input((1, 4, 8, 8))
        return b.build(*make(b, x, y)).key

    keys = [
        build(lambda b, x, y: [b.concat(x, y)]),
        build(lambda b, x, y: [b.concat(y, x)]),
        build(lambda b, x, y: [b.concat(x, x)]),
        build(lambda b, x, y: [b.split(x, (2, 2))[0]]),
        build(lambda b, x, y: [b.split(x, (2, 2))[1]]),
        build(lambda b, x, y: [b.relu(x), b.sigmoid(y)]),
        build(lambda b, x, y: [b.sigmoid(y), b.relu(x)]),
        build(lambda b, x, y: [b.relu(x)]),
        build(lambda b, x, y: [b.relu(y)]),
    ]
    assert len(set(keys)) == len(keys)


def test_key_depends_on_every_attribute():
    def conv(**changed):
        b = WorkloadBuilder()
        options = {"out_channels": 8, "kernel": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1, "bias": False}
        return b.build(b.conv2d(b.input((1, 8, 12, 12)), **{**options, **changed})).key

    changes = [{"out_channels": 16}, {"kernel": 5}, {"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}]
    assert len({conv(), conv(bias=True), *(conv(**change) for change in changes)}) == 8


@pytest.mark.parametrize("name", SAMPLES)
def test_plain_form_reads_back(name):
    workload = SAMPLES[name]
    back = Workload.from_dict(json.loads(json.dumps(workload.to_dict())))
    assert back == workload
    assert (back.name, back.seed, back.key) == (workload.name, workload.seed, workload.key)


@pytest.mark.parametrize("data", [{}, {"ops": 3}, {"ops": [["relu"]], "outputs": [], "dtype": "float32"}, {"ops": []}])
def test_plain_form_that_is_none_is_refused(data):
    with pytest.raises(ConfigError, match="not a workload"):
        Workload.from_dict(data)


def test_macs_and_params_of_a_convolution_by_hand():
    b = WorkloadBuilder()
    x = b.input((2, 8, 10, 10))
    y = b.conv2d(x, 16, kernel=(3, 5), stride=2, groups=4, bias=True)
    workload = b.build(b.batch_norm(y))
    assert workload.shapes[1] == ((2, 16, 5, 5),)
    assert workload.macs == 2 * 16 * 5 * 5 * (8 // 4) * 3 * 5
    # running statistics are no parameters
    assert workload.params == 16 * 2 * 15 + 16 + 2 * 16


def test_bytes_of_a_linear_layer_by_hand():
    b = WorkloadBuilder()
    workload = b.build(b.linear(b.input((1, 10)), 6))
    assert workload.bytes_read == 4 * (10 + 60 + 6)
    assert workload.bytes_written == 4 * 6
    assert workload.macs == 60


def test_mobilenet_v2_figures_match_the_sum_over_ops():
    net = SAMPLES["mobilenet"]
    assert net.macs == sum(net.op_macs(i) for i in range(len(net.ops))) > 0
    assert net.op_params(net.inputs[0]) == 0


def test_peak_activation_bytes_by_hand():
    b = WorkloadBuilder()
    x = b.input((1, 1, 4, 4))  # 64 bytes
    y = b.conv2d(x, 2, 3)  # 128
    z = b.relu(y)  # 128; x is gone by now
    pooled = b.global_avg_pool(z)  # 8
    assert b.build(pooled).peak_activation_bytes == 256
    # the input is read again at the end, so it stays
    late = WorkloadBuilder()
    x = late.input((1, 1, 4, 4))
    assert late.build(late.add(x, late.relu(late.relu(x)))).peak_activation_bytes == 3 * 64


@pytest.mark.parametrize("name", SAMPLES)
def test_peak_activation_bytes_agree_with_a_plain_count(name):
    workload = SAMPLES[name]
    written = [workload.op_bytes_written(i) for i in range(len(workload.ops))]
    leaving = {index for index, _ in workload.outputs}
    peak = 0
    for now in range(len(workload.ops)):
        needed = [
            i for i in range(now + 1) if i == now or i in leaving or any(user >= now for user in workload.users[i])
        ]
        peak = max(peak, sum(written[i] for i in needed))
    assert workload.peak_activation_bytes == peak


def test_pruned_drops_the_dead_and_keeps_inputs():
    b = WorkloadBuilder()
    x, unused = b.input((1, 4, 8, 8)), b.input((1, 2))
    alive = b.relu(x)
    b.conv2d(x, 64, 3)
    b.softmax(unused)
    workload = b.build(alive)
    pruned = workload.pruned()
    assert [op.kind for op in pruned.ops] == ["input", "input", "relu"]
    assert pruned.pruned() is pruned
    assert workload.key != pruned.key


def test_zero_does_not_depend_on_what_it_replaces():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    workload = b.build(b.zero(b.conv2d(x, 8, 3)))
    assert [op.kind for op in workload.pruned().ops] == ["input", "zero"]
    assert workload.shapes[-1] == ((1, 8, 8, 8),)


def test_subgraph_cuts_inputs_and_outputs():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    first, second = b.split(b.relu(x), (1, 3))
    joined = b.concat(b.conv2d(second, 2), first)
    workload = b.build(joined)
    part = workload.subgraph([2, 3], name="part")
    assert [op.kind for op in part.ops] == ["input", "split", "conv2d"]
    assert part.shapes[0] == ((1, 4, 8, 8),)
    # the first half is read outside and the convolution too; the second half is read inside only
    assert part.outputs == ((1, 0), (2, 0))
    alone = workload.subgraph([4])
    assert [alone.shapes[i][0] for i in alone.inputs] == [(1, 2, 8, 8), (1, 1, 8, 8)]


def test_equal_kernels_cut_from_different_places_share_a_key():
    net = SAMPLES["nb201 net"]
    convs = [i for i, op in enumerate(net.ops) if op.kind == "conv2d"]
    by_shape = {}
    for index in convs:
        by_shape.setdefault((net.input_shapes_of(index), net.ops[index].attrs), set()).add(net.subgraph([index]).key)
    assert all(len(keys) == 1 for keys in by_shape.values())
    assert len(by_shape) < len(convs)


INPUT = Op("input", (), (("position", 0), ("shape", (1, 4, 8, 8))))


@pytest.mark.parametrize(
    ("ops", "outputs", "message"),
    [
        ((INPUT,), (), "no output"),
        ((INPUT,), ((1, 0),), "does not exist"),
        ((INPUT, Op("warp", ((0, 0),))), ((1, 0),), "unknown operator kind 'warp'"),
        ((INPUT, Op("relu", ())), ((1, 0),), "0 inputs, expected 1"),
        ((INPUT, Op("concat", ())), ((1, 0),), "expected >= 1"),
        ((INPUT, Op("relu", ((1, 0),))), ((1, 0),), "not an earlier op"),
        ((INPUT, Op("relu", ((0, 1),))), ((1, 0),), "not an earlier op"),
        ((INPUT, Op("relu", ((0, 0),), (("slope", 1),))), ((1, 0),), r"attributes \['slope'\], expected \[\]"),
        ((INPUT, Op("linear", ((0, 0),), (("bias", True), ("out_features", 0)))), ((1, 0),), "must be >= 1"),
        ((INPUT, Op("softmax", ((0, 0),), (("axis", 1),))), ((1, 0),), "is 1 already where it is left out"),
        ((INPUT, Op("softmax", ((0, 0),), (("axis", 4),))), ((1, 0),), "no axis 4"),
        ((INPUT, Op("split", ((0, 0),), (("sizes", (1, 1)),))), ((1, 0),), "do not add up to 4"),
        ((INPUT, Op("split", ((0, 0),), (("sizes", (5, -1)),))), ((1, 0),), "do not add up|>= 1"),
        ((INPUT, INPUT), ((0, 0),), "positions"),
        ((Op("input", (), (("position", 0), ("shape", (1, 0)))),), ((0, 0),), "sizes >= 1"),
    ],
)
def test_what_does_not_fit_is_refused(ops, outputs, message):
    with pytest.raises(ConfigError, match=message):
        Workload(tuple(ops), outputs)


def test_unknown_dtype_is_refused():
    with pytest.raises(ConfigError, match="float128"):
        replace(SAMPLES["relu"], dtype="float128")
