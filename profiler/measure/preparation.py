"""The host's part of a campaign: every job with its artefact, made in the order of the first round, ahead of the board.

While a board measures the first jobs, the next ones are still being lowered. A board that is this very machine must
not be measured meanwhile: then everything is made first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from profiler.errors import ArtefactError, UnsupportedOperator
from profiler.fleet.targets import Target
from profiler.measure.board import ArtefactLike, ArtefactSource
from profiler.measure.jobs import Job
from profiler.measure.link import CampaignStopped
from profiler.measure.record import Role, Status

__all__ = ["Identity", "Preparation", "Prepared", "identity_of"]

_POLL_S = 0.2

Identity = tuple[str, Role]
"""What stays the same of a job from round to round."""


def identity_of(job: Job) -> Identity:
    """Two jobs of one identity are one."""
    return (job.workload.key, job.role)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job with its artefact, or with why it has none.

    Attributes:
        job: what is measured.
        artefact: what a board runs; None where there is none.
        artefact_bytes: its size.
        failure, error: why there is none; "ok" where there is one.
    """

    job: Job
    artefact: ArtefactLike | None
    artefact_bytes: int = 0
    failure: Status = "ok"
    error: str = ""

    @property
    def identity(self) -> Identity:
        """What stays the same from round to round."""
        return identity_of(self.job)

    @property
    def artefact_sha256(self) -> str:
        """Of the file; "" where there is none."""
        return self.artefact.sha256 if self.artefact else ""


class Preparation:
    """Makes artefacts in the background; a context manager that gives up what is not begun.

    Args:
        source: where artefacts come from; asked from several threads.
        target: what they are for.
        jobs: in the order in which they are wanted.
        stop: ends every wait when it is set.
    """

    def __init__(self, source: ArtefactSource, target: Target, jobs: Iterable[Job], stop: threading.Event) -> None:
        self._source = source
        self._target = target
        self._stop = stop
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="lowering")
        self._futures: dict[Identity, Future[Prepared]] = {}
        for job in jobs:
            if identity_of(job) not in self._futures:
                self._futures[identity_of(job)] = self._pool.submit(self._prepare, job)
        self._pool.shutdown(wait=False)  # nothing is added any more: the threads end with the last job

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ready(self, jobs: Sequence[Job]) -> bool:
        """Whether all of them can be had at once."""
        return all(self._futures[identity_of(job)].done() for job in jobs)

    def take(self, job: Job) -> Prepared:
        """A job with its artefact, waited for.

        Raises:
            CampaignStopped: while waiting.
            StorageError: the folder of artefacts cannot be used.
        """
        return self._result(self._futures[identity_of(job)])

    def wait(self) -> None:
        """Until all is made; raises as `take`."""
        for future in self._futures.values():
            self._result(future)

    def _result(self, future: Future[Prepared]) -> Prepared:
        while not future.done():
            wait([future], _POLL_S)
            if self._stop.is_set():
                raise CampaignStopped
        try:
            return future.result()
        except CancelledError:
            raise CampaignStopped from None

    def _prepare(self, job: Job) -> Prepared:
        if self._stop.is_set():
            raise CampaignStopped
        try:
            artefact = self._source.get(job.workload, self._target.runtime, self._target.precision)
        except UnsupportedOperator as error:
            return Prepared(job, None, failure="unsupported_operator", error=str(error))
        except ArtefactError as error:
            return Prepared(job, None, failure="conversion_failed", error=str(error))
        return Prepared(job, artefact, _size(artefact))


def _size(artefact: ArtefactLike) -> int:
    """Of its file; 0 where it has none that can be asked, as in tests."""
    path = getattr(artefact, "path", None)
    try:
        return os.stat(path).st_size if path is not None else 0
    except OSError:  # the session says what is wrong with it
        return 0
