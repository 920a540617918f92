"""The link to a board, mended when it breaks: called again with growing pauses, for as long as patience lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from profiler.errors import AgentCrashed, DeviceBusy, DeviceError, DeviceLost, DeviceTimeout, Unreachable
from profiler.fleet.targets import Device
from profiler.measure.board import Board, SessionFactory
from profiler.measure.limits import CampaignLimits
from profiler.measure.progress import Progress

__all__ = ["FAULTS", "CampaignStopped", "Link"]

FAULTS = (DeviceLost, AgentCrashed, DeviceTimeout, Unreachable)
"""What a new connection may mend; a refused key or a foreign host key is not among them."""

FIRST_ATTEMPTS = 3
"""A board that has not answered yet in this campaign is called so often; an address without an answer only once."""


class CampaignStopped(Exception):
    """Whoever runs the campaign has asked it to stop; what was measured is in the journal."""


class Link:
    """The session with a board, opened again when it breaks; a context manager.

    Args:
        factory: opens a session.
        device: the board.
        session: the name of the board's journal for this run.
        on_open: is given the board's facts after every connect, and raises where they are not what they should be.
        limits: how long to wait.
        progress: is told of faults.
        stop: ends every pause at once when it is set.
        met: whether the board has answered in an earlier part of this run.

    Attributes:
        facts: what the board said last.
        last_fault: what made the link be opened anew; None where it has held so far.
    """

    def __init__(
        self,
        factory: SessionFactory,
        device: Device,
        session: str,
        on_open: Callable[[dict[str, Any]], None],
        limits: CampaignLimits,
        progress: Progress,
        stop: threading.Event,
        met: bool = False,
    ) -> None:
        self.device = device
        self.facts: dict[str, Any] = {}
        self.last_fault: DeviceError | None = None
        self._factory = factory
        self._session = session
        self._on_open = on_open
        self._limits = limits
        self._progress = progress
        self._stop = stop
        self._board: Board | None = None
        self._met = met
        self._faults = 0

    def __enter__(self) -> Self:
        self.board()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.drop()

    def board(self) -> Board:
        """The open session; where there is none, the board is called until it answers or patience ends.

        Raises:
            DeviceError: it did not answer, or it refuses us.
            CampaignStopped: while waiting.
        """
        if self._stop.is_set():
            raise CampaignStopped
        if self._board is None:
            self._board = self._call()
        return self._board

    def held(self) -> None:
        """A job has ended over this link: what went wrong before is forgiven."""
        self._faults = 0

    def broke(self, fault: DeviceError) -> None:
        """Close a session that has failed; `board` opens the next one."""
        self.last_fault = fault
        self._faults += 1
        self.drop()

    def drop(self) -> None:
        """Close the session; a board that is gone cannot be taken leave of."""
        board, self._board = self._board, None
        if board is not None:
            try:
                board.__exit__(None, None, None)
            except DeviceError as error:
                self._progress.message(f"closing the session with {self.device.id} failed: {error}")

    def finish(self) -> None:
        """Let the board forget a campaign that is over; where it cannot be told, it keeps a small journal."""
        try:
            (self._board or self._connect()).finish()
        except (*FAULTS, DeviceBusy) as fault:
            self._progress.message(f"{self.device.id} could not be told that the run is over: {fault}")

    def _call(self) -> Board:
        deadline = time.monotonic() + self._limits.patience_s
        attempt = 0
        before = max(0, self._faults - 1)
        if before:  # a link that broke once is mended at once
            self._pause(before - 1)
        while True:
            try:
                return self._connect()
            except (*FAULTS, DeviceBusy) as fault:
                attempt += 1
                wait_s = self._wait_s(before + attempt - 1)
                if not self._worth_waiting(fault, attempt) or time.monotonic() + wait_s > deadline:
                    raise
                self._progress.message(
                    f"{self.device.id}: {str(fault).rstrip('.')}; calling it again in {wait_s:.3g} s"
                )
                self._pause(before + attempt - 1)

    def _worth_waiting(self, fault: DeviceError, attempt: int) -> bool:
        """A board that was there comes back; one that never was is more likely a wrong address or somebody else's."""
        return self._met or (attempt < FIRST_ATTEMPTS and not isinstance(fault, Unreachable | DeviceBusy))

    def _wait_s(self, doublings: int) -> float:
        return min(self._limits.longest_wait_s, self._limits.retry_wait_s * 2.0 ** min(doublings, 30))

    def _pause(self, doublings: int) -> None:
        if self._stop.wait(self._wait_s(doublings)):
            raise CampaignStopped

    def _connect(self) -> Board:
        board = self._factory(self.device, self._session).__enter__()
        self._board = board
        try:
            self.facts = board.facts().model_dump(mode="json")
            self._on_open(self.facts)
        except BaseException:
            self.drop()
            raise
        self._met = True
        return board
