"""What networks are made of, told apart more or less finely."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.composition import COMPOSITION, compositions
from profiler.workloads.fusion import Kernel, single
from profiler.workloads.ops import AttrValue


def conv(kernel: int) -> Kernel:
    attrs: dict[str, AttrValue] = {"out_channels": 8, "kernel": (kernel, kernel), "stride": (1, 1), "groups": 1}
    attrs |= {"padding": (kernel // 2,) * 4, "dilation": (1, 1), "bias": True}
    return single("conv2d", ((1, 8, 16, 16),), attrs)


def test_finer_sorts_are_parts_of_their_family() -> None:
    kernels = [conv(1), conv(3), single("relu", ((1, 8, 16, 16),), {}), single("flatten", ((1, 8, 2, 2),), {})]
    costs = {k.key: ms for k, ms in zip(kernels, (1.0, 3.0, 2.0, 4.0), strict=True)}
    found = dict(zip(COMPOSITION, compositions([kernels], costs).values[0].tolist(), strict=True))
    assert found["share_pointwise"] == pytest.approx(0.1)
    assert found["share_spatial"] == pytest.approx(0.3)
    assert found["share_conv"] == pytest.approx(0.4)
    assert found["share_arithmetic"] == pytest.approx(0.2)
    assert found["share_move"] == pytest.approx(0.4)
    assert found["kernels_rate"] == pytest.approx(0.4)
    assert found["weights_rate"] > 0.0


def test_a_product_of_matrices_counts_as_a_linear_layer() -> None:
    product = single("matmul", ((1, 4, 8), (1, 8, 4)), {})
    found = compositions([[product]], {product.key: 2.0}).values[0]
    assert found[COMPOSITION.index("share_linear")] == 1.0
    assert np.isfinite(found).all()
