"""Cells of NAS-Bench-201 as tables name them: "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...~0|...~1|...~2|".

A cell has four nodes and six edges; what holds for its costs on any device follows from the names alone: how often
each operator occurs, what reaches the output, which cells do the same work, and which contains which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["OPERATORS", "Cells", "read_cells"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_NONE = 0
_CONVOLUTIONS = (OPERATORS.index("nor_conv_1x1"), OPERATORS.index("nor_conv_3x3"))
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to) in the order in which names list them."""

_RELABELLED = (1, 0, 2, 3, 5, 4)
"""The order of the edges when nodes 1 and 2 swap names, which they can where no edge joins them."""

_CELLS_A_STAGE, _CHANNELS = 5, 16
_PLACES = np.array([1, 5, 25, 125, 625, 3125])


@dataclass(frozen=True, eq=False)
class Cells:
    """n cells.

    Attributes:
        codes: (n, 6) index into OPERATORS of every edge.
    """

    codes: Integers

    @property
    def live(self) -> Bools:
        """(n, 6) whether an edge lies on a way from the input to the output."""
        present = self.codes != _NONE
        reached, needed = np.zeros((len(self.codes), 4), dtype=bool), np.zeros((len(self.codes), 4), dtype=bool)
        reached[:, 0] = needed[:, 3] = True
        for edge, (begin, end) in enumerate(_EDGES):
            reached[:, end] |= reached[:, begin] & present[:, edge]
        for edge, (begin, end) in reversed(list(enumerate(_EDGES))):
            needed[:, begin] |= needed[:, end] & present[:, edge]
        begins, ends = (list(nodes) for nodes in zip(*_EDGES, strict=True))
        found: Bools = present & reached[:, begins] & needed[:, ends]
        return found

    @property
    def disconnected(self) -> Bools:
        """(n,) whether nothing of the input reaches the output."""
        found: Bools = ~np.any(self.live, axis=1)
        return found

    def one_hot(self, live_only: bool) -> Floats:
        """(n, 24) which operator each edge holds; without those that don't reach the output where asked."""
        codes = np.where(self.live, self.codes, _NONE) if live_only else self.codes
        found: Floats = (codes[:, :, None] == np.arange(1, len(OPERATORS))).reshape(len(codes), -1).astype(np.float64)
        return found

    def macs(self, pixels: int = 32, classes: int = 10) -> Floats:
        """(n,) multiply-adds of the whole network of 15 cells, with stem, two reductions and classifier."""
        area, width = pixels * pixels, _CHANNELS
        pointwise = width * width * area  # the same in every stage: twice the channels on a quarter of the pixels
        ones = np.count_nonzero(self.codes == OPERATORS.index("nor_conv_1x1"), axis=1)
        threes = np.count_nonzero(self.codes == OPERATORS.index("nor_conv_3x3"), axis=1)
        cells = 3 * _CELLS_A_STAGE * pointwise * (ones + 9 * threes)
        stem = 9 * 3 * width * area
        reductions = 2 * pointwise * (9 / 2 + 9 + 1 / 2)
        found: Floats = cells + stem + reductions + 4 * width * classes
        return found

    def same_work(self) -> Integers:
        """(n,) the same number for cells that differ only in the names of their nodes, or not at all."""
        own = self.codes @ _PLACES
        other = self.codes[:, _RELABELLED] @ _PLACES
        joined = self.codes[:, 2] != _NONE
        found: Integers = np.where(joined, own, np.minimum(own, other))
        return found

    def contains(self) -> Integers:
        """(pairs, 2) rows of which the second is the first with `none` or `skip_connect` instead of one convolution.

        Leaving out anything else is no reliable saving: some runtimes multiply by zero where `none` stands, which takes
        longer than a skipped connection.
        """
        own = self.codes @ _PLACES
        order = np.argsort(own, kind="stable")
        ordered = own[order]
        pairs = [np.empty((0, 2), dtype=np.int64)]
        for edge in range(len(_EDGES)):
            rows = np.flatnonzero(np.isin(self.codes[:, edge], _CONVOLUTIONS))
            for instead in (_NONE, OPERATORS.index("skip_connect")):
                smaller = own[rows] + (instead - self.codes[rows, edge]) * _PLACES[edge]
                at = np.minimum(np.searchsorted(ordered, smaller), len(ordered) - 1)
                there = ordered[at] == smaller
                pairs.append(np.column_stack([rows[there], order[at[there]]]))
        return np.concatenate(pairs)


def read_cells(names: Sequence[str]) -> Cells | None:
    """The cells of these names; None where one of them is no such cell."""
    codes = np.empty((len(names), len(_EDGES)), dtype=np.int64)
    by_name = {name: code for code, name in enumerate(OPERATORS)}
    for row, name in enumerate(names):
        found = re.findall(r"\|?([a-z_0-9]+)~(\d)", name) if name.startswith("|") else []
        if len(found) != len(_EDGES) or [int(n) for _, n in found] != [begin for begin, _ in _EDGES]:
            return None
        if any(operator not in by_name for operator, _ in found):
            return None
        codes[row] = [by_name[operator] for operator, _ in found]
    return Cells(codes) if len(names) else None
