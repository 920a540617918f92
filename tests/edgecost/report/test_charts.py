"""Charts: every point is where it belongs, what is beyond the range is left out, and text is escaped."""

import math
import re

from edgecost.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, chart


def circles(svg):
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_points_keep_their_order_and_stay_within():
    svg = chart("t", [Series("a", "points", [1, 10, 100], [3, 2, 1], "#000")], "x", "y", log_x=True)
    (x1, y1), (x2, y2), (x3, y3) = circles(svg)
    assert LEFT < x1 < x2 < x3 < WIDTH
    assert 0 < y1 < y2 < y3 < HEIGHT
    # decades are equally far apart
    assert math.isclose(x2 - x1, x3 - x2, abs_tol=0.2)
    assert math.isclose(y2 - y1, y3 - y2, abs_tol=0.2)


def test_what_cannot_be_drawn_is_left_out():
    series = Series("a", "points", [-1, 1, 2, 3, math.nan], [1, 1, 50, math.nan, 1], "#000")
    assert len(circles(chart("t", [series], "x", "y", log_x=True, y_range=(0, 10)))) == 1
    assert chart("t", [Series("a", "line", [], [], "#000")], "x", "y") == ""
    assert chart("t", [Series("a", "points", [5], [math.nan], "#000")], "x", "y") == ""


def test_a_single_value_and_a_staircase_are_drawn():
    assert len(circles(chart("t", [Series("a", "points", [5], [7], "#000")], "x", "y"))) == 1
    svg = chart("t", [Series("a", "step", [1, 2, 3], [1, 2, 3], "#123456")], "x", "y")
    path = re.search(r'<path d="([^"]+)" fill="none" stroke="#123456"', svg)[1]
    assert re.fullmatch(r"M[\d. ]+(H[\d.]+V[\d.]+){2}", path)


def test_text_is_escaped():
    svg = chart("<b>", [Series("<i>", "points", [1, 2], [1, 2], "#000", notes=["<script>", "&"])], "<x>", "<y>")
    for word in ("<i>", "<script>", "<x>", "<y>"):
        assert word not in svg
    assert svg.count("<b>") == 1  # the one of the figure's own caption
    assert "&lt;script&gt;" in svg


def test_equal_ranges_on_logarithmic_axes_put_equal_values_on_the_diagonal():
    series = Series("a", "points", [0.001, 0.1, 10, 100], [0.001, 0.1, 10, 1], "#000")
    svg = chart("t", [series], "x", "y", log_x=True, log_y=True, x_range=(0.001, 10), y_range=(0.001, 10))
    (x1, y1), (x2, y2), (x3, y3) = circles(svg)  # 100 lies beyond
    assert math.isclose(x2 - x1, x3 - x2, abs_tol=0.2)
    assert math.isclose(y1 - y2, y2 - y3, abs_tol=0.2)
    assert y1 > y2 > y3


def test_what_is_beyond_a_given_range_moves_no_axis():
    series = Series("a", "points", [1, 100], [1, 1000], "#000")
    ((x, y),) = circles(chart("t", [series], "x", "y", log_x=True, x_range=(0.1, 10)))
    assert math.isclose(x, (LEFT + WIDTH - RIGHT) / 2, abs_tol=0.2)
    assert math.isclose(y, (TOP + HEIGHT - BOTTOM) / 2, abs_tol=0.2)


def test_many_dots_are_one_path():
    svg = chart("t", [Series("a", "dots", [1, 2, math.nan], [1, 2, 3], "#123456")], "x", "y")
    path = re.search(r'<path d="([^"]+)" fill="none" stroke="#123456"', svg)[1]
    assert path.count("h0") == 2
    assert "●" in svg


def test_long_logarithmic_axes_name_decades_only():
    svg = chart("t", [Series("a", "points", [1e-5, 10], [1, 2], "#000")], "x", "y", log_x=True)
    named = re.findall(r'text-anchor="middle">([\de.-]+)<', svg)
    assert named == ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1", "10"]
