"""The worker: a process of its own that loads and times one artefact after the other, so that a crash is contained."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from typing import Any, Dict, List

from .facts import moment
from .runtimes import load
from .sensors import EnergyMeter
from .timing import clock_facts, measure

FP32_TOLERANCE = 1e-2
INT8_LEAST_SNR_DB = 8.0


def work() -> int:
    """Answer jobs from stdin on what was stdout when the process began, until stdin ends."""
    # runtimes chatter on stdout: the protocol keeps the real one, everybody else gets stderr
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    clock = clock_facts()
    for line in sys.stdin:
        reply = handle(json.loads(line), clock)
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
    return 0


def handle(job: Dict[str, Any], clock: Dict[str, float]) -> Dict[str, Any]:
    """Run one job; whatever goes wrong inside becomes a typed reply."""
    try:
        return _measured(job, clock)
    except MemoryError as error:
        return _failed("out_of_memory", error)
    except Exception as error:
        return _failed(classify(error), error)


def _measured(job: Dict[str, Any], clock: Dict[str, float]) -> Dict[str, Any]:
    start = time.perf_counter_ns()
    runner = load(job)
    load_ns = time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    runner.run()
    first_run_ns = time.perf_counter_ns() - start
    verdict = compare(runner.output(), job["expected"], job["precision"])
    reply = {"load_ns": load_ns, "first_run_ns": first_run_ns, "output_error": verdict["error"]}  # type: Dict[str, Any]
    if not verdict["ok"]:
        return dict(_failed("wrong_output", verdict["why"]), **reply)
    before = moment()
    meter = EnergyMeter()
    timed = measure(runner.run, job["config"], clock)
    runs = len(timed["samples_ns"]) * timed["runs_per_batch"] + timed["warmup_runs"]
    energy_mj, issues = meter.energy_mj(runs)
    env = {"clock": clock, "before": before, "after": moment(), "runtime": runner.version}
    return dict(
        reply, status="ok", samples_ns=timed["samples_ns"], runs_per_batch=timed["runs_per_batch"],
        warmup_runs=timed["warmup_runs"], issues=timed["issues"] + issues + before["issues"],
        energy_mj=energy_mj, error="", env=env,
    )  # fmt: skip


def compare(output: Any, expected: Dict[str, Any], precision: str) -> Dict[str, Any]:
    """The output against the host's reference at the reference's positions."""
    if output.size != expected["size"]:
        return {"ok": False, "error": None, "why": "%d values instead of %d" % (output.size, expected["size"])}
    found = [float(output[i]) for i in expected["indices"]]
    if not all(math.isfinite(v) for v in found):
        return {"ok": False, "error": None, "why": "the output holds NaN or infinity"}
    differences = [a - b for a, b in zip(found, expected["values"])]
    rms = expected["rms"] or 1.0
    if precision == "fp32":
        error = max(abs(d) for d in differences) / rms
        return {"ok": error <= FP32_TOLERANCE, "error": error, "why": "off by %.2g of the output's rms" % error}
    noise = sum(d * d for d in differences)
    signal = sum(v * v for v in expected["values"])
    error = math.sqrt(noise / len(differences)) / rms
    snr_db = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else (math.inf if noise <= 0 else -math.inf)
    return {"ok": snr_db >= INT8_LEAST_SNR_DB, "error": error, "why": "signal-to-noise of %.1f dB only" % snr_db}


UNSUPPORTED = ("not implemented", "not_implemented", "unsupported", "not a registered function", "no op for", "is not supported", "unresolved custom op", "didn't find op")
MEMORY = ("bad_alloc", "out of memory", "can't allocate memory", "cannot allocate memory", "failed to allocate")


def classify(error: BaseException) -> str:
    """The type of a failure that a runtime told in words."""
    text = (type(error).__name__ + " " + str(error)).lower()
    if any(word in text for word in MEMORY):
        return "out_of_memory"
    if any(word in text for word in UNSUPPORTED):
        return "unsupported_operator"
    if "no space left" in text:
        return "disk_full"
    return "crashed"


def _failed(status: str, error: Any) -> Dict[str, Any]:
    issues = []  # type: List[str]
    name = type(error).__name__ + ": " if isinstance(error, BaseException) else ""
    return {
        "status": status, "issues": issues, "samples_ns": [], "runs_per_batch": 0, "load_ns": None,
        "first_run_ns": None, "warmup_runs": 0, "output_error": None, "energy_mj": None,
        "error": (name + str(error))[:500], "env": {},
    }  # fmt: skip
