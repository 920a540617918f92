from collections import Counter, defaultdict

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.workloads.cuts import cut_as
from search.spaces import NasBench201
from search.spaces.nasbench201 import NB201_OPS, published_multiply_adds

MIXED = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


def test_strings_round_trip(space):
    assert space.describe(space.parse(MIXED)) == MIXED
    assert space.parse(NOTHING).choices == (0,) * 6
    everything = list(space.all())
    assert [space.parse(space.describe(a)) for a in everything[::97]] == everything[::97]


@pytest.mark.parametrize(
    "text", ["", "none", MIXED.replace("~1", "~2"), MIXED.replace("nor_conv_1x1", "sep_conv_3x3"), MIXED + "+|none~0|"]
)
def test_malformed_strings_are_refused(space, text):
    with pytest.raises(ConfigError):
        space.parse(text)


def test_there_are_6466_isomorphism_classes(space):
    assert len({space.canonical(a) for a in space.all()}) == 6_466


def test_isomorphic_architectures_have_one_representative(space):
    # conv then skip equals skip then conv
    a = space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    b = space.parse("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    assert space.canonical(a) == space.canonical(b)
    assert space.representative(a) == space.representative(b)
    # a convolution of nothing may still learn a constant: not the same as nothing
    c = space.parse("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    d = space.parse("|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|none~2|")
    assert space.canonical(c) != space.canonical(d)


def test_architectures_of_one_lean_cell_run_the_same_kernels(space):
    groups = defaultdict(list)
    for arch in list(space.all())[:1000]:
        groups[space.lean_cell(arch)].append(arch)
    several = [group for group in groups.values() if len(group) > 1]
    assert len(several) > 50
    for group in several[::12]:
        for how in ("fused", "exported"):
            kernels = [kernels_of_one(space, arch, how) for arch in (group[0], group[-1])]
            assert kernels[0] == kernels[1]


def test_isomorphic_architectures_may_run_other_kernels(space):
    # one convolution, or two that do the same; and which of two convolutions the sum is fused with
    once = space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|")
    twice = space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|")
    assert space.canonical(once) == space.canonical(twice)
    assert kernels_of_one(space, once, "exported") != kernels_of_one(space, twice, "exported")
    first = space.parse("|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|")
    other = space.parse("|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|")
    assert space.canonical(first) == space.canonical(other)
    assert kernels_of_one(space, first, "fused") != kernels_of_one(space, other, "fused")
    assert len({space.lean_cell(arch) for arch in (once, twice, first, other)}) == 4


def kernels_of_one(space, arch, how):
    return Counter(k.key for k in cut_as(space.workload(arch, cells_per_stage=3), how, "onnxruntime", "fp32"))


def test_canonical_strings_and_indices_agree_with_the_published_table(space, data_dir):
    import pandas as pd

    table = pd.read_parquet(data_dir / "nasbench201_accuracy.parquet", columns=["arch_str", "canonical_str"])
    ours = [space.canonical(space.parse(text)) for text in table["arch_str"]]
    assert ours == table["canonical_str"].tolist()


def test_macs_and_params_equal_the_published_table(space, data_dir):
    import pandas as pd

    table = pd.read_parquet(data_dir / "nasbench201_accuracy.parquet")
    macro = {
        "cifar10": {},
        "cifar100": {"num_classes": 100},
        "imagenet16_120": {"num_classes": 120, "image_size": 16},
    }
    for row in table.sample(500, random_state=201).to_dict("records"):
        for name, sizes in macro.items():
            workload = space.workload(space.parse(row["arch_str"]), **sizes)
            assert workload.params == round(1e6 * row[f"{name}_params_m"])
            # the table has six decimals of a million
            assert published_multiply_adds(workload) == pytest.approx(1e6 * row[f"{name}_flops_m"], abs=0.51)


def test_macs_and_params_of_a_cell_by_hand(space):
    bare, full = space.workload(space.parse(NOTHING)), space.workload(space.parse("|nor_conv_3x3~0|" + NOTHING[8:]))
    pixels_times_channels = 16 * 16 * 32 * 32 + 32 * 32 * 16 * 16 + 64 * 64 * 8 * 8
    assert full.macs - bare.macs == 5 * 9 * pixels_times_channels
    assert full.params - bare.params == 5 * (9 * (16 * 16 + 32 * 32 + 64 * 64) + 2 * (16 + 32 + 64))
    assert published_multiply_adds(bare) == bare.macs + 10


def test_a_cell_holds_one_relu_a_node_and_no_operator_for_skips(space):
    macro = {"cells_per_stage": 1}
    kinds = Counter(op.kind for op in space.workload(space.parse(MIXED), **macro).ops)
    surroundings = Counter(op.kind for op in space.workload(space.parse(SKIPS), **macro).ops)
    assert kinds["conv2d"] - surroundings["conv2d"] == 3 * 3
    assert kinds["avg_pool"] - surroundings["avg_pool"] == 3
    # nodes 0, 1 and 2 are read by one convolution each; the reduction block shares the ReLU of its own input
    assert kinds["relu"] - surroundings["relu"] == 3 * 3
    both = space.parse("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|")
    shared = Counter(op.kind for op in space.workload(both, **macro).ops)
    assert shared["conv2d"] - surroundings["conv2d"] == 3 * 3
    assert shared["relu"] - surroundings["relu"] == 3
    assert "identity" not in kinds


def test_taps_stand_after_the_stages_and_after_the_last_relu(space):
    workload, taps = space.assemble(space.parse(MIXED), cells_per_stage=2, channels=8, image_size=16)
    assert [workload.shape(t) for t in taps] == [(1, 8, 16, 16), (1, 16, 8, 8), (1, 32, 4, 4)]
    last = workload.ops[taps[2][0]]
    assert last.kind == "relu"
    assert workload.ops[last.inputs[0][0]].kind == "batch_norm"
    readers = [workload.ops[u].kind for u in workload.users[taps[2][0]]]
    assert readers == ["global_avg_pool"]


@pytest.mark.parametrize("text", [MIXED, NOTHING, SKIPS, "|nor_conv_3x3~0|" + NOTHING[8:]])
@pytest.mark.parametrize("n", [2, 4, 7])
def test_the_repeat_law_is_exact(space, text, n):
    arch = space.parse(text)
    expected = space.workload(arch, n)
    parts = [(space.workload(arch, base), weight) for base, weight in space.repeat_law(n)]
    assert sum(w * p.macs for p, w in parts) == expected.macs
    assert sum(w * p.params for p, w in parts) == expected.params
    for prune in (False, True):  # also of what is left when dead operators are dropped
        counts: Counter[object] = Counter()
        for part, weight in parts:
            for op, shapes in _ops(part, prune):
                counts[op, shapes] += weight
        assert {k: v for k, v in counts.items() if v} == Counter(_ops(expected, prune))


def _ops(workload, prune):
    chosen = workload.pruned() if prune else workload
    return [((op.kind, op.attrs), chosen.input_shapes_of(i)) for i, op in enumerate(chosen.ops)]


def test_the_repeat_law_needs_two_cells(space):
    with pytest.raises(ConfigError):
        space.repeat_law(1)


def test_connection_is_known_for_every_architecture(space):
    assert not space.connected(space.parse(NOTHING))
    assert space.connected(space.parse(SKIPS))
    assert not space.connected(space.parse("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"))
    for arch in list(space.all())[::61]:
        workload = space.workload(arch, 1)
        assert space.connected(arch) == _output_depends_on_input(workload)


def _output_depends_on_input(workload):
    reached = {workload.inputs[0]}
    for index, op in enumerate(workload.ops):
        if any(source in reached for source, _ in op.inputs):
            reached.add(index)
    return workload.outputs[0][0] in reached


@pytest.mark.parametrize(
    "macro", [{"cells_per_stage": 0}, {"image_size": 30}, {"channels": 0}, {"num_classes": 0}, {"depth": 3}]
)
def test_impossible_macro_parameters_are_refused(space, macro):
    with pytest.raises(ConfigError, match=next(iter(macro))):
        space.workload(space.parse(MIXED), **macro)


def test_the_network_computes_what_the_benchmark_defines(space):
    """Against the definition of the space written out with torch's functions, weights in order of the edges."""
    import torch

    from profiler.workloads.builders.torch import build_module, module_weights

    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 3, 16, 16)).astype(np.float32))
    for arch in [space.parse(MIXED), space.parse(SKIPS), *(space.sample(rng) for _ in range(6))]:
        workload = space.workload(arch, cells_per_stage=2, channels=4, image_size=16)
        module = build_module(workload).eval()
        weights = {i: {n: torch.from_numpy(a) for n, a in g.items()} for i, g in module_weights(module).items()}
        with torch.no_grad():
            ours = module(x).expand(2, -1)
            theirs = _naive(arch.choices, x, workload, weights)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def _naive(choices, x, workload, weights):
    import torch
    from torch.nn import functional

    trained = iter([weights[i] for i, op in enumerate(workload.ops) if op.kind in ("conv2d", "batch_norm", "linear")])

    def conv_norm(y, pad, stride=1):
        y = functional.conv2d(y, next(trained)["weight"], stride=stride, padding=pad)
        p = next(trained)
        return functional.batch_norm(y, p["running_mean"], p["running_var"], p["weight"], p["bias"], eps=1e-5)

    def edge(name, y):
        match name:
            case "none":
                return torch.zeros_like(y)
            case "skip_connect":
                return y
            case "avg_pool_3x3":
                return functional.avg_pool2d(y, 3, 1, 1, count_include_pad=False)
            case "nor_conv_1x1":
                return conv_norm(functional.relu(y), 0)
            case _:
                return conv_norm(functional.relu(y), 1)

    names = [NB201_OPS[c] for c in choices]
    x = conv_norm(x, 1)
    for stage in range(3):
        if stage:
            body = conv_norm(functional.relu(conv_norm(functional.relu(x), 1, stride=2)), 1)
            x = functional.conv2d(functional.avg_pool2d(x, 2, 2), next(trained)["weight"]) + body
        for _ in range(2):
            first = edge(names[0], x)
            second = edge(names[1], x) + edge(names[2], first)
            x = edge(names[3], x) + edge(names[4], first) + edge(names[5], second)
    p = next(trained)
    x = functional.relu(functional.batch_norm(x, p["running_mean"], p["running_var"], p["weight"], p["bias"], eps=1e-5))
    p = next(trained)
    return functional.linear(x.mean((2, 3)), p["weight"], p["bias"])


def test_a_name_and_a_size():
    assert (NasBench201.name, NasBench201().size) == ("nasbench201", 15_625)
