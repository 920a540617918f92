"""How often intervals hold the truth on boards that drift: whole campaigns, with sentinel, pauses, retries and rounds.

The board is stand_in.py: noise within a process, an offset of each job in each process, and a level that moves with
time. A campaign lasts about half an hour of virtual time, so that slow drifts go through its rounds and fast ones
through its blocks. What is true on a board that drifts away for good is a matter of definition: what a job takes at
the beginning, or on average over the campaign. Both are counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from stand_in import TRUE_NS, Level, StandIn, jobs, run_campaign, steady
from streams import Floats

from edgecost.stages.planning import measure_config
from profiler.measure.journal import read_journal
from profiler.measure.record import Measurement
from profiler.measure.rounds import combine_rounds
from profiler.measure.watch import VERDICT, estimate_of

__all__ = ["DRIFTS", "Outcome", "campaigns"]

JOBS = 40
OVERHEAD_S = 10.0
PROCESS_SPREAD = 0.004
STEP_S = 5.0
LONGEST_S = 6 * 3600.0


def _held(path: Floats) -> Level:
    """A path of logarithms, one for every STEP_S, as a level."""
    return lambda at_s: float(np.exp(path[min(int(at_s / STEP_S), path.size - 1)]))


def _times() -> Floats:
    return np.arange(0.0, LONGEST_S, STEP_S)


def none(rng: np.random.Generator) -> Level:
    """No drift."""
    return steady


def wander(rng: np.random.Generator, sd: float = 0.005, correlation_s: float = 300.0) -> Level:
    """To and fro around the truth, as a room's temperature makes a board do."""
    from scipy.signal import lfilter

    rho = float(np.exp(-STEP_S / correlation_s))
    noise = rng.normal(size=_times().size) * np.sqrt(1 - rho**2)
    noise[0] = rng.normal()
    return _held(sd * lfilter([1.0], [1.0, -rho], noise))


def walk(rng: np.random.Generator, per_sqrt_h: float = 0.005) -> Level:
    """A random walk that begins at the truth."""
    steps = rng.normal(size=_times().size) * per_sqrt_h * np.sqrt(STEP_S / 3600)
    steps[0] = 0.0
    return _held(np.cumsum(steps))


def line(rng: np.random.Generator, per_h: float = 0.01) -> Level:
    """Steadily slower."""
    return _held(per_h * _times() / 3600)


def spells(rng: np.random.Generator, every_s: float = 1200.0, last_s: float = 180.0, excess: float = 0.06) -> Level:
    """Every now and then slower by 6 % for some minutes: what the sentinel is there for."""
    path = np.zeros(_times().size)
    at_s = rng.exponential(every_s)
    while at_s < LONGEST_S:
        end_s = at_s + last_s * rng.uniform(0.5, 1.5)
        path[int(at_s / STEP_S) : int(end_s / STEP_S)] = np.log1p(excess)
        at_s = end_s + rng.exponential(every_s)
    return _held(path)


DRIFTS: dict[str, tuple[Callable[[np.random.Generator], Level], bool]] = {
    "no drift": (none, False),
    "to and fro, 0.5 % around the truth": (wander, True),
    "a random walk of 0.5 % in an hour": (walk, True),
    "a line of 1 % an hour": (line, True),
    "6 % slower for three minutes, three times an hour": (spells, False),
}
"""How the level moves, and whether the truth is what it is on average over the campaign: of boards that are never at
rest, or do not come back. Otherwise the truth is level 1."""


@dataclass(frozen=True)
class Outcome:
    """Of campaigns on boards that drift in one way.

    Attributes:
        covered, of_mean: share of the figures whose interval holds what a job takes at level 1, and on average over the
            campaign; half: median half-width, relative.
        bias: of the medians, their mean; worst: the largest error; both at level 1, relative.
        flagged: share of the figures kept as drifted, which the others are without.
        again: share of the jobs that were measured again; drifted: how many sentinels said so, per campaign.
    """

    covered: float
    of_mean: float
    half: float
    bias: float
    worst: float
    flagged: float
    again: float
    drifted: float


def campaigns(rng: np.random.Generator, kind: str, count: int, sentinel: bool = True) -> Outcome:
    """So many campaigns on boards that drift in this way."""
    config = measure_config("record")
    config = config if sentinel else replace(config, sentinel_jobs=0)
    wanted = jobs(JOBS)
    figures: list[tuple[float, float, float]] = []
    flagged = repeated = drifted = 0
    for _ in range(count):
        board = StandIn(rng, sd=0.008, process_spread=PROCESS_SPREAD, level=DRIFTS[kind][0](rng), overhead_s=OVERHEAD_S)
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            result = run_campaign(board, wanted, replace(config, seed=int(rng.integers(2**31))), Path(folder))
            records = read_journal(result.run_dir / "journal.jsonl").measurements
        mean = float(np.mean([board.level(at_s) for at_s in np.arange(0.0, board.now_s, STEP_S)]))
        repeated += result.repeated
        drifted += sum(m.env.get(VERDICT) == "drifted" for m in records)
        for rounds in _by_job(records):
            if any("drifted" in m.issues for m in rounds):
                flagged += 1
                continue
            found = [e for m in rounds if (e := estimate_of(m)) is not None]
            combined = combine_rounds([e.median for e in found], [e.standard_error for e in found])
            figures.append((combined.median / TRUE_NS, (combined.high - combined.median) / TRUE_NS, mean))
    centres, halves, means = np.array(figures).T
    total = count * JOBS
    return Outcome(
        float(np.mean(np.abs(centres - 1) <= halves)), float(np.mean(np.abs(centres - means) <= halves)),
        float(np.median(halves)), float(np.mean(centres)) - 1, float(np.max(np.abs(centres - 1))), flagged / total,
        repeated / (total * config.rounds), drifted / count,
    )  # fmt: skip


def _by_job(records: tuple[Measurement, ...]) -> list[list[Measurement]]:
    """The figures that count of each job: of every round its last."""
    last = {(m.workload_key, m.round): m for m in records if m.role.kind == "model" and m.samples_ns}
    found: dict[str, list[Measurement]] = {}
    for (key, _), m in last.items():
        found.setdefault(key, []).append(m)
    return list(found.values())


def _memory() -> str | None:
    """Where files cost no waiting for a disk; None where there is no such place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
