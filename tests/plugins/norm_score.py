"""A stranger's training-free score, as short as one can be, as another package would offer it."""

from __future__ import annotations

from pathlib import Path

from search.evrsnas.proxies.base import Probe, TrainingFreeScore

NAME = "norm"


class NormScore(TrainingFreeScore):
    """The norm of all fresh weights."""

    name = NAME
    sees_images = False

    def _compute(self, probe: Probe) -> float:
        return sum(float(p.detach().norm()) for p in probe.module.parameters())


def install(folder: Path, target: str = "tests.plugins.norm_score:NormScore", name: str = NAME) -> None:
    """Make the folder, once on the path, what an installed package is: metadata that names the score."""
    info = folder / "stranger_score-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-score\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgecost.proxies]\n{name} = {target}\n")
