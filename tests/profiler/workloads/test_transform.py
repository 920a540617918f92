from __future__ import annotations

import numpy as np
import pytest
import sample_workloads
from artefact_runners import relative_error

from profiler.errors import ArtefactError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.transform import drop_noops, foldable_norms, simplify
from profiler.workloads.weights import check_weights, seeded_inputs, seeded_weights

SAMPLES = {**sample_workloads.operators(), **sample_workloads.blocks(), "net": sample_workloads.nb201_net(cells=1)}


def kinds(workload):
    return [op.kind for op in workload.ops]


@pytest.mark.parametrize("name", SAMPLES)
def test_simplified_workloads_compute_the_same(name):
    """The torch lowering runs any workload op by op, so it can run both sides."""
    torch = pytest.importorskip("torch")
    from profiler.workloads.builders.torch import build_module

    workload = SAMPLES[name]
    weights = seeded_weights(workload)
    simple, folded = simplify(workload, weights)
    check_weights(simple, folded)
    inputs = [torch.from_numpy(x) for x in seeded_inputs(workload)]
    with torch.no_grad():
        before = build_module(workload, weights).eval()(*inputs)
        after = build_module(simple, folded).eval()(*inputs)
    for a, b in zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]:
        assert relative_error(a.numpy(), b.numpy()) < 2e-5


@pytest.mark.parametrize("name", SAMPLES)
def test_simplifying_twice_changes_nothing_more(name):
    simple, folded = simplify(SAMPLES[name], seeded_weights(SAMPLES[name]))
    again, _ = simplify(simple, folded)
    assert again.ops == simple.ops
    assert again.outputs == simple.outputs


def test_fold_by_hand():
    b = WorkloadBuilder()
    workload = b.build(b.batch_norm(b.conv2d(b.input((1, 1, 2, 2)), 2, 1), eps=0.0))
    weights = {
        1: {"weight": np.array([2.0, 3.0], np.float32).reshape(2, 1, 1, 1)},
        2: {
            "weight": np.array([1.0, 6.0], np.float32),
            "bias": np.array([0.5, 0.0], np.float32),
            "running_mean": np.array([4.0, 1.0], np.float32),
            "running_var": np.array([4.0, 9.0], np.float32),
        },
    }
    simple, folded = simplify(workload, weights)
    assert kinds(simple) == ["input", "conv2d"]
    np.testing.assert_allclose(folded[1]["weight"].reshape(-1), [1.0, 6.0])
    np.testing.assert_allclose(folded[1]["bias"], [0.5 - 2.0, -2.0])
    assert simple.ops[1].attr("bias") is True


def test_norms_are_folded_only_where_nothing_else_reads():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    shared = b.conv2d(x, 4, 3)
    lone = b.conv2d(x, 4, 3)
    after_relu = b.batch_norm(b.relu(x))
    out = b.add(b.add(b.batch_norm(shared), shared), b.add(b.batch_norm(lone), after_relu))
    workload = b.build(out)
    assert foldable_norms(workload) == {7: 2}
    leaving = b.build(out, lone)
    assert foldable_norms(leaving) == {}


def test_norm_after_norm_folds_too():
    b = WorkloadBuilder()
    workload = b.build(b.batch_norm(b.batch_norm(b.linear(b.input((1, 8)), 4, bias=False))))
    simple, _ = simplify(workload, seeded_weights(workload))
    assert kinds(simple) == ["input", "linear"]


def test_noops_go():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    b.conv2d(x, 64, 3)  # dead
    y = b.identity(b.identity(b.relu(x)))
    z = b.add(b.zero(y), b.add(y, b.avg_pool(b.relu(b.zero(x)), 3, stride=1, padding=1)))
    lean, origin = drop_noops(b.build(z))
    assert kinds(lean) == ["input", "relu"]
    assert origin == (0, 2)


def test_a_sum_of_zeros_is_one_zero():
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 4, 8, 8)), 4, 3)
    lean, _ = drop_noops(b.build(b.sigmoid(b.add(b.zero(x), b.add(b.zero(x), b.mul(x, b.zero(x)))))))
    assert kinds(lean) == ["input", "zero", "sigmoid"]


def test_zero_that_broadcasts_stays():
    b = WorkloadBuilder()
    x, wide = b.input((1, 4, 1, 1)), b.input((1, 4, 8, 8))
    lean, _ = drop_noops(b.build(b.add(x, b.zero(wide))))
    assert "add" in kinds(lean)


def test_what_is_not_zero_for_zero_is_no_zero():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    for make in (b.sigmoid, b.hsigmoid, lambda z: b.conv2d(z, 4, bias=True), b.batch_norm):
        lean, _ = drop_noops(b.build(b.add(b.relu(x), make(b.zero(x)))))
        assert "add" in kinds(lean)


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_output_is_never_a_bare_input(outputs):
    b = WorkloadBuilder()
    x = b.input((1, 4))
    workload = b.build(*[b.identity(x), b.add(x, b.zero(x))][:outputs])
    lean, _ = drop_noops(workload)
    assert all(lean.ops[index].kind != "input" for index, _ in lean.outputs)
    assert len(lean.outputs) == outputs


def test_cells_without_a_path_lose_their_dead_part():
    workload = sample_workloads.nb201_net((3, 3, 3, 0, 0, 0), cells=1)
    simple, _ = simplify(workload, seeded_weights(workload))
    # what is left reads a constant: nothing of the input's side is alive
    assert kinds(simple).count("zero") == 1
    assert sum(simple.op_macs(i) for i in range(len(simple.ops))) < workload.macs / 10


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ArtefactError):
        simplify(sample_workloads.mbconv(), {})
