"""The worker: a process of its own that loads and times one artefact after the other, so that a crash is contained.

daemon -> worker   a job as the host sent it; end of file: the worker ends at once, with all that it has started
worker -> daemon   {"event": "ready"}, {"event": "stage", "stage": ...} before each step, {"event": "result", ...}
"""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any, Callable, Dict, Optional

from .. import outputs, runtimes
from ..facts import moment
from . import failures, timing
from .confine import CannotConfine, confine
from .sensors import EnergyMeter

Say = Callable[[Dict[str, Any]], None]


UNFIT_EXIT = 3
"""Exit status of a worker that cannot be what it is meant to be."""


class WrongOutput(Exception):
    """The output disagrees with the host's reference."""


class FellBack(Exception):
    """Operators run elsewhere than on the accelerator that was asked for."""


STATUSES = {
    WrongOutput: "wrong_output",
    FellBack: "delegate_fallback",
    runtimes.AcceleratorMissing: "delegate_fallback",
}
"""Of failures that are ours, not a runtime's; their words need no type in front."""


def work(limits: Dict[str, Any]) -> int:
    """Answer jobs on what was stdout when the process began, until stdin ends.

    Args:
        limits: what this process may use; see `confine`.
    """
    # runtimes chatter on stdout: the protocol keeps the real one and everybody else gets stderr
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _be_expendable()
    try:
        confine(limits)
    except CannotConfine as error:
        sys.stderr.write("%s\n" % error)
        return UNFIT_EXIT

    def say(message: Dict[str, Any]) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")
        answers.flush()

    jobs = _incoming()
    clock = timing.calibrate()
    say({"event": "ready"})
    while True:
        request = jobs.get()
        say(dict(run_job(request, clock, say), event="result"))


def _incoming() -> queue.Queue[Dict[str, Any]]:
    """Jobs as a thread reads them, which ends the process as soon as nobody can want its result any more.

    The thread sleeps in read() while jobs are timed, and takes nothing from them.
    """
    source = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    jobs: queue.Queue[Dict[str, Any]] = queue.Queue()

    def read() -> None:
        try:
            for line in source:
                jobs.put(json.loads(line.decode("utf-8")))
        finally:
            if os.getpgrp() == os.getpid():  # what a runtime has started ends as well
                os.killpg(0, signal.SIGKILL)
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return jobs


