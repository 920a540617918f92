"""Cases are measured: each board behind SSH, by the campaign, agent and transport that measure real boards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

from profiler.errors import EdgeCostError, MeasurementError
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device
from profiler.fleet.virtual.leftovers import end_processes
from profiler.fleet.virtual.loopback import Fleet
from profiler.fleet.virtual.simulated.boards import SimulatedBoard, board_folder
from profiler.fleet.virtual.simulated.truth import read_log
from profiler.measure.campaign import Campaign
from profiler.measure.fusion_trials import pair_trials, read_findings, trial_jobs
from profiler.measure.limits import CampaignLimits
from profiler.validation import today
from profiler.validation.cases import Case
from profiler.validation.networks import jobs_of
from profiler.validation.observations import observed, verdicts
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.fusion_pairs import parse_pairs

__all__ = ["Record", "measure_cases", "read_records"]

Record = dict[str, Any]
"""What came of a case: JSON-able, see `observations`."""

AT_ONCE = 3
"""Boards that are measured side by side: virtual time is disturbed by nothing."""

_FLEET = 24
"""Boards of one fleet."""

_LIMITS = CampaignLimits(pause_s=0.0, longest_pause_s=0.0, block_s=1e9)
"""Real pauses bring a simulated board nothing: no virtual time passes in them."""


def read_records(path: Path) -> dict[str, Record]:
    """What an earlier run has left, by the case's digest; a torn last line is passed over."""
    found: dict[str, Record] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                found[record["digest"]] = record
            except (ValueError, KeyError, TypeError):
                continue
    return found


def measure_cases(cases: Sequence[Case], folder: Path, say: Callable[[str], None]) -> list[Record]:
    """Measure the cases that no earlier run in this folder has measured; the records of all, in their order.

    Args:
        cases: what there is to measure.
        folder: of what is kept between runs: records, artefacts.
        say: is told how far it is.

    Raises:
        EdgeCostError: a board was lost, a job failed, or something cannot be written; the same call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.jsonl"
    done = read_records(path)
    missing = [case for case in cases if case.digest not in done]
    if len(missing) < len(cases):
        say(f"{len(cases) - len(missing)} of {len(cases)} boards were measured before")
    finished = 0
    with path.open("a", encoding="utf-8") as file:
        for some in _lots(missing):
            for record in _measure_fleet(some, folder):
                file.write(json.dumps(record) + "\n")
                file.flush()
                done[record["digest"]] = record
                finished += 1
            say(f"{finished} of {len(missing)} boards measured, the last of them {some[-1].id}")
    return [done[case.digest] for case in cases]


def _lots(cases: Sequence[Case]) -> Iterator[list[Case]]:
    rest = iter(cases)
    while some := list(islice(rest, _FLEET)):
        yield some


def _measure_fleet(cases: Sequence[Case], folder: Path) -> Iterator[Record]:
    place = folder / "fleet"
    # what a proof that was killed has left running
    end_processes((place / "boards" / "boards").glob("*/home"))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    boards = [SimulatedBoard(case.id, case.spec) for case in cases]
    boards += [SimulatedBoard(today.twin(case.id), case.spec) for case in cases if case.today]
    files = ArtefactCache(folder / "artefacts")
    with Fleet(place / "boards", boards=boards) as fleet, ThreadPoolExecutor(AT_ONCE) as pool:
        devices = {device.id: device for device in fleet.devices()}
        work = [pool.submit(_measure, case, devices, fleet, place / "results", files) for case in cases]
        failed: EdgeCostError | None = None
        try:
            for each in as_completed(work):
                try:
                    yield each.result()
                except EdgeCostError as error:  # the boards beside it are none the worse for it
                    failed = failed or error
        finally:
            for each in work:
                each.cancel()
    if failed is not None:
        raise failed
    shutil.rmtree(place, ignore_errors=True)


def _measure(case: Case, devices: dict[str, Device], fleet: Fleet, results: Path, files: ArtefactCache) -> Record:
    device = devices[case.id]
    pairs = parse_pairs(case.pairs)
    jobs = trial_jobs(pair_trials(pairs)) if pairs else jobs_of(case.names)
    done = Campaign(connect, files, results, case.config, limits=_LIMITS).run(device, device.targets[0], jobs, "run")
    if done.failures:
        # none of these boards is made to fail: this machine was stopped, or something is broken
        said = ", ".join(f"{count} {status}" for status, count in done.failures.items())
        raise MeasurementError(f"On {case.id} jobs failed ({said}): see to it, and give the same command again.")
    record: Record = {"id": case.id, "family": case.family, "digest": case.digest}
    noise = case.spec.noise
    record["two_modes"] = noise.mode_share > 0 and noise.mode_ratio != 1
    if case.spec.sensor is not None:
        record["refresh_s"] = case.spec.sensor.refresh_s
    if pairs:
        record["verdicts"] = verdicts(case.spec, read_findings(done.run_dir, pairs))
    else:
        record |= observed(case.spec, jobs, done.run_dir, list(read_log(board_folder(fleet.home(case.id)))))
    if case.today:
        record["today"] = today.measure(devices[today.twin(case.id)], jobs, files)
    shutil.rmtree(done.run_dir)
    return record
