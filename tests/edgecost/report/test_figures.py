"""The report's figures: what is unknown is not drawn, and labels stay legible."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgecost.report.figures import heat_map, parity

pytest.importorskip("bokeh")


def _kernels(count: int) -> list[dict[str, Any]]:
    return [
        {
            "label": f"conv2d {i}",
            "target": "a",
            "marginal_us": 1.0 + i,
            "isolated_us": None,
            "spread_pct": 1.0,
            "issues": "",
        }
        for i in range(count)
    ]


def test_unknown_sum_of_isolated_operators_is_no_point_at_nought() -> None:
    point = {
        "label": "n",
        "measured_ms": 1.0,
        "predicted_ms": 1.1,
        "low_ms": None,
        "high_ms": None,
        "isolated_ms": None,
    }
    grid = parity({"a": [point, {**point, "isolated_ms": 2.0}]}, {"a": "a"})

    (plot, _, _) = grid.children[0]
    drawn = [r.data_source.data["isolated_ms"] for r in plot.renderers if "isolated_ms" in r.data_source.data]
    assert drawn
    for values in drawn:
        assert math.isnan(values[0])
        assert values[1] == 2.0


def test_network_without_a_prediction_is_not_drawn() -> None:
    point = {
        "label": "n",
        "measured_ms": 1.0,
        "predicted_ms": None,
        "low_ms": None,
        "high_ms": None,
        "isolated_ms": None,
    }
    grid = parity({"a": [point]}, {"a": "a"})

    (plot, _, _) = grid.children[0]
    drawn = [r.data_source.data["predicted_ms"] for r in plot.renderers if "predicted_ms" in r.data_source.data]
    assert drawn
    assert all(math.isnan(values[0]) for values in drawn)


@pytest.mark.parametrize(("count", "labelled"), [(10, True), (400, False)])
def test_labels_that_would_lie_upon_each_other_are_left_out(count: int, labelled: bool) -> None:
    plot = heat_map(_kernels(count), ["a"])

    assert (plot.yaxis[0].major_label_text_font_size != "0px") == labelled
    assert (plot.yaxis[0].axis_label is None) == labelled
    assert labelled or str(count) in plot.yaxis[0].axis_label
