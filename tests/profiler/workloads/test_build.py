from __future__ import annotations

import pytest
import sample_workloads

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder


def conv_shape(size=(9, 9), **options):
    b = WorkloadBuilder()
    return b.build(b.conv2d(b.input((1, 4, *size)), 8, **options)).shapes[-1][0]


@pytest.mark.parametrize(
    ("options", "spatial"),
    [
        ({"kernel": 1}, (9, 9)),
        ({"kernel": 3}, (9, 9)),
        ({"kernel": (5, 3)}, (9, 9)),
        ({"kernel": 3, "dilation": 2}, (9, 9)),
        ({"kernel": 3, "stride": 2}, (5, 5)),
        ({"kernel": 3, "padding": 0}, (7, 7)),
        ({"kernel": 3, "padding": (1, 0)}, (9, 7)),
        ({"kernel": 3, "padding": (0, 1, 2, 3)}, (9, 11)),
    ],
)
def test_convolution_shapes(options, spatial):
    assert conv_shape(**options) == (1, 8, *spatial)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 11, "padding": 0}, "does not fit into 9 pixels"),
        ({"kernel": 3, "stride": 0}, "must be >= 1"),
        ({"kernel": 3, "padding": -1}, "padding"),
        ({"kernel": 3, "groups": 3}, "3 groups"),
        ({"kernel": 3, "groups": 0}, "0 groups"),
    ],
)
def test_convolutions_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        conv_shape(**options)


def test_pooling_window_in_padding_is_refused():
    b = WorkloadBuilder()
    x = b.avg_pool(b.input((1, 4, 8, 8)), 2, padding=2)
    with pytest.raises(ConfigError, match="wholly in padding"):
        b.build(x)


def test_shapes_that_cannot_be_combined_are_refused():
    b = WorkloadBuilder()
    x = b.add(b.input((1, 4, 8, 8)), b.input((1, 3, 8, 8)))
    with pytest.raises(ConfigError, match="cannot combine"):
        b.build(x)


def test_the_error_names_the_op():
    b = WorkloadBuilder()
    x = b.conv2d(b.input((1, 4, 8, 8)), 8, 9, padding=0, name="too-wide")
    with pytest.raises(ConfigError, match="too-wide"):
        b.build(x)


def test_append_splices_a_workload_in():
    block = sample_workloads.mbconv(channels=8, size=6)
    b = WorkloadBuilder()
    x = b.input((1, 8, 6, 6))
    (y,) = b.append(block, x)
    (z,) = b.append(block, y)
    twice = b.build(z)
    assert twice.macs == 2 * block.macs
    assert twice.params == 2 * block.params
    once = WorkloadBuilder()
    assert once.build(*once.append(block, once.input((1, 8, 6, 6)))).key == block.key


def test_zero_takes_the_shape_of_any_tensor():
    b = WorkloadBuilder()
    _, second = b.split(b.input((2, 5, 4, 4)), (2, 3))
    zero = b.zero(second)
    assert b.build(zero).shape(zero) == (2, 3, 4, 4)
