"""The scribe: writes outcomes down as records of the journal, under keys that say what was measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from profiler.fleet.targets import Device, Target
from profiler.measure.bimodality import MODES, is_bimodal, modes_of, still_bimodal
from profiler.measure.energy import judge
from profiler.measure.handover import Outcome, Task
from profiler.measure.journal import Journal
from profiler.measure.link import Link
from profiler.measure.preparation import Prepared
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import stable_facts
from profiler.measure.sentinel import sentinel_job
from profiler.measure.watch import BEGINS, DRIFT, VERDICT, Verdict

__all__ = ["PROTOCOL_VERSION", "Scribe", "digest"]

PROTOCOL_VERSION = 2
"""Part of every job key: a change in how a job is measured raises it."""

_MAX_ERROR_CHARACTERS = 500

_ALWAYS = {"qemu": ("emulated",), "simulated": ("simulated",)}
"""Issues that every figure of a device has, by its emulation."""


class Scribe:
    """Makes records of outcomes and journals them.

    Args:
        journal: of the run.
        device, target: where it is measured.
        link: knows the board's facts.
    """

    def __init__(self, journal: Journal, device: Device, target: Target, link: Link) -> None:
        self._journal = journal
        self._target = target
        self._link = link
        self._always = _ALWAYS.get(device.emulation, ())

    def job_key(self, item: Prepared, round_: int) -> str:
        """Hash of all that makes a measurement what it is; equal keys are never measured twice."""
        return self._key(item.job.workload.key, item.artefact_sha256, item.job.role, round_)

    def sentinel_key(self, round_: int, begins: bool, number: int) -> str:
        """Of a round's sentinel of this number, among those with which processes begin or among the others."""
        job = sentinel_job()
        return self._key(job.workload.key, "", job.role, round_, (begins, number))

    def _key(self, workload: str, artefact: str, role: Role, round_: int, which: tuple[bool, int] | None = None) -> str:
        parts = {
            "protocol": PROTOCOL_VERSION,
            "workload": workload,
            "artefact": artefact,
            "target": self._target.id,
            "facts": stable_facts(self._link.facts, self._target.runtime),
            "role": [role.kind, role.subject_key, role.mode, role.repeats, role.split],
            "round": round_,
        }
        return digest(parts if which is None else {**parts, "which": which})

    def record(self, task: Task, outcome: Outcome, doubts: Sequence[str] = ()) -> Measurement:
        """Journal how a job ended; a figure gets doubts that the campaign has, and one that its samples may add."""
        measurement = self.measurement(task, outcome)
        if measurement.status == "ok":
            modes = self._modes(measurement, bool(task.again))
            env = {**measurement.env, MODES: modes} if modes else measurement.env
            issues = dict.fromkeys((*measurement.issues, *(("bimodal",) if modes else ()), *doubts))
            measurement = replace(measurement, issues=tuple(issues), env=env)
        self._journal.append(measurement)
        return measurement

    def _modes(self, measurement: Measurement, again: bool) -> dict[str, float | int] | None:
        """The two groups of a figure's samples, or of those that it takes the place of."""
        if not measurement.samples_ns or measurement.runs_per_batch < 1:
            return None
        samples = [sample / measurement.runs_per_batch for sample in measurement.samples_ns]
        if is_bimodal(samples):
            return modes_of(samples)
        earlier = self._journal.find([measurement.job_key]) if again else []
        groups = earlier[0].env.get(MODES) if earlier else None
        return still_bimodal(groups, samples) if groups else None

    def record_sentinel(
        self, measurement: Measurement, verdict: Verdict, moved: float | None, begins: bool
    ) -> Measurement:
        """Journal a sentinel with what it says."""
        told: dict[str, Any] = {"sentinel": True, VERDICT: verdict, BEGINS: begins}
        told |= {} if moved is None else {DRIFT: round(moved, 6)}
        measurement = replace(measurement, env={**measurement.env, **told})
        self._journal.append(measurement)
        return measurement

    def keep_drifted(self, keys: Sequence[str]) -> None:
        """Journal the figures of these jobs anew, as ones that have drifted: later lines replace earlier ones."""
        for measurement in self._journal.find(keys):
            issues = dict.fromkeys((*measurement.issues, "drifted"))
            self._journal.append(replace(measurement, issues=tuple(issues)))

    def measurement(self, task: Task, outcome: Outcome) -> Measurement:
        """The record of an outcome, with the time at which it began: the board's clock may be wrong, so its durations
        count and not its dates."""
        reply = outcome.reply
        began = datetime.now(UTC) - timedelta(seconds=outcome.attempt_s or 0.0)
        env: dict[str, Any] = dict(reply.env) if reply else {}
        issues = tuple(reply.issues) if reply else ()
        energy_mj = reply.energy_mj if reply else None
        power = reply.power.record() if reply and reply.power else None
        if power is not None and outcome.status == "ok":
            energy_mj, issues, notes = judge(power, issues)
            env.update(notes)
        return Measurement(
            job_key=task.key,
            workload_key=task.item.job.workload.key,
            artefact_sha256=task.item.artefact_sha256,
            device_id=self._target.device_id,
            target_id=self._target.id,
            role=task.item.job.role,
            round=task.round,
            status=outcome.status,
            issues=tuple(dict.fromkeys((*issues, *self._always))),
            samples_ns=tuple(reply.samples_ns) if reply else (),
            runs_per_batch=reply.runs_per_batch if reply else 0,
            load_ns=reply.load_ns if reply else None,
            first_run_ns=reply.first_run_ns if reply else None,
            warmup_runs=reply.warmup_runs if reply else 0,
            output_error=reply.output_error if reply else None,
            energy_mj=energy_mj,
            error=outcome.error[:_MAX_ERROR_CHARACTERS],
            env={**env, "again": task.again} if task.again else env,
            started_at=began.isoformat(timespec="milliseconds"),
            power=power,
        )


def digest(parts: Any) -> str:
    """A name for what these parts say."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
