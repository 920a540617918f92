"""The cases of a proof: which boards there are, and what is measured on each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from profiler.errors import ConfigError
from profiler.fleet.virtual.simulated.spec import SimulatedSpec
from profiler.measure.campaign import PROTOCOL_VERSION
from profiler.measure.config import MeasureConfig
from profiler.validation import drawn
from profiler.validation.networks import kernel_names, network_names

__all__ = ["FAMILIES", "USUAL_JOBS", "Case", "cases_of"]

USUAL_JOBS = 1600
"""Figures, by which all families are scaled: so many are there of quiet and of drifting boards together."""

_MODELS = MeasureConfig(target_half_width=0.005)
"""The protocol as it is, with the interval that it asks of models."""

_BLOCK = 10
_STEP_JOBS = 24
_CALM_S, _UNTIL_S = 20.0, 90.0
"""On a board that moves: the sentinel's spacing, jobs a round, and when it may move; these jobs take two minutes."""


@dataclass(frozen=True, slots=True)
class Case:
    """One board, and what is measured on it.

    Attributes:
        id: its name.
        family: why it is measured; a key of FAMILIES.
        spec: the board.
        names: networks and kernels, by name; none where pairs are tried.
        pairs: pairs of operators whose fusion is tried, as "conv2d+relu".
        config: how it is measured.
        today: whether a twin of the board is measured by the protocol of today's tools.
    """

    id: str
    family: str
    spec: SimulatedSpec
    names: tuple[str, ...]
    config: MeasureConfig
    pairs: tuple[str, ...] = ()
    today: bool = False

    @property
    def digest(self) -> str:
        """Changes with all that a result depends on but the code."""
        parts = [PROTOCOL_VERSION, self.spec.to_dict(), self.names, asdict(self.config), self.pairs, self.today]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Family:
    """Boards of a kind: how many for USUAL_JOBS, and how one is made."""

    boards: int
    make: Callable[[np.random.Generator, str], Case]


def _names(rng: np.random.Generator, networks: int, kernels: int) -> tuple[str, ...]:
    some = rng.choice(network_names(), networks, replace=False), rng.choice(kernel_names(), kernels, replace=False)
    return tuple(str(name) for name in (*some[0], *some[1]))


def _config(rng: np.random.Generator, config: MeasureConfig = _MODELS) -> MeasureConfig:
    return replace(config, seed=int(rng.integers(1 << 31)))


def _quiet(rng: np.random.Generator, name: str) -> Case:
    return Case(name, "quiet", drawn.quiet(rng), _names(rng, 3, 1), _config(rng), today=_every(name, 4))


def _drifting(rng: np.random.Generator, name: str) -> Case:
    return Case(name, "drifting", drawn.drifting(rng), _names(rng, 3, 1), _config(rng), today=_every(name, 4))


def _hot(rng: np.random.Generator, name: str) -> Case:
    return Case(name, "hot", drawn.hot(rng), _names(rng, 5, 0), _config(rng), today=_every(name, 2))


def _stepping(rng: np.random.Generator, name: str) -> Case:
    config = _config(rng, replace(_MODELS, rounds=1, sentinel_jobs=_BLOCK))
    return Case(name, "stepping", drawn.stepping(rng, _CALM_S, _UNTIL_S), _names(rng, _STEP_JOBS, 0), config)


def _metered(rng: np.random.Generator, name: str) -> Case:
    config = replace(_MODELS, energy=True)
    return Case(name, "metered", drawn.metered(rng), _names(rng, 3, 0), _config(rng, config))


def _stepless(rng: np.random.Generator, name: str) -> Case:
    """A board whose power step is far below what any of the sensors could show."""
    config = replace(_MODELS, energy=True)
    return Case(
        name, "stepless", drawn.metered(rng, least_w=2e-5, most_w=1e-4), _names(rng, 3, 0), _config(rng, config)
    )


def _fusing(rng: np.random.Generator, name: str) -> Case:
    heads = rng.choice(("conv2d", "depthwise", "add", "mul", "avg_pool", "max_pool", "linear"), 8)
    pairs = []
    for head in heads:
        tails = [kind for kind in drawn.FUSABLE if head != "linear" or kind in ("relu", "relu6", "add")]
        pairs.append(f"{head}+{rng.choice(tails)}")
    return Case(name, "fusing", drawn.fusing(rng), (), _config(rng, MeasureConfig()), pairs=tuple(dict.fromkeys(pairs)))


def _every(name: str, so_many: int) -> bool:
    return int(name.rsplit("-", 1)[1]) % so_many == 0


FAMILIES: dict[str, _Family] = {
    "quiet": _Family(200, _quiet),
    "drifting": _Family(200, _drifting),
    "hot": _Family(70, _hot),
    "stepping": _Family(60, _stepping),
    "metered": _Family(90, _metered),
    "stepless": _Family(20, _stepless),
    "fusing": _Family(16, _fusing),
}


def cases_of(seed: int, jobs: int, families: Collection[str]) -> Iterator[Case]:
    """The cases of some families, in order; each is drawn by seed, family and number alone.

    Args:
        seed: of all that is drawn.
        jobs: how many figures of quiet and drifting boards there are together; other families go with it.
        families: keys of FAMILIES.

    Raises:
        ConfigError: there are less than eight jobs.
    """
    if jobs < 8:
        raise ConfigError(f"a proof has at least 8 jobs, not {jobs}")
    for place, (name, family) in enumerate(FAMILIES.items()):
        if name not in families:
            continue
        for number in range(max(1, -(-family.boards * jobs // USUAL_JOBS))):
            yield family.make(np.random.default_rng([seed, place, number]), f"{name}-{number:04d}")
