"""Copies are told by what runs."""

from __future__ import annotations

import numpy as np

from predictors.classes import class_of, classes_of, folds_by_class
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload


def cell(dead: bool = False, width: int = 8) -> Workload:
    b = WorkloadBuilder()
    x = b.input((1, 8, 8, 8))
    y = b.relu(b.conv2d(x, width, 3, bias=True))
    if dead:
        b.conv2d(x, 64, 5)
    return b.build(y)


def test_what_no_output_needs_makes_no_other_network() -> None:
    assert cell().key != cell(dead=True).key
    assert class_of(cell(), "onnxruntime", "fp32") == class_of(cell(dead=True), "onnxruntime", "fp32")
    assert class_of(cell(), "onnxruntime", "fp32") != class_of(cell(width=9), "onnxruntime", "fp32")


def test_what_runs_twice_is_not_what_runs_once() -> None:
    def deep(n: int) -> Workload:
        b = WorkloadBuilder()
        x = b.input((1, 8, 8, 8))
        for _ in range(n):
            x = b.relu(b.conv2d(x, 8, 3, bias=True))
        return b.build(x)

    assert len(set(classes_of([deep(1), deep(2), deep(2)], "litert", "fp32"))) == 2


def test_folds_never_part_copies() -> None:
    rng = np.random.default_rng(0)
    classes = [f"c{i % 17}" for i in range(60)]
    folds = folds_by_class(classes, 5, rng)
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    for name in set(classes):
        assert len({int(f) for f, c in zip(folds, classes, strict=True) if c == name}) == 1
    per_fold = [len({c for f, c in zip(folds, classes, strict=True) if f == fold}) for fold in range(5)]
    assert max(per_fold) - min(per_fold) <= 1
    assert set(folds_by_class(["a", "a", "b"], 5, rng).tolist()) == {0, 1}
