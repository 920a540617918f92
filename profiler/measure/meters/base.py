"""What every meter beside a board gives: a trace of power in the host's own time, and what is known of its accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from profiler.errors import ConfigError, MeasurementError

__all__ = ["SCOPES", "Accuracy", "Meter", "MeterLost", "Trace", "check_scope"]

SCOPES = ("wall", "board-in", "module-in", "SoC-rails", "core-rail", "battery")


def check_scope(scope: str) -> None:
    """Raises ConfigError for what is none of SCOPES."""
    if scope not in SCOPES:
        raise ConfigError(f"there is no scope {scope!r}; say what the meter includes: {', '.join(SCOPES)}")


class MeterLost(MeasurementError):
    """A meter stopped talking, or never began."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """As its maker or a calibration states it, k = 2; 0 where nothing is known.

    Attributes:
        gain_u: of the gain, relative.
        offset_u_uw: of the offset.
        lsb_uw: its step.
    """

    gain_u: float = 0.0
    offset_u_uw: float = 0.0
    lsb_uw: float = 0.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What a meter showed between its start and its stop.

    Attributes:
        meter: which one, for people.
        scope: what it includes; see SCOPES.
        form: "power" (values in µW) or "energy" (a counter in µJ).
        times_s: (n,) by the host's monotonic clock, never falling.
        values: (n,).
        time_u_s: by so much may all these times be off together.
        accuracy: of the values.
    """

    meter: str
    scope: str
    form: Literal["power", "energy"]
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    time_u_s: float
    accuracy: Accuracy = Accuracy()


class Meter(ABC):
    """A meter's life: made, `start`, `so_far` (a trace) at any time, `stop`, perhaps again from `start`, `close`.

    Args:
        scope: what it includes.
        accuracy: where more is known than it says itself.

    Raises:
        ConfigError: the scope is none.
    """

    name = "meter"

    def __init__(self, scope: str, accuracy: Accuracy | None = None) -> None:
        check_scope(scope)
        self.scope = scope
        self.accuracy = accuracy or Accuracy()

    @abstractmethod
    def start(self) -> None:
        """Begin to keep what it shows.

        Raises:
            MeterLost: it cannot be reached.
        """

    @abstractmethod
    def so_far(self) -> Trace:
        """What it showed up to now, and goes on.

        Raises:
            MeterLost: it showed nothing, nothing that could be understood, or stopped before.
        """

    @abstractmethod
    def forget(self, before_s: float) -> None:
        """Drop what it showed before a moment of the host's monotonic clock."""

    def stop(self) -> Trace:
        """`so_far`, and the end of it; raises the same."""
        try:
            return self.so_far()
        finally:
            self.close()

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Give back what it holds; once more does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
