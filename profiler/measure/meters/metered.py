"""Boards whose power a meter beside them reads: sessions that put the meter's trace into what the board replies.

A board that is told of a meter draws its load out between idle spells as always and says when they were, by its own
clock. The trace is laid over them as soon as the reply is here (`profiler.measure.meters.align`), so that a journal
gets the record as if the board had read the meter itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from profiler.errors import MeasurementError
from profiler.fleet.targets import Device, Target
from profiler.measure.board import Board, BoardJob, FactsLike, ReplyLike, SessionFactory
from profiler.measure.config import MeasureConfig
from profiler.measure.meters.align import align, power_of
from profiler.measure.meters.base import Meter, MeterLost
from profiler.measure.record import Power, Status

__all__ = ["Metered", "MeteredBoard"]

EARLIER_S = 5.0
"""A record ended so long before its reply arrived, at most, where the link was not held up."""

LATER_S = 0.5
"""So much the clocks may have moved against each other since the soonest reply."""

KEPT_S = 60.0
"""What is older than this before a record is forgotten: the meter's clock is told by what is kept."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A record as a `PowerLike`."""

    power: Power

    def record(self) -> Power:
        return self.power


@dataclass(frozen=True, slots=True)
class _Reply:
    """A `ReplyLike` whose power may be the meter's."""

    status: Status
    issues: Sequence[str]
    samples_ns: Sequence[int]
    runs_per_batch: int
    load_ns: int | None
    first_run_ns: int | None
    warmup_runs: int
    output_error: float | None
    energy_mj: float | None
    error: str
    env: dict[str, Any]
    power: Any

    @classmethod
    def of(cls, reply: ReplyLike) -> _Reply:
        return cls(**{name: getattr(reply, name) for name in cls.__dataclass_fields__})


class Metered:
    """A session factory for boards of which some have a meter beside them; a context manager that closes the meters.

    Args:
        connect: opens a session.
        meters: by device id; the others are passed on as they are.
        clock: the host's monotonic one.
    """

    def __init__(
        self, connect: SessionFactory, meters: Mapping[str, Meter], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._beside = {device_id: _Beside(meter, clock) for device_id, meter in meters.items()}

    def __call__(self, device: Device, session: str, /) -> Board:
        """A session with a device, and with its meter where it has one; raises as `connect`."""
        beside = self._beside.get(device.id)
        if beside is None:
            return self._connect(device, session)
        # the board is told of the meter alone, and leaves sensors of its own in peace
        external = tuple(sensor for sensor in device.sensors if sensor.kind == "external")
        return MeteredBoard(self._connect(replace(device, sensors=external), session), beside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for beside in self._beside.values():
            beside.close()


class MeteredBoard:
    """A `profiler.measure.board.Board` with a meter beside it."""

    def __init__(self, board: Board, beside: _Beside) -> None:
        self._board = board
        self._beside = beside

    def __enter__(self) -> Self:
        self._board.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> Any:
        return self._board.__exit__(kind, error, at)

    def facts(self) -> FactsLike:
        """The board's."""
        return self._board.facts()

    def interrupted(self) -> Sequence[str]:
        """The board's."""
        return self._board.interrupted()

    def finish(self) -> None:
        """The board's."""
        self._board.finish()

    def run(self, block: Sequence[BoardJob], target: Target, config: MeasureConfig) -> Iterator[tuple[str, ReplyLike]]:
        """As the board does it, each power record being the meter's.

        Raises:
            MeterLost: the meter cannot be opened; one that stops later is told by each reply instead.
        """
        if not config.energy:
            yield from self._board.run(block, target, config)
            return
        self._beside.start()
        for key, reply in self._board.run(block, target, config):
            yield key, self._beside.reply(reply)


class _Beside:
    """A meter from one job to the next, and how late the board's replies are.

    The board's clock is laid on the host's by the soonest reply, as the meters' own clocks are: where a link was held
    up for a while, replies are late and the records are found all the same.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._started = self._lost = False
        self._soonest_s = math.inf
        self._last_s = -math.inf

    def start(self) -> None:
        """Where it is not running already; one that stopped is tried again with every block, without any harm."""
        if self._started and not self._lost:
            return
        try:
            self._meter.close()
            self._meter.start()
        except MeterLost:
            if not self._started:
                raise
        else:
            self._started, self._lost = True, False

    def close(self) -> None:
        self._meter.close()

    def reply(self, reply: ReplyLike) -> ReplyLike:
        """The reply with the meter's record in the place of the board's spells."""
        spells = reply.power.record() if reply.power is not None and reply.status == "ok" else None
        began_s = reply.env.get("energy_began_s")
        if spells is None or not isinstance(began_s, int | float):
            return reply
        found = _Reply.of(reply)
        try:
            power = self._record(spells, float(began_s))
        except MeterLost as error:
            self._lost = True
            issues = ("sensor_lost", *(code for code in found.issues if code != "sensor_missing"))
            return replace(found, issues=issues, power=None, env={**found.env, "energy_note": str(error)[:200]})
        except MeasurementError as error:
            return replace(found, env={**found.env, "energy_note": str(error)[:200]})
        issues = tuple(code for code in found.issues if code != "sensor_missing")
        env = {**found.env, "energy_sensor": power.sensor}
        return replace(found, issues=issues, power=_Reading(power), env=env)

    def _record(self, spells: Power, began_s: float) -> Power:
        late_s = self._clock() - (began_s + spells.idle_after_us[1] / 1e6)
        # jobs follow each other, so that a clock that is behind the last one's is that of another boot
        self._soonest_s = late_s if began_s < self._last_s else min(self._soonest_s, late_s)
        self._last_s = began_s
        at_s = began_s + self._soonest_s
        trace = self._meter.so_far()
        power = power_of(trace, spells, align(trace, spells, at_s - EARLIER_S, at_s + LATER_S))
        self._meter.forget(at_s - KEPT_S)
        return power
