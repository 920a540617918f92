"""The dot chart of correlations: order, edges and names."""

from __future__ import annotations

import re

from edgecost.report.correlation_dots import DotRow, correlation_dots


def places(svg: str) -> list[float]:
    return [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)]


def test_higher_is_further_right_and_extremes_stand_at_the_edges() -> None:
    rows = [DotRow(str(value), "#000", value) for value in (-0.5, 0.0, 0.9, 0.99, 0.999, 1.0)]
    found = places(correlation_dots("t", rows, "x"))
    assert found[0] == found[1] < found[2] < found[3] < found[4] == found[5]
    # the axis is of the distance from 1: as far from .9 to .99 as from .99 to .999
    assert abs((found[3] - found[2]) - (found[4] - found[3])) < 0.2


def test_a_row_has_its_targets_and_what_is_missing_is_not_drawn() -> None:
    rows = [DotRow("<a>", "#000", 0.9, [("t1", 0.8), ("t2", 0.95)]), DotRow("b", "#000", None)]
    svg = correlation_dots("t", rows, "x")
    assert len(places(svg)) == 3
    assert "t2: 0.950" in svg
    assert "<a>" not in svg
    assert correlation_dots("t", [DotRow("b", "#000", None)], "x") == ""
