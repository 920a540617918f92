"""What the names of NAS-Bench-201's cells say."""

import itertools

import numpy as np
import pytest

from profiler.tables.formats.nasbench201 import OPERATORS, Cells, read_cells

ALL = Cells(np.array(list(itertools.product(range(5), repeat=6))))


def name(*operators: str) -> str:
    a, b, c, d, e, f = operators
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def test_names_are_read_in_the_order_of_edges():
    cells = read_cells([name(*OPERATORS, "none")])
    assert cells is not None
    assert cells.codes.tolist() == [[0, 1, 2, 3, 4, 0]]


@pytest.mark.parametrize("text", ["", "7 8 1", "|none~0|", name("none", "none", "none", "none", "none", "conv_9x9")])
def test_other_names_are_no_cells(text: str):
    assert read_cells([text]) is None


def test_macs_are_those_that_are_published():
    assert ALL.macs().max() == pytest.approx(220.11969e6, rel=1e-5)
    assert ALL.macs().min() == pytest.approx(7.78305e6, rel=1e-5)
    assert ALL.macs(16, 120).max() == pytest.approx(55.037442e6, rel=1e-4)


def test_what_does_not_reach_the_output_is_not_live():
    cells = read_cells(
        [
            name("nor_conv_3x3", "none", "none", "skip_connect", "none", "none"),
            name("none", "none", "nor_conv_3x3", "none", "nor_conv_1x1", "none"),
        ]
    )
    assert cells is not None
    assert cells.live.tolist() == [[False] * 3 + [True] + [False] * 2, [False] * 6]
    assert cells.disconnected.tolist() == [False, True]
    assert cells.one_hot(live_only=True).sum() == 1
    assert cells.one_hot(live_only=False).sum() == 4


def test_swapped_nodes_do_the_same_work_unless_they_are_joined():
    one = name("nor_conv_3x3", "skip_connect", "none", "none", "avg_pool_3x3", "nor_conv_1x1")
    two = name("skip_connect", "nor_conv_3x3", "none", "none", "nor_conv_1x1", "avg_pool_3x3")
    cells = read_cells([one, two, one.replace("none~1", "skip_connect~1"), two.replace("none~1", "skip_connect~1")])
    assert cells is not None
    same = cells.same_work()
    assert same[0] == same[1]
    assert len(set(same[1:])) == 3


def test_same_work_is_the_same_number_of_each_operator():
    order = np.argsort(ALL.same_work(), kind="stable")
    same = ALL.same_work()[order]
    pairs = np.flatnonzero(same[1:] == same[:-1])
    assert len(pairs) == 1500
    codes = np.sort(ALL.codes[order], axis=1)
    assert np.array_equal(codes[pairs], codes[pairs + 1])


def test_contained_cells_differ_in_one_convolution():
    pairs = ALL.contains()
    assert len(pairs) == 6 * 2 * 2 * 5**5
    outer, inner = ALL.codes[pairs[:, 0]], ALL.codes[pairs[:, 1]]
    assert np.all(np.count_nonzero(outer != inner, axis=1) == 1)
    assert np.all(ALL.macs()[pairs[:, 0]] > ALL.macs()[pairs[:, 1]])
