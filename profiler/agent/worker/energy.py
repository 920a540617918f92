"""The board's part of an energy measurement: a load drawn out between two idle spells, and what a sensor showed of it.

    settle - idle - pre-roll (thrown away) - load - settle - idle

The first job of a worker also tells what the sampler itself costs (`sampler_effect`). Nothing is concluded here: the
host judges the record (profiler/measure/energy.py).
"""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..leaf import Leaf
from ..sensors import Sensor, available, open_sensor
from .sampler_effect import cap_s as sampler_effect_s
from .sampler_effect import sampler_effect
from .settings import Settings

MOST_POINTS = 20000
"""Of one record; what is beyond is thinned evenly, every second, third ... change being kept: the mean of what is held
stays right, and the sensor then seems to change less often than it does."""

LOST_S = 1.0
"""A sensor that shows nothing for so long is lost; single readings fail on busy buses."""

LEAST_POLLS = 20
"""Fewer readings that are all the same prove nothing."""

SETTLE_S = 1.0
"""After a load the caches, the clock and the sensor's own averaging come to rest before an idle spell begins."""

LOAD_CAP = 6
"""A load that waits for updates of its sensor lasts at most so many times what was asked for."""

BATCH_S = 0.02
"""The load looks at the clock about so often."""

IMPLAUSIBLE_UW = 10**10
"""10 kW: no board draws it."""

Spell = Tuple[int, int]
Found = Tuple[Optional[Dict[str, Any]], List[str], Dict[str, Any]]


