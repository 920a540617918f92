"""What a campaign needs of a board, and the link to it that is mended when it breaks.

The protocols are the seam between measuring and reaching: `profiler.fleet.session.BoardSession` is the real board;
a virtual one or a test's fake is another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from profiler.errors import AgentCrashed, DeviceError, DeviceLost, DeviceTimeout, Unreachable
from profiler.fleet.targets import Device, Precision, Runtime, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.progress import Progress
from profiler.measure.record import Status
from profiler.workloads.graph import Workload

__all__ = ["ArtefactLike", "ArtefactSource", "Board", "FactsLike", "Link", "ReplyLike", "SessionFactory"]

ATTEMPTS = 3
"""An infrastructure fault is met with two retries, each over a new connection."""

FAULTS = (DeviceLost, AgentCrashed, DeviceTimeout, Unreachable)
"""What a new connection may mend; a refused key or a foreign host key is not among them."""


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


class FactsLike(Protocol):
    """A board's facts, as a pydantic model of what its agent sent."""

    def model_dump(self, *, mode: str = ...) -> dict[str, Any]:
        """All facts as JSON-able values."""


class Board(Protocol):
    """One open session with a board; a context manager that gives the board back."""

    def __enter__(self) -> Self:
        """Connect, where that is not done yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> Any:
        """Give the board back."""

    def facts(self) -> FactsLike:
        """What the board is and what it runs."""

    def fresh_worker(self) -> Any:
        """Start a new worker process."""

    def measure(self, artefact: Any, target: Target, config: MeasureConfig) -> ReplyLike:
        """Run one job; raises DeviceError where the board or the link fails."""


class SessionFactory(Protocol):
    """Opens a session with a device: `profiler.fleet.session.connect`."""

    def __call__(self, device: Device, /) -> Board:
        """Raises DeviceError where the board cannot be reached."""


class Link:
    """The session with a board, opened again when it breaks; a context manager.

    Args:
        factory: opens a session.
        device, target, config: where and how jobs run.
        on_open: is given the board's facts after every connect, and raises where they are not what they should be.
        progress: is told of faults.
        retry_wait_s: pause before a lost board is called again; it grows with every attempt.
    """

    def __init__(
        self,
        factory: SessionFactory,
        device: Device,
        target: Target,
        config: MeasureConfig,
        on_open: Callable[[dict[str, Any]], None],
        progress: Progress,
        retry_wait_s: float,
    ) -> None:
        self.factory = factory
        self.device = device
        self.target = target
        self.config = config
        self.on_open = on_open
        self.progress = progress
        self.retry_wait_s = retry_wait_s
        self.facts: dict[str, Any] = {}
        self._board: Board | None = None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *exc: object) -> None:
        self._drop()

    def fresh_worker(self) -> None:
        """A new worker process; where that fails, the next job finds the session closed and connects again."""
        try:
            self._open().fresh_worker()
        except FAULTS as fault:
            self.progress.message(f"{fault}; connecting again")
            self._drop()

    def measure(self, artefact: Any) -> ReplyLike | DeviceError:
        """One job's reply, or the fault that two retries did not mend.

        Raises:
            Unreachable: the board answers no more.
        """
        fault: DeviceError | None = None
        for attempt in range(ATTEMPTS):
            if fault is not None:
                self.progress.message(f"{fault}; trying again")
                time.sleep(self.retry_wait_s * attempt)
            try:
                return self._open().measure(artefact, self.target, self.config)
            except FAULTS as error:
                fault = error
                self._drop()
        assert fault is not None
        if isinstance(fault, Unreachable):
            raise fault
        return fault

    def _open(self) -> Board:
        if self._board is None:
            self._board = self.factory(self.device).__enter__()
            try:
                self.facts = self._board.facts().model_dump(mode="json")
                self.on_open(self.facts)
            except BaseException:
                self._drop()
                raise
        return self._board

    def _drop(self) -> None:
        """Close the session; a board that is gone cannot be taken leave of."""
        board, self._board = self._board, None
        if board is not None:
            try:
                board.__exit__(None, None, None)
            except DeviceError as error:
                self.progress.message(f"closing the session with {self.device.id} failed: {error}")
