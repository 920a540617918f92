"""The course of a board over its campaign: temperature, clock, load and sentinel, from the digests of its journals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecost.report.thinning import Band, band, short, spread_out
from profiler.measure.record import ROLE_KINDS
from profiler.tables.loading.conditions import LASTED, VERDICTS
from profiler.tables.row import SIMULATED

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run

__all__ = ["BoardCourse", "board_courses"]

Floats = NDArray[np.float64]

_SENTINEL = ROLE_KINDS.index("sentinel")
_UNITS = ((3 * 3600.0, 3600.0, "h"), (180.0, 60.0, "min"), (0.0, 1.0, "s"))
"""From so many seconds on, so many are one unit."""
_MOST_SENTINELS = 400
_MOST_MARKS = 200
SHARES = {
    "steal_share": "stolen by other guests",
    "others_share": "taken by other programs",
    "pressure_max": "waited for a core",
}


@dataclass(slots=True)
class BoardCourse:
    """One target's campaigns, one behind the other.

    Attributes:
        name: of the target.
        unit: of all times: "s", "min" or "h"; length: when the last run ends.
        virtual: whether the time is a simulated board's own.
        begins: when the second and later runs begin.
        temperature, clock: °C and MHz over time; None where the board tells nothing.
        throttled: when measurements saw the board slow itself down.
        shares: per cent of the processor's time, by name.
        sentinels: by verdict, (times, ratios to the run's first one).
        pauses: (begin, end) from a sentinel that had moved to the next one that had not.
        again: when jobs were measured again.
        notes: what the course comes to, and what the board does not tell; a sentence each.
    """

    name: str
    unit: str = "s"
    length: float = 0.0
    virtual: bool = False
    begins: list[float] = field(default_factory=list)
    temperature: Band | None = None
    clock: Band | None = None
    throttled: list[float] = field(default_factory=list)
    shares: dict[str, Band] = field(default_factory=dict)
    sentinels: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Lines:
    """The journals of one target beneath each other; `columns` by name, all of shape (n,)."""

    columns: dict[str, Floats]
    times: Floats
    begins: list[float]
    ratios: Floats
    again: NDArray[np.bool_]


def board_courses(name: str, runs: Sequence[Run]) -> BoardCourse | None:
    """The course of one target; None where its journals hold nothing.

    Args:
        name: what the report calls the target.
        runs: of the target, in any order.
    """
    runs = sorted((run for run in runs if run.lines.num_rows), key=lambda run: (run.started, run.path))
    if not runs:
        return None
    course = BoardCourse(name, virtual=any(run.emulation == SIMULATED for run in runs))
    lines = _gather(runs, course.virtual)
    if not np.isfinite(lines.times).any():
        course.notes.append("The journal tells no times, so that there is no course to show.")
        return course
    length = float(np.nanmax(lines.times))
    factor, course.unit = next((factor, unit) for least, factor, unit in _UNITS if length >= least)
    lines.times /= factor
    course.length = length / factor
    course.begins = [begin / factor for begin in lines.begins]
    _add_heat(course, lines)
    _add_clock(course, lines)
    _add_sentinels(course, lines)
    _add_load(course, lines)
    return course


_COLUMNS = (
    "freq_mhz", "freq_min_mhz", "freq_max_mhz", "temperature_c", "temperature_c_after", "temperature_max_c",
    "throttle_events", "pressure_max", "load_1min", "steal_share", "others_share", "verdict", "kind", "median_ns",
)  # fmt: skip


def _gather(runs: Sequence[Run], virtual: bool) -> _Lines:
    times, begins, offset = [], [], 0.0
    for run in runs:
        found = _times(run, virtual)
        if offset:
            begins.append(offset)
        times.append(found + offset)
        if np.isfinite(found).any():
            offset += float(np.nanmax(found))
    columns = {name: np.concatenate([_column(run, name) for run in runs]) for name in _COLUMNS}
    again = np.concatenate([_again(run) for run in runs])
    return _Lines(columns, np.concatenate(times), begins, np.concatenate([_ratios(run) for run in runs]), again)


def _column(run: Run, name: str) -> Floats:
    values: Floats = run.lines[name].to_numpy().astype(np.float64)
    return values


def _times(run: Run, virtual: bool) -> Floats:
    """Seconds since the run's first line: by the host's clock, or by the simulated board's, which only work moves."""
    if virtual:
        lasted = np.nan_to_num(_column(run, LASTED))
        found: Floats = np.cumsum(lasted) - lasted
        return found
    started = _column(run, "started_us")
    started[started <= 0] = np.nan
    first = np.nanmin(started) if np.isfinite(started).any() else np.nan
    return (started - first) / 1e6


def _ratios(run: Run) -> Floats:
    """Of every sentinel: its median to that of the run's first one of the same workload; NaN elsewhere."""
    medians, found = _column(run, "median_ns"), np.full(run.lines.num_rows, np.nan)
    watching = np.flatnonzero((_column(run, "kind") == _SENTINEL) & np.isfinite(medians) & (medians > 0))
    first: dict[str, float] = {}
    for place, key in zip(watching.tolist(), run.lines["subject"].take(watching).to_pylist(), strict=True):
        found[place] = medians[place] / first.setdefault(key, medians[place])
    return found


def _again(run: Run) -> NDArray[np.bool_]:
    """Which lines measure anew what there was a figure of; figures that are merely kept as drifted are none."""
    frame = run.lines.select(["kind", "subject", "repeats", "round"]).to_pandas()
    issues = run.lines["issues"].combine_chunks()
    kept = np.array(["drifted" in words.split() for words in issues.dictionary.to_pylist()], dtype=bool)
    measured = np.isfinite(_column(run, "median_ns")) & (frame["kind"].to_numpy() != _SENTINEL)
    measured &= ~kept[issues.indices.to_numpy()]
    found = np.zeros(len(frame), dtype=bool)
    found[measured] = frame[measured].duplicated().to_numpy()
    return found


def _add_heat(course: BoardCourse, lines: _Lines) -> None:
    c = lines.columns
    low = np.fmin(c["temperature_c"], c["temperature_c_after"])
    high = np.fmax(c["temperature_max_c"], np.fmax(c["temperature_c"], c["temperature_c_after"]))
    course.temperature = band(lines.times, low, high)
    if course.temperature is None:
        course.notes.append("This board tells no temperature.")
    else:
        course.notes.append(f"{np.nanmin(low):.1f} to {np.nanmax(high):.1f} °C.")


def _add_clock(course: BoardCourse, lines: _Lines) -> None:
    c = lines.columns
    low, high = np.fmin(c["freq_min_mhz"], c["freq_mhz"]), np.fmax(c["freq_max_mhz"], c["freq_mhz"])
    course.clock = band(lines.times, low, high)
    if course.clock is None:
        course.notes.append("This board tells no clock frequency.")
    else:
        lowest, highest = np.nanmin(low), np.nanmax(high)
        moved = f"{lowest:.0f} to {highest:.0f} MHz" if highest > lowest else f"{lowest:.0f} MHz all along"
        course.notes.append(f"{moved}.")
    looked = np.isfinite(c["throttle_events"])
    slowed = looked & (c["throttle_events"] > 0)
    course.throttled = spread_out(lines.times[slowed], _MOST_MARKS)
    if slowed.any():
        course.notes.append(f"The board slowed itself down during {slowed.sum()} of {looked.sum()} measurements.")
    elif not looked.any():
        course.notes.append("Nobody looked for throttling.")


def _add_sentinels(course: BoardCourse, lines: _Lines) -> None:
    verdicts = lines.columns["verdict"].astype(np.int64)
    watching = lines.columns["kind"] == _SENTINEL
    known = watching & np.isfinite(lines.ratios) & np.isfinite(lines.times)
    for place, verdict in enumerate(VERDICTS):
        mine = np.flatnonzero(known & (verdicts == place))
        mine = mine[np.unique(np.linspace(0, len(mine) - 1, min(len(mine), _MOST_SENTINELS)).astype(int))]
        if len(mine):
            course.sentinels[verdict] = (short(lines.times[mine]), short(lines.ratios[mine]))
    course.pauses = _pauses(lines.times[watching], verdicts[watching])
    again = lines.times[lines.again]
    course.again = spread_out(again, _MOST_MARKS)
    if not watching.any():
        course.notes.append("No sentinel ran: nothing is known of drifts.")
        return
    moved = 100 * (lines.ratios[known] - 1) if known.any() else np.zeros(1)
    drifted, failed = (int((verdicts[watching] == VERDICTS.index(word)).sum()) for word in ("drifted", "failed"))
    least, most = (f"{value:+.1f}".replace("-", "−") for value in (moved.min(), moved.max()))
    said = [f"Sentinel: {watching.sum()} runs, {least} to {most} % from the first"]
    said += [f"{drifted} judged drifted"] if drifted else []
    said += [f"{failed} failed"] if failed else []
    said += [f"{len(again)} jobs measured again"] if len(again) else []
    course.notes.append(f"{', '.join(said)}.")


def _pauses(times: Floats, verdicts: NDArray[np.int64]) -> list[tuple[float, float]]:
    """From every sentinel that had moved to the first after it that had not, or to the last one."""
    found: list[tuple[float, float]] = []
    begin: float | None = None
    for time, verdict in zip(times.tolist(), verdicts.tolist(), strict=True):
        if verdict == VERDICTS.index("drifted") and begin is None:
            begin = time
        elif verdict in (VERDICTS.index("good"), VERDICTS.index("reference")) and begin is not None:
            found.append((begin, time))
            begin = None
    if begin is not None:
        found.append((begin, float(times[-1])))
    return found[:_MOST_MARKS]


def _add_load(course: BoardCourse, lines: _Lines) -> None:
    c = {**lines.columns}
    for name in ("steal_share", "others_share"):
        c[name] = 100 * c[name]
    told = {name: values for name in SHARES if np.isfinite(values := c[name]).any()}
    for name, values in told.items():
        found = band(lines.times, values, values)
        if found is not None and np.nanmax(values) > 0:
            course.shares[SHARES[name]] = found
    quiet = [SHARES[name] for name in told if SHARES[name] not in course.shares]
    if quiet:
        course.notes.append(f"No time at all was {' or '.join(quiet)}.")
    if not told:
        course.notes.append("This board tells nothing of time stolen or waited for.")
    load: Any = c["load_1min"][np.isfinite(c["load_1min"])]
    if len(load):
        course.notes.append(f"Load average {np.median(load):.1f}, at most {load.max():.1f}.")
