import numpy as np
import pytest

from predictors.transfer.features import BALANCES, TOTALS, population_features
from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder


def workload(kernel=3, dead=False):
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    y = b.conv2d(x, 4, kernel, groups=4)
    if dead:
        b.conv2d(x, 16)
    return b.build(b.conv2d(y, 6))


def test_totals_by_hand():
    features = population_features([workload(3), workload(5), workload(3, dead=True)])
    pixels = 64
    pointwise, depthwise, dead = pixels * 24, pixels * 36, pixels * 64
    assert features.total("macs").tolist() == [
        pointwise + depthwise,
        pointwise + pixels * 100,
        pointwise + depthwise + dead,
    ]
    assert features.total("macs", "reached")[2] == pointwise + depthwise
    assert features.total("depthwise_macs").tolist() == [depthwise, pixels * 100, depthwise]
    assert features.total("wide_depthwise_macs").tolist() == [0, pixels * 100, 0]
    assert features.total("kernels").tolist() == [2, 2, 3]
    assert features.total("traffic_values")[0] == pixels * (4 + 4 + 4 + 6)
    bound = [max(pixels * 36 / b, pixels * 8 + 36) + max(pixels * 24 / b, pixels * 10 + 24) for b in BALANCES]
    assert features.totals["written"][0, TOTALS.index("roofline_4") :] == pytest.approx(bound)


def test_counts_are_per_operator_and_level():
    features = population_features([workload(3), workload(3, dead=True)])
    assert features.counts["written"].sum(axis=1).tolist() == [2, 3]
    assert features.counts["reached"].sum(axis=1).tolist() == [2, 2]
    assert np.array_equal(features.counts["written"] @ features.operator_totals, features.totals["written"])


def test_no_workload_is_refused():
    with pytest.raises(ConfigError, match="at least one"):
        population_features([])
