"""The order of a campaign's jobs: rounds of groups, shuffled anew in every round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from profiler.measure.jobs import Job
from profiler.measure.preparation import Identity, identity_of

__all__ = ["RoundPlan"]


class RoundPlan:
    """Each job once a round; a group is all jobs of one subject, and they run next to each other.

    Args:
        jobs: what is measured; jobs of one identity count once.
        seed: of the order.
        mirrored: whether every second round runs in the reverse order of the one before (A B ... B A), for energies:
            what an idle power that drifts steadily does to A and to B is then the same over the two rounds. An even
            number of rounds is balanced.

    Attributes:
        jobs: by identity.
    """

    def __init__(self, jobs: Sequence[Job], seed: int, mirrored: bool = False) -> None:
        self.jobs: dict[Identity, Job] = {}
        for job in jobs:
            self.jobs.setdefault(identity_of(job), job)
        self._seed = seed
        self._mirrored = mirrored

    def groups(self, round_: int) -> Iterator[list[Job]]:
        """The groups of a round in random order, and the jobs within each in random order too.

        It depends on the jobs, the seed and the round only, so that an interrupted round goes on where it stopped.
        """
        order = self._shuffled(round_ // 2 if self._mirrored else round_)
        yield from (group[::-1] for group in order[::-1]) if self._mirrored and round_ % 2 else order

    def _shuffled(self, draw: int) -> list[list[Job]]:
        rng = np.random.default_rng([self._seed, draw])
        groups: dict[tuple[str, str], list[Job]] = {}
        for job in self.jobs.values():
            groups.setdefault((job.role.kind, job.role.subject_key), []).append(job)
        members = list(groups.values())
        return [
            [members[group][place] for place in rng.permutation(len(members[group]))]
            for group in rng.permutation(len(members))
        ]
