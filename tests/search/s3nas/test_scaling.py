"""Compound scaling: the published L out of the published M, repetition by parameters, and every plateau of phi."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.s3nas.post.transforms import with_activation, with_se
from search.s3nas.scaling import PUBLISHED, Scaling, default_divisor, last_phi, origins, plateaus, scale
from search.spaces.mixconv import MixConv
from search.spaces.network import Block, Network, Stage, network_workload, read_network
from search.spaces.supernet import Head, Stem, read_supernet

M = read_network(Path(__file__).parents[2] / "data/s3nas_m.yaml")
TINY = Network(
    "made-up", 32, 10, Stem(8, 3, 2),
    (Stage(8, 1, (Block(((3, 2),)),)), Stage(16, 2, (Block(((3, 4),)), Block(((5, 6),)), Block(((3, 2),))))),
    Head(64),
)  # fmt: skip


def plus(network: Network) -> Network:
    """The published "+" nets."""
    return with_activation(with_se(network), "hswish")


def sizes(network: Network) -> tuple[float, float]:
    workload = network_workload(network)
    return workload.params / 1e6, workload.macs / 1e9


def test_m_has_the_published_size() -> None:
    assert sizes(M) == pytest.approx((12.8, 1.29), rel=0.005)
    assert sizes(plus(M))[0] == pytest.approx(15.4, rel=0.005)


def test_scaling_m_by_one_gives_the_published_l() -> None:
    l_net = scale(M, 1.0, PUBLISHED)
    assert l_net.resolution == 268
    assert (l_net.stem.filters, l_net.head.filters) == (32, 1408)
    assert [stage.filters for stage in l_net.stages] == [32, 64, 144, 176, 288]
    assert [len(stage.blocks) for stage in l_net.stages] == [3, 4, 8, 4, 12]
    assert l_net.stages[2].blocks[:2] == (Block(((3, 4), (5, 2))),) * 2  # k3,5 e4,2 is the largest of stage 3
    assert l_net.stages[4].blocks[:2] == (Block(((3, 2), (5, 2), (7, 2))),) * 2
    assert sizes(plus(l_net)) == pytest.approx((20.7, 2.47), rel=0.002)  # published L+: 20.7 M, 2.47 G
    assert sizes(plus(l_net)) == pytest.approx((20.693648, 2.466961408), rel=1e-9)


def test_what_the_published_xl_needs() -> None:
    """XL+ is published as 27.9 M and 5.95 G at unknown phi and coefficients: with those of L the MACs are met at phi
    2.125 to 2.148, with 0.6 % more parameters than published."""
    xl = scale(M, 2.14, PUBLISHED)
    assert sizes(plus(xl)) == pytest.approx((27.9, 5.95), rel=0.0065)
    assert sizes(plus(xl)) == pytest.approx((28.070768, 5.948731328), rel=1e-9)


def test_phi_zero_is_the_network() -> None:
    assert scale(M, 0.0) == M
    assert scale(TINY, 0.0) == TINY
    assert origins(TINY, 0.0) == (0, 1, 2, 3)


@pytest.mark.parametrize(("name", "divisor"), [("graded", 16), ("mbconv", 16), ("graded32", 4), ("tiny", 4)])
def test_the_divisor_follows_the_widths(name: str, divisor: int) -> None:
    space = MixConv(read_supernet(name))
    assert default_divisor(space.network(space.maximal)) == divisor


def test_the_remaining_blocks_go_to_those_with_most_parameters_and_stand_behind_them() -> None:
    blocks = TINY.stages[1].blocks
    depths = Scaling(depth=4 / 3, width=1.0, resolution=1.0)
    assert scale(TINY, 1.0, depths).stages[1].blocks == (blocks[0], blocks[1], blocks[1], blocks[2])
    assert origins(TINY, 1.0, depths) == (0, 1, 2, 2, 3)
    twice_and_two = scale(TINY, 1.0, replace(depths, depth=8 / 3)).stages[1].blocks
    assert twice_and_two == (*(blocks[0],) * 3, *(blocks[1],) * 3, *(blocks[2],) * 2)


def test_a_negative_phi_keeps_the_blocks_with_most_parameters_in_their_order() -> None:
    smaller = scale(TINY, -1.0, Scaling(depth=1.5, width=1.0, resolution=1.0))
    assert smaller.stages[1].blocks == TINY.stages[1].blocks[:2]
    assert scale(TINY, -4.0, Scaling(depth=1.5, width=1.0, resolution=1.0)).stages[1].blocks == (
        TINY.stages[1].blocks[1],
    )
    assert [len(stage.blocks) for stage in scale(M, -6.0).stages] == [2, 2, 4, 2, 6]


def test_the_first_block_is_judged_as_the_others() -> None:
    """At stride 2 and half as many inputs it has fewer parameters, and is repeated for its 6 all the same."""
    stage = Stage(64, 2, (Block(((5, 6),)), Block(((3, 6),))))
    network = replace(TINY, stages=(stage,))
    assert origins(network, 1.0, Scaling(depth=1.5, width=1.0, resolution=1.0)) == (0, 0, 1)


def test_squeeze_and_excitation_rides_along_and_does_not_rank() -> None:
    gated = replace(TINY, stages=(TINY.stages[0], replace(
        TINY.stages[1], blocks=(replace(TINY.stages[1].blocks[0], se=True), *TINY.stages[1].blocks[1:])
    )))  # fmt: skip
    for phi in np.linspace(-5, 5, 41):
        assert origins(gated, float(phi)) == origins(TINY, float(phi))
        assert with_se(scale(gated, float(phi))) == scale(with_se(TINY), float(phi))


def test_plateaus_are_all_networks_that_a_fine_grid_finds() -> None:
    for network in (M, TINY):
        found = plateaus(network, None, -3.0, 3.0)
        assert found[0].low == -3.0
        assert found[-1].high == 3.0
        assert all(a.high == b.low and a.network != b.network for a, b in pairwise(found))
        grid = np.linspace(-3.0, 3.0, 1999)
        highs = np.array([plateau.high for plateau in found])
        assert all(
            scale(network, float(phi)) == found[int(np.searchsorted(highs, phi))].network
            for phi in grid
            if np.abs(highs - phi).min() > 1e-9
        )


def test_a_jump_at_the_limit_is_a_plateau_of_its_own() -> None:
    how = Scaling(depth=1.0, width=1.0, resolution=34 / 32)
    found = plateaus(TINY, how, 0.0, 1.0)
    assert [p.network.resolution for p in found] == [32, 36]
    assert (found[1].low, found[1].high) == (1.0, 1.0)


def test_the_last_phi_of_a_plateau_is_the_largest_float() -> None:
    for plateau in plateaus(TINY, None, 0.0, 2.0)[:-1]:
        phi = last_phi(TINY, plateau)
        assert scale(TINY, phi) == plateau.network
        assert scale(TINY, math.nextafter(phi, math.inf)) != plateau.network
        assert phi == pytest.approx(plateau.high, abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [{"depth": 0.9}, {"width": math.nan}, {"depth": 1.0, "width": 1.0, "resolution": 1.0}, {"divisor": 0}],
)
def test_coefficients_that_cannot_scale_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Scaling(**wrong)  # type: ignore[arg-type]


def test_a_phi_that_scales_a_thousandfold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"from -37\.9 to 37\.9"):
        scale(TINY, 38.0)
    with pytest.raises(ConfigError):
        scale(TINY, math.nan)
    with pytest.raises(ConfigError, match="ascending"):
        plateaus(TINY, None, 1.0, 1.0)