def _be_expendable() -> None:
    """Have the kernel take this process first when memory runs out, and keep its cores off the board's small disk."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def run_job(job: Dict[str, Any], clock: timing.ClockFacts, say: Say) -> Dict[str, Any]:
    """Run one job; whatever its runtime raises becomes a typed reply."""
    attempt = Attempt(job, clock, say)
    try:
        attempt.measure()
    except Exception as error:
        ours = STATUSES.get(type(error))
        attempt.reply.update(
            status=ours or failures.classify(attempt.stage, error),
            error=failures.shorten(str(error)) if ours else failures.describe(error),
            issues=[],
            samples_ns=[],
            runs_per_batch=0,
            energy_mj=None,
        )
    attempt.close()
    return attempt.reply


_imported: Dict[str, Any] = {}


def _runtime(name: str) -> Any:
    """What `runtimes.import_runtime` gives, asked for once a process."""
    if name not in _imported:
        _imported[name] = runtimes.import_runtime(name)
        # what an import leaves behind is never garbage: collections around the jobs (of torch 0.1 s each) pass it over
        gc.collect()
        gc.freeze()
    return _imported[name]


def empty_reply(job_id: str) -> Dict[str, Any]:
    """All fields of a reply, none of them known yet."""
    return {
        "id": job_id,
        "status": "ok",
        "issues": [],
        "samples_ns": [],
        "runs_per_batch": 0,
        "load_ns": None,
        "first_run_ns": None,
        "warmup_runs": 0,
        "output_error": None,
        "energy_mj": None,
        "error": "",
        "env": {},
    }


class Attempt:
    """One job on its way: import, load, first run, comparison, warm-up, sampling.

    Attributes:
        stage: what it is doing.
        reply: what is known so far.
    """

    def __init__(self, job: Dict[str, Any], clock: timing.ClockFacts, say: Say) -> None:
        self.job = job
        self.clock = clock
        self.say = say
        self.stage = "import"
        self.reply = empty_reply(job["id"])
        self.env: Dict[str, Any] = self.reply["env"]
        self.model: Optional[runtimes.Model] = None

    def enter(self, stage: str) -> None:
        """Tell which step begins, so that a death or a timeout can be blamed on it."""
        self.stage = stage
        self.say({"event": "stage", "stage": stage})

    def measure(self) -> None:
        """Do it all; the reply is complete afterwards."""
        name = self.job["runtime"]
        self.enter("import")
        runtime, version = _runtime(name)
        self.env.update(
            runtime=version,
            threads=self.job["threads"],
            clock_resolution_ns=self.clock.resolution_ns,
            clock_overhead_ns=self.clock.overhead_ns,
        )
        self.enter("load")
        start = time.perf_counter_ns()
        model = self.model = runtimes.load(name, runtime, self.job)
        self.reply["load_ns"] = time.perf_counter_ns() - start
        self.env["interface"] = model.interface
        self._check_coverage(model)
        self.enter("first run")
        start = time.perf_counter_ns()
        model.run()
        self.reply["first_run_ns"] = time.perf_counter_ns() - start
        model.settle()
        self.env.update(model.notes())
        self._compare(model)
        self._time(model)

    def _check_coverage(self, model: runtimes.Model) -> None:
        """Where the operators run, of a model that knows; fewer on the accelerator than hoped for is never silent."""
        coverage = model.coverage()
        if coverage is None:
            return
        counts = {name: int(coverage[name]) for name in ("delegate_operators", "fallback_operators")}
        self.env.update(counts)
        accelerator = self.job.get("accelerator") or ""
        if not accelerator or not counts["fallback_operators"]:
            return
        if not self.job.get("allow_fallback"):
            raise FellBack(
                "%d of %d operators do not run on %s: allow fallback, or leave out what it cannot run"
                % (counts["fallback_operators"], sum(counts.values()), accelerator)
            )
        self.reply["issues"].append("delegate_fallback")

    def _compare(self, model: runtimes.Model) -> None:
        self.enter("comparison")
        expected = self.job.get("expected")
        if expected is None:
            return
        model.run()  # settling may have moved the outputs: what is compared is what will be timed
        verdict = outputs.compare(model.output(), expected, self.job["precision"])
        self.reply["output_error"] = verdict.error
        if verdict.problem:
            raise WrongOutput(verdict.problem)

    def _time(self, model: runtimes.Model) -> None:
        settings = timing.Settings.read(self.job["config"])
        before = moment()
        with timing.no_collections():
            self.enter("warm-up")
            start = time.perf_counter()
            warm = timing.warm_up(model.run, settings, timing.least_batch_ns(settings, self.clock))
            warmup_s = time.perf_counter() - start
            self.enter("sampling")
            meter = EnergyMeter()
            start = time.perf_counter()
            sampling = timing.sample(model.run, warm.runs_per_batch, settings)
            sampling_s = time.perf_counter() - start
            energy = meter.read(len(sampling.samples_ns) * warm.runs_per_batch)
        after = moment()
        issues = {
            "not_steady": not warm.steady,
            "ci_not_met": not sampling.converged,
            "unpinned": not (before["pinned"] and after["pinned"]),
        }
        self.reply.update(
            issues=self.reply["issues"] + [code for code, applies in issues.items() if applies] + energy.issues,
            samples_ns=sampling.samples_ns,
            runs_per_batch=warm.runs_per_batch,
            warmup_runs=warm.runs,
            energy_mj=energy.energy_mj,
        )
        self.env.update(before, **energy.notes)
        self.env.update({name + "_after": after[name] for name in ("load_1min", "freq_mhz", "temperature_c")})
        self.env.update(timing.describe(sampling), warmup_s=round(warmup_s, 3), sampling_s=round(sampling_s, 3))

    def close(self) -> None:
        """Free the artefact before the next one is loaded."""
        if self.model is not None:
            try:
                self.model.close()
            except Exception as error:  # the figures are there already
                self.env["close_error"] = failures.describe(error)
        self.model = None
        gc.collect()
