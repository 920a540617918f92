import numpy as np
import pytest

from predictors.transfer.design import Design, unit_rows
from predictors.transfer.surrogates import SourceDevices, Surrogate
from profiler.errors import ConfigError


def test_blocks_are_centred_and_of_unit_rows(pool, devices):
    sources = SourceDevices(("kin", "odd"), tuple(Surrogate(devices[n], np.zeros(1)) for n in ("kin", "odd")))
    design = Design.of(pool, sources)
    assert [name for name, _ in design.blocks][:2] == ["shared", "devices"]
    start = 0
    for _, width in design.blocks:
        block = design.matrix[:, start : start + width]
        assert block.mean(axis=0) == pytest.approx(np.zeros(width), abs=1e-9)
        assert np.square(block).sum(axis=1).mean() == pytest.approx(1.0)
        start += width
    assert start == design.matrix.shape[1]


def test_without_sources_or_with_one_there_are_fewer_blocks(pool, devices):
    one = SourceDevices(("kin",), (Surrogate(devices["kin"], np.zeros(1)),))
    assert "shared" not in dict(Design.of(pool).blocks)
    assert "devices" not in dict(Design.of(pool, one).blocks)
    assert Design.of(pool, SourceDevices((), ())).blocks == Design.of(pool).blocks


def test_constant_columns_stay_zero():
    assert not unit_rows(np.ones((4, 2))).any()


def test_sources_of_another_pool_are_refused(pool):
    with pytest.raises(ConfigError, match="sources of 3 architectures do not fit"):
        Design.of(pool, SourceDevices(("a",), (Surrogate(np.arange(3.0), np.zeros(1)),)))
