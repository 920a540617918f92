"""What a campaign needs of a board, as protocols: the seam between measuring and reaching.

`profiler.fleet.sessions.session.BoardSession` is the real board; a virtual one or a test's fake is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from profiler.fleet.targets import Device, Precision, Runtime, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.record import Power, Status
from profiler.workloads.graph import Workload

__all__ = ["ArtefactLike", "ArtefactSource", "Board", "BoardJob", "FactsLike", "ReplyLike", "SessionFactory"]


class ArtefactLike(Protocol):
    """A lowered workload; a board knows the rest of it."""

    @property
    def sha256(self) -> str:
        """Of the file."""


class ArtefactSource(Protocol):
    """Where artefacts come from: `profiler.workloads.artefacts.ArtefactCache`."""

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Any:
        """The artefact; raises UnsupportedOperator or ArtefactError."""


class ReplyLike(Protocol):
    """What a board answers to one job; the fields are those of `Measurement`."""

    @property
    def status(self) -> Status:
        """How it ended."""

    @property
    def issues(self) -> Sequence[str]:
        """Codes of doubt."""

    @property
    def samples_ns(self) -> Sequence[int]:
        """Duration of every batch."""

    @property
    def runs_per_batch(self) -> int:
        """Runs in each batch."""

    @property
    def load_ns(self) -> int | None:
        """Loading."""

    @property
    def first_run_ns(self) -> int | None:
        """The very first run."""

    @property
    def warmup_runs(self) -> int:
        """Runs before the first sample."""

    @property
    def output_error(self) -> float | None:
        """Against the host's reference."""

    @property
    def energy_mj(self) -> float | None:
        """Per run, where a sensor can be read."""

    @property
    def error(self) -> str:
        """What was said, escaped."""

    @property
    def env(self) -> dict[str, Any]:
        """Facts at the time."""

    @property
    def power(self) -> PowerLike | None:
        """What a power sensor showed; None where none was read."""


class PowerLike(Protocol):
    """A power record as a board's message has it."""

    def record(self) -> Power:
        """As the journal holds it."""


class FactsLike(Protocol):
    """A board's facts, as a pydantic model of what its agent sent."""

    def model_dump(self, *, mode: str = ...) -> dict[str, Any]:
        """All facts as JSON-able values."""


@dataclass(frozen=True, slots=True)
class BoardJob:
    """One job as a board gets it.

    Attributes:
        key: its job key; a board that has done a job of this key answers from its own journal.
        artefact: what runs.
        fresh: whether a new worker process is to be started for it.
        half_width: how narrow the interval of its median has to be, relatively; None: as the configuration says.
    """

    key: str
    artefact: Any
    fresh: bool = False
    half_width: float | None = None


class Board(Protocol):
    """One open session with a board; a context manager that gives the board back."""

    def __enter__(self) -> Self:
        """Connect, where that is not done yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> Any:
        """Leave the board; work that was handed to it and is not done goes on there and can be fetched later."""

    def facts(self) -> FactsLike:
        """What the board is and what it runs."""

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, ReplyLike]]:
        """Hand a block of jobs over and yield (key, reply) as they end; what the board has done already comes first.

        Raises DeviceError where the board or the link fails; the jobs not yet yielded may still be done by the board,
        and a new session's `run` of them yields what it has come to. BoardFull comes last, when all jobs have been
        yielded but those whose artefacts found no room; the session goes on after it.
        """

    def interrupted(self) -> Sequence[str]:
        """Keys of jobs that an earlier agent of this session took up and did not end, once for every time."""

    def finish(self) -> None:
        """The campaign is over and all its results are in the host's journal: the board may forget them."""


class SessionFactory(Protocol):
    """Opens a session with a device: `profiler.fleet.sessions.session.connect`."""

    def __call__(self, device: Device, session: str, /) -> Board:
        """`session` names the work: sessions of one name share the board's journal. DeviceError if unreachable."""
