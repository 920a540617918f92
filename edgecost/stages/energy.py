"""Calibrating a board's own power sensor against an external meter."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.energy_loads import LEVELS, loads
from edgecost.stages.places import artefact_cache, check_writable
from edgecost.stages.targets import find_target
from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.targets import Device, Sensor, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.meters.base import Meter, Trace

if TYPE_CHECKING:
    from profiler.measure.board import SessionFactory
    from profiler.measure.meters.calibration import Calibration, Point
    from profiler.measure.progress import Progress
    from profiler.measure.record import Measurement

__all__ = ["CalibrationRun", "calibrate", "check", "write"]

FORMAT = 1

CONFIG = MeasureConfig(
    rounds=1, warmup_s=0.5, min_batches=5, target_half_width=0.5, cap_s=1.0, cool_s=0.0, sentinel_jobs=0, retries=0,
    energy=True, energy_load_s=15.0, energy_idle_s=8.0,
)  # fmt: skip
"""Latency is of no interest here, and longer spells make up for what the guard bands take."""

EARLIER_S = 2.0
"""A job may have begun so much before the host believes."""


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """What a calibration came to.

    Attributes:
        target_id, sensor, scope: what was calibrated.
        meter, meter_scope: by what.
        name: of the relation, where the scopes differ; "" otherwise.
        made_at: UTC.
        left_out: loads that gave no windows, and why.
        found: the line, and all of its points.
    """

    target_id: str
    sensor: str
    scope: str
    meter: str
    meter_scope: str
    name: str
    made_at: str
    left_out: tuple[str, ...]
    found: Calibration

    def entry(self) -> dict[str, Any]:
        """What the sensor's entry in devices.yaml takes."""
        found = self.found
        fields: dict[str, Any] = {
            "gain": round(found.gain, 6),
            "offset_uw": round(found.offset_uw, 1),
            "gain_u": float(f"{found.gain_u:.3g}"),
            "offset_u_uw": float(f"{found.offset_u_uw:.3g}"),
        }
        return fields if self.scope == self.meter_scope else {"scope": self.meter_scope, **fields}

    def to_dict(self) -> dict[str, Any]:
        """All of it, as it is written."""
        return {"format": FORMAT, **asdict(self), "entry": self.entry()}


def calibrate(
    devices: Sequence[Device],
    target: str,
    meter: Meter,
    levels: int,
    results: Path,
    *,
    across: str = "",
    progress: Progress | None = None,
    connect: SessionFactory | None = None,
) -> CalibrationRun:
    """Run several loads on a board while both its sensor and the meter look on, and find the line between them.

    Args:
        devices: among them the target's.
        target: a target or device id.
        meter: beside the board.
        levels: how many loads, 2 to LEVELS.
        results: the run goes to RESULTS/<device>/calibrate-<time>.
        across: a name for the relation between two scopes; only with one is a sensor calibrated by a meter of another.
        progress: is told what happens.
        connect: opens a session; by default over SSH.

    Raises:
        ConfigError: no such target or number of levels, no sensor declared, scopes that differ, a simulated board.
        DeviceError: the board cannot be used.
        MeasurementError: too few windows, too little spread of power, or a meter that cannot be understood.
    """
    from profiler.measure.campaign import Campaign
    from profiler.measure.jobs import model_jobs
    from profiler.measure.journal import read_journal
    from profiler.measure.lowering import Lowerings
    from profiler.measure.meters.calibration import fit
    from profiler.workloads.artefacts import ArtefactCache

    device, chosen = find_target(devices, target)
    _check(device, chosen, meter.scope, levels, across)
    # what an earlier calibration found must not be found once more on top of itself
    own = tuple(_bare(sensor) for sensor in device.sensors if sensor.kind != "external")
    device = replace(device, sensors=own)
    if connect is None:
        from profiler.fleet.sessions.session import connect as over_ssh

        connect = over_ssh
    made_at = datetime.now(UTC)
    chosen_loads = loads(levels)
    with meter, Lowerings(ArtefactCache(artefact_cache())) as source:
        campaign = Campaign(connect, source, results, CONFIG, progress)
        meter.start()
        zero_s = time.time() - time.monotonic()
        run = campaign.run(device, chosen, model_jobs(chosen_loads), f"calibrate-{made_at:%Y%m%d-%H%M%S}")
        trace = meter.stop()
    names = {load.key: load.name for load in chosen_loads}
    found = read_journal(run.run_dir / "journal.jsonl").measurements
    points, left_out, sensor, scope = _points(found, names, trace, zero_s)
    _check_scope(chosen, scope or _declared_scope(device), meter.scope, across)
    try:
        line = fit(points, trace.accuracy.gain_u, trace.accuracy.offset_u_uw)
    except MeasurementError as error:
        reasons = f" ({'; '.join(dict.fromkeys(left_out))})" if left_out else ""
        raise MeasurementError(f"{chosen.id} cannot be calibrated: {error}{reasons}") from None
    return CalibrationRun(
        chosen.id, sensor, scope, trace.meter, trace.scope, across if scope != trace.scope else "",
        made_at.isoformat(timespec="seconds"), tuple(left_out), line,
    )  # fmt: skip


