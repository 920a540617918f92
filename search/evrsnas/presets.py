"""How candidates are scored: the paper's way and cheaper ones, each under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from profiler.errors import ConfigError

__all__ = ["PRESETS", "ScorePreset", "preset"]


@dataclass(frozen=True, slots=True)
class ScorePreset:
    """How candidates are scored.

    Attributes:
        name: what it is called on the command line.
        channels, cells_per_stage, image_size: the candidate's macro network (`SearchSpace.reduced`); images are
            averaged down to its size, while the reference always sees 32 x 32.
        steps: training steps on the batch; 0 scores networks as initialised.
        networks: fresh networks whose scores are averaged.
        balanced: choose the batch class by class.
        batch_size, pool: n, and the number of random training images it is chosen from.
        kind: "phi", or "mixed_loss" for the negated loss that RMI-NAS ranks by.
        learning_rate, momentum, weight_decay, rmi_weight: of the brief training.
        threads: how many torch may use; None leaves it to torch. See `search.threads`.
    """

    name: str
    channels: int = 16
    cells_per_stage: int = 5
    image_size: int = 32
    steps: int = 150
    networks: int = 1
    balanced: bool = False
    batch_size: int = 32
    pool: int = 512
    kind: Literal["phi", "mixed_loss"] = "phi"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    rmi_weight: float = 0.8
    threads: int | None = 1

    def __post_init__(self) -> None:
        if self.steps < 0 or self.networks < 1 or self.batch_size < 2 or self.pool < self.batch_size:
            raise ConfigError(
                f"score preset {self.name!r}: steps must not be negative, networks at least 1, "
                "the batch at least 2 images and the pool no smaller than the batch"
            )
        if self.kind not in ("phi", "mixed_loss"):
            raise ConfigError(f"score preset {self.name!r}: a score is 'phi' or 'mixed_loss', not {self.kind!r}")


PRESETS: dict[str, ScorePreset] = {
    p.name: p
    for p in (
        ScorePreset("paper", threads=None),
        ScorePreset("quick", channels=8, cells_per_stage=1, image_size=16, steps=5, networks=4, balanced=True),
        ScorePreset("reduced", channels=8, cells_per_stage=1),
        ScorePreset("reduced16", channels=16, cells_per_stage=1, image_size=16, steps=50),
        ScorePreset("untrained", channels=8, cells_per_stage=1, steps=0, networks=4),
    )
}
"""By name. "paper": the whole network, trained for 150 steps. The others are ours: "quick", a small network and small
images on two CPU cores; "reduced", as "paper" with C = 8 and one cell a stage; "reduced16", one cell a stage and
16 x 16 input; "untrained", the mean over four networks as initialised."""


def preset(name: str) -> ScorePreset:
    """The preset of a name (ConfigError where there is none)."""
    if name not in PRESETS:
        raise ConfigError(f"there is no score preset {name!r}; known are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