class Recorder:
    """Keeps the changes of a sensor's value, each with the time at which it was first seen.

    Args:
        sensor: None where only the spells are wanted, for a meter beside the board.

    Attributes:
        began_s: when the record began, by the board's monotonic clock.
        polls: readings that gave a value.
        lost: whether it has shown nothing for LOST_S.
        stepped: whether the board's clock went backwards.
    """

    def __init__(self, sensor: Optional[Sensor], leaf: Leaf) -> None:
        self.polls = 0
        self.lost = self.stepped = False
        self.times_us: List[int] = []
        self.values: List[int] = []
        self._sensor = sensor
        self._leaf = leaf
        self.began_s = self._seen = self._polled = self._marked = leaf.monotonic()

    @property
    def over(self) -> bool:
        """Whether nothing can come of it any more, so that there is nothing to wait for."""
        return self.lost or self.stepped

    def now_us(self) -> int:
        """µs since the record began, for the thread that runs the load; a step backwards is noticed, not followed."""
        now = self._leaf.monotonic()
        self.stepped = self.stepped or now < self._marked
        self._marked = max(self._marked, now)
        return int((self._marked - self.began_s) * 1e6)

    def poll(self) -> None:
        """Read it once."""
        if self._sensor is None or self.lost:
            return
        value = self._sensor.read()
        now = self._leaf.monotonic()
        # each thread holds the clock against its own last look: it may have been interrupted since
        self.stepped = self.stepped or now < self._polled
        self._polled = max(self._polled, now)
        if value is None:
            self.lost = now - self._seen > LOST_S
            return
        self._seen = now
        self.polls += 1
        if not self.values or value != self.values[-1]:
            self.times_us.append(int((self._polled - self.began_s) * 1e6))
            self.values.append(value)

    def end(self) -> None:
        """One that has shown nothing in the end is lost as well."""
        if self._sensor is not None:
            self.lost = self.lost or self._leaf.monotonic() - self._seen > LOST_S

    def thinned(self) -> Tuple[List[int], List[int]]:
        """At most MOST_POINTS of the changes."""
        step = -(-len(self.values) // MOST_POINTS) or 1
        return self.times_us[::step], self.values[::step]


def record_power(run: Callable[[], Any], settings: Settings, job: Dict[str, Any], leaf: Leaf) -> Found:
    """Draw a load out and watch it; all spells are gone through even where the sensor is stuck, as the host decides.

    Args:
        run: once the workload.
        settings: its energy_* fields.
        job: its `board.sensors` say where to look, and `board.meter` that a meter beside the board looks on instead:
            then no sensor is read, and the record has the spells and no values. With `fresh` it is a worker's first.

    Returns:
        The record as the host's `PowerReading` wants it, or None; issue codes; facts for the journal.
    """
    board = job.get("board") or {}
    declared = board.get("sensors") or []
    if not settings.energy:
        return None, [] if declared or available(leaf) else ["sensor_missing"], {}
    metered = bool(board.get("meter"))
    sensor, why_not = (None, "") if metered else open_sensor(declared, leaf)
    if sensor is None and not metered:
        return None, ["sensor_missing"], {"energy_note": why_not}
    recorder = Recorder(sensor, leaf)
    recorder.poll()
    beside = leaf.beside(sensor.period_s, recorder.poll) if sensor is not None else None
    load = _Load(run, settings, recorder)
    try:
        spells, runs, short = _spells(load, settings, recorder, leaf)
    finally:
        if beside is not None:
            beside.stop()
    recorder.end()
    notes: Dict[str, Any] = {"energy_window_s": round((spells[1][1] - spells[1][0]) / 1e6, 3)}
    if sensor is None:
        notes["energy_began_s"] = round(recorder.began_s, 6)  # by which the host finds the spells in its meter's trace
    if sensor is not None:
        notes.update(energy_scope=sensor.scope, energy_sensor=sensor.name)
    if recorder.lost or (beside is not None and beside.error is not None):
        return None, ["sensor_lost"], notes
    if recorder.stepped:
        return None, ["clock_stepped"], dict(notes, energy_note="the clock went backwards meanwhile")
    notes.update(
        energy_updates=_updates(recorder.times_us, spells[1]),
        energy_poll_hz=round(recorder.polls * 1e6 / max(1, spells[2][1]), 1),
    )
    if job.get("fresh") and sensor is not None:
        notes.update(sampler_effect(load.work, settings, sensor, leaf))
    return _record(sensor, recorder, spells, runs), _complaints(recorder, sensor, short), notes


def _record(sensor: Optional[Sensor], recorder: Recorder, spells: List[Spell], runs: int) -> Dict[str, Any]:
    times_us, values = recorder.thinned()
    return {
        "sensor": "" if sensor is None else sensor.name,
        "scope": "board-in" if sensor is None else sensor.scope,
        "form": "power" if sensor is None else sensor.form,
        "times_us": times_us,
        "values": values,
        "polls": recorder.polls,
        "lsb": 0.0 if sensor is None else float(sensor.lsb),
        "periodic_uw": 0.0 if sensor is None else float(sensor.periodic_uw),
        "gain_u": 0.0 if sensor is None else float(sensor.gain_u),
        "offset_uw": 0.0 if sensor is None else float(sensor.offset_uw),
        "idle_before_us": list(spells[0]),
        "load_us": list(spells[1]),
        "idle_after_us": list(spells[2]),
        "runs": runs,
    }


def _spells(load: _Load, settings: Settings, recorder: Recorder, leaf: Leaf) -> Tuple[List[Spell], int, bool]:
    """Idle, load, idle: when each was, how many runs the load holds, and whether the cap cut it short."""
    settle_s = min(SETTLE_S, settings.energy_preroll_s)
    leaf.sleep(settle_s)
    before = _idle(settings, recorder, leaf)
    load.preroll()
    spell, runs, short = load.spell()
    leaf.sleep(settle_s)
    return [before, spell, _idle(settings, recorder, leaf)], runs, short


def _idle(settings: Settings, recorder: Recorder, leaf: Leaf) -> Spell:
    begin = recorder.now_us()
    if not recorder.over:
        leaf.sleep(settings.energy_idle_s)
    return begin, recorder.now_us()


class _Load:
    """Runs in batches, so that the clock is looked at now and then."""

    def __init__(self, run: Callable[[], Any], settings: Settings, recorder: Recorder) -> None:
        self._run = run
        self._settings = settings
        self._recorder = recorder
        self._batch = 1

    def preroll(self) -> None:
        """Run for as long as is thrown away, and find how many runs a batch holds."""
        began = before = self._recorder.now_us()
        while not self._recorder.over:
            self.work()
            now = self._recorder.now_us()
            if now - began >= self._settings.energy_preroll_s * 1e6:
                return
            if now - before < BATCH_S * 1e6:
                self._batch *= 2
            before = now

    def spell(self) -> Tuple[Spell, int, bool]:
        """Run until the window is long enough, or the cap is reached."""
        settings, recorder = self._settings, self._recorder
        cap_us = LOAD_CAP * settings.energy_load_s * 1e6
        begin = now = recorder.now_us()
        first = len(recorder.times_us)
        wanted = settings.energy_updates if recorder.polls else 0
        runs = 0
        while not recorder.over:
            runs += self.work()
            now = recorder.now_us()
            long_enough = now - begin >= settings.energy_load_s * 1e6 and runs >= settings.energy_runs
            if long_enough and (not wanted or len(recorder.times_us) - first >= wanted):
                break
            if now - begin >= cap_us:
                return (begin, now), runs, not long_enough
        return (begin, now), runs, False

    def work(self) -> int:
        """Run a batch; how many runs it holds."""
        run = self._run
        many = getattr(run, "many", None)  # as of `timing`
        if many is not None:
            many(self._batch)
            return self._batch
        for _ in itertools.repeat(None, self._batch):
            run()
        return self._batch


def _updates(times_us: List[int], spell: Spell) -> int:
    return sum(spell[0] <= time <= spell[1] for time in times_us)


def _complaints(recorder: Recorder, sensor: Optional[Sensor], short: bool) -> List[str]:
    """What is to be seen without any statistics."""
    codes = []
    if sensor is None:
        codes.append("sensor_missing")
    elif len(recorder.values) < 2 and recorder.polls >= LEAST_POLLS:
        codes.append("sensor_stuck")
    most = float("inf") if sensor is None or sensor.form == "energy" else IMPLAUSIBLE_UW
    if any(value < 0 or value > most for value in recorder.values):
        codes.append("sensor_implausible")
    if short:
        codes.append("energy_window_short")
    return codes


def cap_s(settings: Settings) -> float:
    """The longest that `record_power` takes besides a last batch of runs, for whoever sets a time limit."""
    if not settings.energy:
        return 0.0
    settle_s = min(SETTLE_S, settings.energy_preroll_s)
    spells_s = 2 * (settle_s + settings.energy_idle_s) + settings.energy_preroll_s + LOAD_CAP * settings.energy_load_s
    return spells_s + sampler_effect_s(settings)