def check(devices: Sequence[Device], target: str, scope: str, levels: int, across: str, out: Path) -> None:
    """Whether a calibration could begin and its result be kept, before a meter or a board is so much as opened.

    Args:
        devices, target, levels, across: as of `calibrate`.
        scope: the meter's.
        out: where the result is to go.

    Raises:
        ConfigError: as of `calibrate`.
        StorageError: the file cannot be written.
    """
    from profiler.measure.meters.base import check_scope

    check_scope(scope)
    device, chosen = find_target(devices, target)
    _check(device, chosen, scope, levels, across)
    check_writable(out)


def _bare(sensor: Sensor) -> Sensor:
    return replace(sensor, gain=None, offset_uw=None, gain_u=None, offset_u_uw=None)


def _declared_scope(device: Device) -> str:
    scopes = [sensor.scope for sensor in device.sensors if sensor.kind != "external"]
    return scopes[0] if scopes else ""


def _check(device: Device, target: Target, meter_scope: str, levels: int, across: str) -> None:
    if not 2 <= levels <= LEVELS:
        raise ConfigError(f"--levels must be 2 to {LEVELS}, not {levels}")
    if device.emulation == "simulated":
        raise ConfigError(f"{device.id} is simulated: its time is not the meter's, and there is nothing to measure")
    if device.sensors and not _declared_scope(device):
        raise ConfigError(
            f"{device.id} declares external meters only: there is no sensor of its own that could be calibrated"
        )
    _check_scope(target, _declared_scope(device), meter_scope, across)


def _check_scope(target: Target, scope: str, meter_scope: str, across: str) -> None:
    if scope and scope != meter_scope and not across:
        raise ConfigError(
            f"the sensor of {target.id} shows {scope} and the meter {meter_scope}: scopes do not mix; connect the "
            "meter where the sensor is, or name the relation between the two with --across NAME"
        )


def _points(
    found: Sequence[Measurement], names: dict[str, str], trace: Trace, zero_s: float
) -> tuple[list[Point], list[str], str, str]:
    """The windows of all jobs, why some gave none, and the sensor that was read."""
    from profiler.measure.energy import energy_of
    from profiler.measure.meters.align import align, power_of
    from profiler.measure.meters.calibration import paired

    points: list[Point] = []
    left_out: list[str] = []
    sensor = scope = ""
    ordered = sorted(found, key=lambda m: m.started_at)
    begins = [datetime.fromisoformat(m.started_at).timestamp() - zero_s for m in ordered]
    for place, (m, began) in enumerate(zip(ordered, begins, strict=True)):
        name = names.get(m.workload_key, m.workload_key[:8])
        bad = _UNUSABLE & set(m.issues)
        if m.power is None or bad or m.status != "ok":
            left_out.append(f"{name}: {m.error or ', '.join(sorted(bad)) or m.status}")
            continue
        latest = begins[place + 1] if place + 1 < len(begins) else trace.times_s[-1]
        length_s = m.power.idle_after_us[1] / 1e6
        try:
            where = align(trace, m.power, began - EARLIER_S, max(began, latest - length_s) + EARLIER_S)
            beside = power_of(trace, m.power, where)
        except MeasurementError as error:
            left_out.append(f"{name}: {error}")
            continue
        wrong = _UNUSABLE & set(energy_of(beside).issues)
        if wrong:
            left_out.append(f"{name}: the meter's {', '.join(sorted(wrong))}")
            continue
        sensor, scope = m.power.sensor, m.power.scope
        points += paired(name, m.power, beside)
    return points, left_out, sensor, scope


_UNUSABLE = frozenset({"sensor_missing", "sensor_lost", "sensor_stuck", "sensor_implausible", "energy_window_short"})


def write(path: Path, run: CalibrationRun) -> None:
    """Write a calibration as JSON, whole or not at all."""
    from profiler.fleet.inventory.yamltext import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(run.to_dict(), indent=2) + "\n")
