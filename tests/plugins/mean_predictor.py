"""A stranger's predictor, as short as one can be, as another package would offer it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predictors.base import CostModel, Prediction
from predictors.measured import Measurements
from profiler.workloads.graph import Workload

NAME = "mean"


class MeanModel(CostModel):
    """Every workload costs what the average one did."""

    name = NAME

    def __init__(self, level: float = 0.9) -> None:
        self.level = level

    def _fit(self, measurements: Measurements) -> None:
        measurements.need_models(self.name)
        self.mean_ms_ = sum(m.latency_ms for m in measurements.models) / len(measurements.models)

    def _estimate(self, workloads: Sequence[Workload]) -> list[Prediction]:
        half = self.level * self.mean_ms_
        low, high = self.mean_ms_ - half, self.mean_ms_ + half
        return [Prediction(self.mean_ms_, low, high, interval="made up") for _ in workloads]

    def state(self) -> dict[str, Any]:
        return {"mean_ms": self.mean_ms_}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean_ms_ = float(state["mean_ms"])


def install(folder: Path) -> None:
    """Make the folder, once on the path, what an installed package is: metadata that names the model."""
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgecost.predictors]\n{NAME} = tests.plugins.mean_predictor:MeanModel\n")
