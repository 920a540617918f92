"""What the sentinel has seen in one round, and which figures it vouches for.

A worker process has a reference of its own: the first sentinel that succeeded in it. Each round has a fresh process,
and processes differ by a state of their own (memory layout, caches) that would look like a drift; how much they differ
is what rounds are there to find, and it is part of the reported uncertainty. A reference is confirmed by a second
sentinel of its process, or by one of an earlier round that it agrees with. Where one that is not confirmed and the next
sentinel disagree, nobody knows which of them was off, and the later one is taken.

A figure counts as vouched for once it lies between two sentinels that agree with the reference. All others are in
doubt: they are measured again. The state follows from the lines of the journal in their order, so that an interrupted
campaign finds again what was in doubt. It goes on with a new process, whose first sentinel vouches for nothing that
came before: a board may have moved and come back while nobody was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, log
from typing import Literal

from profiler.measure.level import Level
from profiler.measure.record import Measurement
from profiler.measure.stats import Estimate, estimate

__all__ = ["BEGINS", "DRIFT", "VERDICT", "Verdict", "Watch", "estimate_of"]

Verdict = Literal["reference", "good", "doubtful", "drifted", "failed"]

VERDICT = "sentinel_verdict"
DRIFT = "sentinel_drift"
BEGINS = "sentinel_begins"
"""Where in a sentinel's `env` its verdict is, how far it was from the reference, relatively, and whether a process
begins with it."""

_CHANCE = 2.5758293035489004
"""A move must exceed so many standard errors. Of sentinels that have not moved 1 % would, were it not that samples are
taken until their interval looks narrow: on autocorrelated samples it is 5 %, so the first of them is asked again."""

_SURE = 2.0
"""A move of more than so many times that is no noise: should the next sentinel be good again, then because a spell is
over in which the jobs before may have been measured."""

_LEAST = 1e-9


def estimate_of(measurement: Measurement) -> Estimate | None:
    """The estimate of one run in ns; None where there is no figure."""
    if measurement.status != "ok" or not measurement.samples_ns or measurement.runs_per_batch < 1:
        return None
    return estimate([sample / measurement.runs_per_batch for sample in measurement.samples_ns])


class Watch:
    """One round under the eyes of the sentinel.

    Args:
        drift: so far may the sentinel move, relatively.
        earlier: rounds before this one.
        level: of all sentinels of the campaign; what is far from their best vouches for nothing, whatever its process.

    Attributes:
        reference: what the sentinel is compared with; None before the first one.
        confirmed: the last reference with which a second sentinel has agreed; None as long as there is none.
        begun: how many processes of the round began with a sentinel; sentinels: how many other ones were run.
        good: whether the last one agreed with the reference.
        doubtful: whether the last one seemed to have moved, and another one is to say whether that was noise.
        lost: whether the board was given up on: it stays where it has moved to.
    """

    def __init__(self, drift: float, earlier: Sequence[Watch] = (), level: Level | None = None) -> None:
        self.reference: Estimate | None = None
        self.confirmed: Estimate | None = None
        self.begun = 0
        self.sentinels = 0
        self.good = False
        self.doubtful = False
        self.lost = False
        self._drift = drift
        self._earlier = tuple(earlier)
        self._level = level or Level(0.0)
        self._settled = False  # whether the reference is confirmed, and the process still the same
        self._may_move = False  # whether the next one that disagrees becomes the reference
        # job keys, in the order measured: since the last sentinel; and those to be measured again
        self._since: dict[str, None] = {}
        self._again: dict[str, None] = {}

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Keys of jobs that are to be measured again."""
        return tuple(self._again)

    @property
    def unwatched(self) -> tuple[str, ...]:
        """Keys of jobs that were measured since the last sentinel."""
        return tuple(self._since)

    def judge(self, found: Estimate | None, begins: bool) -> tuple[Verdict, float | None]:
        """What a sentinel's figure says, and its distance from the reference; changes nothing."""
        if found is None or found.median <= 0:
            return "failed", None
        if self._level.is_gross(found.median):
            return "drifted", log(found.median / (self._level.best_ns or found.median))
        if self.reference is None or begins:
            return "reference", None
        moved, excess = self._compare(found, self.reference)
        if excess <= 1:
            return "good", moved
        if self._may_move:
            return "reference", moved
        may_be_noise = excess <= _SURE and self.good and not self.doubtful
        return ("doubtful" if may_be_noise else "drifted"), moved

    def saw_sentinel(self, verdict: Verdict, found: Estimate | None, begins: bool) -> None:
        """A sentinel has been journaled with this verdict."""
        self.begun += begins
        self.sentinels += not begins
        if found is not None and found.median > 0:
            self._level.add(found.median)
        self.doubtful = verdict == "doubtful"
        if self.doubtful:
            return
        vouched = verdict == "good" and self.good
        if not vouched:
            self._again |= self._since
        self._since = {}
        self.good = verdict in ("good", "reference")
        if verdict == "reference":
            self.reference = found
            self._settled = found is not None and any(
                self._compare(found, watch.confirmed)[1] <= 1 for watch in self._earlier if watch.confirmed is not None
            )
        elif verdict == "good":
            self._settled = True
            self.confirmed = self.reference
        # a reference that nothing has confirmed may itself have been the one that was off
        self._may_move = not self.good and not self._settled
        self.lost = self.lost and not self.good

    def _compare(self, found: Estimate, other: Estimate) -> tuple[float, float]:
        """How far a figure is from another one, as a logarithm, and how many times as far as it may be.

        It may be as far as the drift allowed, or as the two figures' own uncertainty explains: neither noise nor a move
        too small to matter counts.
        """
        moved = log(found.median / other.median)
        errors = [e.standard_error / e.median for e in (found, other) if e.standard_error == e.standard_error]
        return moved, abs(moved) / max(self._drift, _CHANCE * hypot(*errors), _LEAST)

    def saw_job(self, key: str) -> None:
        """A job has been journaled with a figure."""
        self._again.pop(key, None)
        self._since[key] = None

    def settle(self, key: str) -> None:
        """A job's figure is kept as it is, in doubt or not."""
        self._again.pop(key, None)
        self._since.pop(key, None)

    def unsettle(self) -> None:
        """The worker process may be another one than that of the reference: a job has killed it, or a link broke."""
        self._settled = False

    def replay(self, measurement: Measurement) -> None:
        """Take in a line of the journal."""
        if measurement.role.kind == "sentinel":
            verdict = measurement.env.get(VERDICT)
            found = estimate_of(measurement)
            if found is None or verdict not in ("reference", "good", "doubtful"):
                verdict = "drifted" if found else "failed"
            self.saw_sentinel(verdict, found, measurement.env.get(BEGINS) is True)  # type: ignore[arg-type]
        elif "drifted" in measurement.issues:
            self.settle(measurement.job_key)
        elif measurement.status == "ok":
            self.saw_job(measurement.job_key)
