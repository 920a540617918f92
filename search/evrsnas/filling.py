"""Filling a score store: which networks are still to be trained, in what portions, and what searches read of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.evrsnas.course import Course, steps_to_record
from search.evrsnas.parts import ScoreRow, row_key
from search.evrsnas.scoring import RmiScorer
from search.evrsnas.store import RmiStore
from search.spaces.base import Architecture, SearchSpace

__all__ = ["FillingScorer", "Portion", "open_networks", "portions", "sample_classes", "score_portion", "stored_score"]

Network = tuple[Architecture, int]
"""An architecture and the number of one of its fresh networks."""


@dataclass(frozen=True)
class Portion:
    """What one process trains before it reports.

    Attributes:
        scorer: how; it travels with the work, so that workers need no files.
        networks: what to train.
        at: the steps to record.
        in_flight: how many are trained together; 1 trains one after another.
    """

    scorer: RmiScorer
    networks: tuple[Network, ...]
    at: tuple[int, ...]
    in_flight: int = 1


def sample_classes(space: SearchSpace, count: int | None, seed: int) -> list[Architecture]:
    """Distinct isomorphism classes by their representatives: so many drawn by the seed, or all of the space.

    Architectures are drawn uniformly without those whose output does not depend on their input; the first N of a
    larger sample are the sample of N.
    """
    chosen: dict[str, Architecture] = {}
    if count is None:
        drawn: Iterable[Architecture] = space.all()
    elif space.size <= 100_000:
        drawn = (space.at(int(i)) for i in np.random.default_rng([seed, 201]).permutation(space.size))
    else:
        drawn = _endless(space, seed, 20 * count)
    for arch in drawn:
        if count is not None and len(chosen) >= count:
            break
        if space.connected(arch):
            chosen.setdefault(space.canonical(arch), space.representative(arch))
    return list(chosen.values())


def open_networks(
    architectures: Sequence[Architecture], scorer: RmiScorer, store: RmiStore, networks: int, at: Sequence[int]
) -> list[Network]:
    """Networks that lack a row of the store at one of the steps."""
    identity, seed = scorer.course_identity, scorer.seed
    names = [(arch, scorer.space.canonical(arch)) for arch in architectures]
    return [
        (arch, network)
        for arch, name in names
        for network in range(networks)
        if any(row_key(identity, name, seed, network, step) not in store for step in at)
    ]


def portions(
    scorer: RmiScorer, networks: Sequence[Network], at: Sequence[int], in_flight: int, size: int
) -> list[Portion]:
    """The work in portions of about so many networks."""
    size = max(size, in_flight)
    cuts = range(0, len(networks), size)
    return [Portion(scorer, tuple(networks[i : i + size]), tuple(at), in_flight) for i in cuts]


def score_portion(portion: Portion) -> list[ScoreRow]:
    """Train a portion's networks; the rows to store."""
    scorer, rows = portion.scorer, list[ScoreRow]()
    for start in range(0, len(portion.networks), portion.in_flight):
        chunk = portion.networks[start : start + portion.in_flight]
        if portion.in_flight > 1:
            courses = scorer.courses(chunk, portion.at)
        else:
            courses = [scorer.course(arch, network, portion.at) for arch, network in chunk]
        for (arch, network), course in zip(chunk, courses, strict=True):
            rows += _rows_of(scorer, arch, network, course, portion.at)
    return rows


def stored_score(
    store: RmiStore, scorer: RmiScorer, arch: Architecture, steps: int | None = None, networks: int | None = None
) -> float | None:
    """The mean score of an architecture's fresh networks as the preset ranks; NaN where one diverged, None where a
    row is missing.

    Args:
        store, scorer, arch: where, how, what.
        steps, networks: other than the preset's; a store filled for more answers for fewer.
    """
    how = scorer.preset
    steps, networks = how.steps if steps is None else steps, how.networks if networks is None else networks
    name = scorer.space.canonical(arch)
    scores: list[float] = []
    for network in range(networks):
        row = store.get(row_key(scorer.course_identity, name, scorer.seed, network, steps))
        if row is None:
            return None
        scores.append(row.phi if how.kind == "phi" else -row.mixed_loss(how.rmi_weight))
    return math.fsum(scores) / len(scores)


class FillingScorer:
    """A score function for searches: out of the store, and what is missing is scored and kept.

    Attributes:
        computed: networks trained rather than found.
        identity: that of the scorer: scores are the same.
    """

    def __init__(self, scorer: RmiScorer, store: RmiStore) -> None:
        self.computed = 0
        self.identity = scorer.identity
        self._scorer, self._store = scorer, store

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Scores, higher is better, in the order given; NaN where there is none to be had."""
        return np.array([self._score(a) for a in architectures], dtype=np.float64)

    def _score(self, arch: Architecture) -> float:
        known = stored_score(self._store, self._scorer, arch)
        if known is None:
            how = self._scorer.preset
            arch = self._scorer.space.representative(arch)
            todo = open_networks([arch], self._scorer, self._store, how.networks, (how.steps,))
            self._store.append(score_portion(Portion(self._scorer, tuple(todo), steps_to_record(how.steps))))
            self._store.describe(self._scorer.course_identity, self._scorer.course_settings)
            self._store.compact_many()
            self.computed += len(todo)
            known = stored_score(self._store, self._scorer, arch)
        return math.nan if known is None else known


def _rows_of(
    scorer: RmiScorer, arch: Architecture, network: int, course: Course, at: Sequence[int]
) -> Iterator[ScoreRow]:
    name = scorer.space.canonical(arch)
    points = {p.step: p for p in course.points}
    identity, seed = scorer.course_identity, scorer.seed
    for step in at:
        point = points.get(step)
        if point is None:
            nothing = (math.nan, math.nan, math.nan, math.nan)
            yield ScoreRow(identity, name, seed, network, step, *nothing, True, 0.0)
        else:
            first, second, third = point.rmis
            entropy, seconds = point.cross_entropy, round(point.seconds, 4)
            yield ScoreRow(identity, name, seed, network, step, first, second, third, entropy, False, seconds)


def _endless(space: SearchSpace, seed: int, limit: int) -> Iterator[Architecture]:
    rng = np.random.default_rng([seed, 201])
    for _ in range(limit):
        yield space.sample(rng)
