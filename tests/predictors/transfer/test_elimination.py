from predictors.transfer.elimination import LEVELS, running_ops
from profiler.workloads.build import WorkloadBuilder


def kinds(workload, indices):
    return sorted(workload.ops[i].kind for i in indices)


def test_dead_ends_and_constants_are_told_apart():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    b.conv2d(x, 4)  # no output depends on it
    nothing = b.relu(b.zero(x))  # depends on no input
    out = b.build(b.add(b.sigmoid(x), nothing))
    running = running_ops(out)
    assert tuple(running) == LEVELS
    assert kinds(out, running["written"]) == ["add", "conv2d", "relu", "sigmoid", "zero"]
    assert kinds(out, running["reached"]) == ["add", "relu", "sigmoid", "zero"]
    assert kinds(out, running["folded"]) == ["add", "sigmoid"]


def test_a_network_that_does_not_see_its_input_runs_nothing():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    b.conv2d(x, 4)
    running = running_ops(b.build(b.relu(b.zero(x))))
    assert running["reached"] == running["folded"] == frozenset()
    assert len(running["written"]) == 3
    assert kinds(b.build(b.relu(b.zero(x))), running["merged"]) == ["conv2d"]


def test_a_convolution_for_nothing_stays_and_a_sum_for_nothing_goes():
    def merged(*, summed, plus_zero=False):
        b = WorkloadBuilder()
        x = b.input((1, 4, 8, 8))
        first = b.batch_norm(b.conv2d(b.relu(x), 4))
        second = b.batch_norm(b.conv2d(first, 4, 3))
        if plus_zero:
            b.add(second, b.relu(b.zero(x)))
        if summed:
            b.add(second, b.avg_pool(x, 3, 1, 1))
        out = b.build(b.sigmoid(x))
        return kinds(out, running_ops(out)["merged"])

    alone = ["batch_norm", "batch_norm", "conv2d", "conv2d", "relu", "sigmoid"]
    assert merged(summed=False) == alone
    assert merged(summed=False, plus_zero=True) == alone
    assert merged(summed=True) == ["sigmoid"]
