"""Where windows lie, and when the runtime's SAME puts them there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from profiler.workloads.builders.tflite_windows import place


def test_place_gives_the_windows_of_the_workload() -> None:
    for size in range(5, 12):
        for kernel in (1, 2, 3, 5):
            for stride in (1, 2, 3):
                for before, after in [(0, 0), (1, 1), (0, 1), (1, 0), (2, 2)]:
                    placed = place(size, kernel, stride, before, after)
                    padded = np.pad(np.ones(size), (before, after))
                    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel)[::stride]
                    assert placed.out == len(windows)
                    assert placed.counts.tolist() == windows.sum(axis=1).astype(int).tolist()
                    assert placed.before == before
                    assert placed.after <= after
                    assert all(b - a == stride for a, b in pairwise(placed.first.tolist()))


def test_place_knows_the_rule_of_same() -> None:
    assert place(14, 3, 1, 1, 1).same
    assert place(15, 3, 2, 1, 1).same
    assert place(14, 3, 2, 0, 1).same  # SAME pads behind
    assert not place(14, 3, 2, 1, 1).same
    assert not place(14, 3, 1, 0, 0).same
    assert place(14, 3, 1, 2, 2, dilation=2).same
