"""The entries of a board's journal as they are told: in order, of jobs that can be meant, and each job ended once.

What is kept of an entry is a few bytes, however large it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from profiler.errors import AgentCrashed
from profiler.fleet.messages import Hello, Result, Started

__all__ = ["Ledger"]

MOST_JOBS = 250_000
"""More than any run has: a journal of more jobs is none."""

MOST_STARTS = 10_000
"""Of one job."""


class Ledger:
    """What the host knows of the jobs of one session.

    Entries that the board had when the host came may be of any job: an earlier host process has asked for them. Later
    ones must be of jobs that were waiting then or that were handed over since.

    Args:
        device_id: of the board, for errors.

    Attributes:
        next_seq: the number of the entry that comes next.
    """

    def __init__(self, device_id: str) -> None:
        self.next_seq = 0
        self._device_id = device_id
        self._entries = 0
        self._starts: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._strangers = 0
        self._queued = 0
        self._running: str | None = None

    @property
    def replaying(self) -> bool:
        """Whether the next entry is one that the board had when it was greeted last."""
        return self.next_seq < self._entries

    @property
    def idle(self) -> bool:
        """Whether the board has done all that it was given, by this host process or an earlier one."""
        return not self._waiting and self._strangers == 0 and not self.replaying

    def greet(self, hello: Hello, since: int) -> None:
        """The board has named its journal's length and its queue; entries from `since` on follow."""
        if hello.entries < max(since, self.next_seq):
            raise self._nonsense(f"a journal of {hello.entries} entries, which had more")
        if hello.running is not None:
            self._waiting.add(hello.running)
        self.next_seq = since
        self._entries = hello.entries
        self._running = hello.running
        self._queued = hello.queued
        if not self.replaying:
            self._settle()

    def hand_over(self, ids: Iterable[str]) -> None:
        """These jobs go to the board."""
        self._waiting |= set(ids)

    def has_ended(self, id_: str) -> bool:
        """Whether the journal holds its result."""
        return id_ in self._ended

    def place(self, id_: str) -> int:
        """Number of the entry that is its result."""
        return self._ended[id_]

    def take(self, entry: Started | Result) -> None:
        """The board tells an entry.

        Raises:
            AgentCrashed: it cannot be true.
        """
        if entry.seq != self.next_seq:
            raise self._nonsense(f"entry {entry.seq} of its journal where {self.next_seq} was due")
        live = not self.replaying
        self._judge(entry, live)
        self.next_seq += 1
        if live:
            self._running = entry.id if isinstance(entry, Started) else None
        elif not self.replaying:
            self._settle()

    def _judge(self, entry: Started | Result, live: bool) -> None:
        again = self._ended.get(entry.id)
        if again == entry.seq and isinstance(entry, Result):
            self._waiting.discard(entry.id)
            return  # an old entry, asked for once more
        if again is not None and (isinstance(entry, Result) or again < entry.seq):
            raise self._nonsense(f"more about job {entry.id}, which had ended")
        if isinstance(entry, Result):
            if entry.id not in self._starts or (live and entry.id != self._running):
                raise self._nonsense(f"the result of job {entry.id}, which was not running")
            self._ended[entry.id] = entry.seq
            self._waiting.discard(entry.id)
        elif again is None:
            self._count(entry.id)
            if live:
                self._begin(entry.id)

    def _settle(self) -> None:
        """All old entries are known: of the jobs that were queued then, so many are none that we know of."""
        self._strangers = max(0, self._queued - len(self._waiting - {self._running}))

    def _begin(self, id_: str) -> None:
        if self._running is not None:
            raise self._nonsense(f"job {id_}, begun while {self._running} was running")
        if id_ not in self._waiting:
            if self._strangers == 0:
                raise self._nonsense(f"job {id_}, which nobody has given it")
            self._strangers -= 1
            self._waiting.add(id_)

    def _count(self, id_: str) -> None:
        count = self._starts[id_] = self._starts.get(id_, 0) + 1
        if count > MOST_STARTS or len(self._starts) > MOST_JOBS:
            raise self._nonsense("a journal beyond all measure")

    def interrupted(self, running: str | None) -> Sequence[str]:
        """Jobs that were begun and neither ended nor are `running`, once for every such beginning."""
        return [
            id_ for id_, starts in self._starts.items() for _ in range(starts - (id_ in self._ended) - (id_ == running))
        ]

    def _nonsense(self, what: str) -> AgentCrashed:
        return AgentCrashed(
            f"The agent on {self._device_id} told of {what}: run this again, and if it stays so, delete the "
            "sessions in the board's workdir.",
            self._device_id,
        )
