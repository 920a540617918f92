"""The truth behind what is counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from profiler.fleet.virtual.simulated.hidden import with_changes
from profiler.fleet.virtual.simulated.presets import PRESETS
from profiler.measure.fusion_verdicts import Finding
from profiler.validation.observations import verdicts

NAN = math.nan


def found(pair: str) -> Finding:
    first, second = pair.split("+")
    return Finding((first, second), "fused", 1.0, NAN, NAN, NAN, NAN, NAN, 0.01, 0.01, ())


@pytest.mark.parametrize(
    ("pair", "truth"),
    [
        ("add+hswish", "fused"),
        ("add+relu6", "not"),
        ("conv2d+mul", "fused"),
        ("mul+relu", "not"),
        ("conv2d+relu", "fused"),
        ("linear+add", "not"),
    ],
)
def test_a_pair_is_fused_where_the_board_draws_the_second_into_the_first(pair: str, truth: str) -> None:
    """Also on a board where a pool before the pair would draw in its first operator, and leave the second alone."""
    fusion = with_changes(also={"add": ("hswish",), "avg_pool": ("add", "mul"), "conv2d": ("mul",)})
    spec = replace(PRESETS["rpi5"], fusion=fusion)
    (verdict,) = verdicts(spec, [found(pair)])
    assert verdict["pair"] == pair
    assert verdict["true"] == truth
