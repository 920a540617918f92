"""One job on its way through a worker, and what a worker keeps from one job to the next."""

from __future__ import annotations

import gc
from typing import Any, Callable, Dict, List, Optional

from .. import facts, outputs, runtimes
from ..cpus import governor, is_pinned
from . import failures, timing
from .bench import Bench
from .caches import cold_caches
from .calibration import least_batch_ns
from .clocks import Clocks
from .energy import record_power
from .heat import Thermometer, cool_down
from .observer import Observer
from .pinning import HOLDING, Wish
from .replies import empty_reply
from .sampling import ask_accelerator, sample_settled
from .settings import Settings
from .throttle import ThrottleWord

Say = Callable[[Dict[str, Any]], None]


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

_imported: Dict[str, Any] = {}


def _runtime(name: str) -> Any:
    """What `runtimes.import_runtime` gives, asked for once a process."""
    if name not in _imported:
        _imported[name] = runtimes.import_runtime(name)
        # what an import leaves behind is never garbage: collections around the jobs (of torch 0.1 s each) pass it over
        gc.collect()
        gc.freeze()
    return _imported[name]


def run_job(job: Dict[str, Any], bench: Bench, say: Say) -> Dict[str, Any]:
    """Run one job; whatever its runtime raises becomes a typed reply."""
    attempt = Attempt(job, bench, say)
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
            power=None,
        )
    attempt.close()
    return attempt.reply


class Attempt:
    """One job on its way: pinning, cooling, import, load, first run, comparison, warm-up, sampling, energy.

    Attributes:
        stage: what it is doing.
        reply: what is known so far.
    """

    def __init__(self, job: Dict[str, Any], bench: Bench, say: Say) -> None:
        self.job = job
        self.bench = bench
        self.board = bench.board
        self.say = say
        self.stage = "import"
        self.reply = empty_reply(job["id"])
        self.env: Dict[str, Any] = self.reply["env"]
        self.issues: List[str] = self.reply["issues"]
        self.model: Optional[runtimes.Model] = None
        self.settings = Settings.read(job["config"])
        self.declared: Dict[str, Any] = job.get("board") or {}
        self.heat: Dict[str, Any] = self.declared.get("heat") or {}
        self.thermometer = Thermometer(self.board, self.heat)
        self.cpus: List[int] = job.get("cpus") or self.board.affinity()

    def enter(self, stage: str) -> None:
        """Tell which step begins, so that a death or a timeout can be blamed on it."""
        self.stage = stage
        self.say({"event": "stage", "stage": stage})

    def measure(self) -> None:
        """Do it all; the reply is complete afterwards."""
        self._pin()
        self._cool()
        model = self._load()
        self._compare(model)
        with timing.no_collections():
            self._time(model)
        self._measure_energy(model)

    # The board, before anything runs

    def _pin(self) -> None:
        """Governor and clock as the device and the target declare them; what may not be set is told."""
        pins = self.bench.pins(self.job)
        if pins is None:
            return
        wish = Wish.of(self.declared) if self.settings.pin else Wish("", None)
        if not pins.hold(self.cpus, wish):
            self.issues.append("governor_refused")

    def _held(self) -> bool:
        """Whether the clock is held at one frequency: by its limits, or by the governor that was asked for."""
        if is_pinned(self.cpus):
            return True
        wanted = self.declared.get("governor")
        return wanted in HOLDING and governor(self.cpus) == wanted

    def _cool(self) -> None:
        """Wait until the board is at rest; where it has no temperature, this says and costs nothing."""
        if self.settings.cool_s <= 0 or self.thermometer.read() is None:
            return
        self.enter("cooling")
        memory = self.bench.memory
        cooling = cool_down(self.board, self.thermometer, memory, self.settings)
        self.env["cooled_s"] = round(cooling.waited_s, 3)
        if memory.idle_c is not None:
            self.env["idle_c"] = round(memory.idle_c, 1)
        if cooling.too_hot:
            self.issues.append("too_hot")

    # The model, until its figures may be believed

    def _load(self) -> runtimes.Model:
        name, clock = self.job["runtime"], self.board.clock_ns
        self.enter("import")
        runtime, version = _runtime(name)
        self.env.update(
            runtime=version,
            threads=self.job["threads"],
            clock_resolution_ns=self.bench.clock.resolution_ns,
            clock_overhead_ns=self.bench.clock.overhead_ns,
        )
        self.enter("load")
        start = clock()
        model = self.model = runtimes.load(name, runtime, self.job)
        self.reply["load_ns"] = _passed_ns(start, clock())
        self.env["interface"] = model.interface
        self._check_coverage(model)
        self.enter("first run")
        start = clock()
        model.run()
        self.reply["first_run_ns"] = _passed_ns(start, clock())
        model.settle()
        self.env.update(model.notes())
        return model

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
        self.issues.append("delegate_fallback")

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

    # Its figures

    def _time(self, model: runtimes.Model) -> None:
        """Warm up and sample, with somebody looking at the board meanwhile."""
        settings, board = self.settings, self.board
        before, was_held = self._moment(), self._held()
        observer = self._observer()
        try:
            self.enter("warm-up")
            warm = timing.warm_up(model.run, settings, least_batch_ns(settings, self.bench.clock), board.clock_ns)
            self.enter("sampling")
            settled = sample_settled(lambda: self._sampler(model, warm.runs_per_batch), settings, observer)
        finally:
            if observer is not None:
                observer.stop()
        after = self._moment()
        sampler, verdict, sampling = settled.sampler, settled.verdict, settled.sampling
        codes = {
            "not_steady": not (warm.steady and settled.steady),
            "ci_not_met": not sampling.converged,
            "unpinned": not (was_held and self._held()),
            "clock_stepped": bool(sampler.stepped),
            "thermal_unknown": self.thermometer.doubtful,
            "simulated": board.simulated,
        }
        self.issues += [code for code, applies in codes.items() if applies] + verdict.issues
        warmup_runs = warm.runs + settled.warmup_runs
        self.reply.update(samples_ns=verdict.samples_ns, runs_per_batch=sampler.runs_per_batch, warmup_runs=warmup_runs)
        self.env.update(before, **{name + "_after": after[name] for name in ("load_1min", "freq_mhz", "temperature_c")})
        self.env.update(timing.describe(sampling), **verdict.env)
        warmup_s = warm.lasted_s + settled.warmup_s
        self.env.update(warmup_s=round(warmup_s, 3), sampling_s=round(sampler.lasted_s, 3))
        device_ns = ask_accelerator(model)
        if device_ns is not None:
            self.env["device_ns"] = device_ns
        self._remember(observer)

    def _moment(self) -> Dict[str, Any]:
        """What the board is doing, the temperature being that of the zones that were declared."""
        found = facts.moment()
        temperature_c = self.thermometer.read()
        return dict(found, temperature_c=None if temperature_c is None else round(temperature_c, 1))

    def _observer(self) -> Optional[Observer]:
        """Somebody who looks already."""
        if self.settings.observe_hz <= 0:
            return None
        clocks = Clocks(self.board, self.cpus, self.declared.get("clock") or "unpinned")
        word = ThrottleWord(self.board, self.heat)
        observer = Observer(self.board, self.settings.observe_hz, clocks, self.thermometer, word)
        observer.start()
        return observer

    def _sampler(self, model: runtimes.Model, runs_per_batch: int) -> timing.Sampler:
        """Of batches; where the caches are to be cold, of single runs, each after an eviction."""
        evict = None
        if self.settings.cache == "cold":
            memory_mb = self.job.get("memory_mb") or facts.memory_mb()
            evict, evicted_bytes = cold_caches(self.board, self.cpus[0], memory_mb)
            runs_per_batch = 1
            self.env.update(cache="cold", evicted_mb=evicted_bytes >> 20)
        return timing.Sampler(model.run, runs_per_batch, self.settings, self.board.clock_ns, evict)

    def _remember(self, observer: Optional[Observer]) -> None:
        """By the temperatures of this job the next one sees whether the board is at rest."""
        if observer is None:
            return
        now_ns, now_s = self.board.clock_ns(), self.board.monotonic()
        # a clock may have been set back
        seen = [(at_ns, value) for at_ns, value in observer.temperatures() if at_ns <= now_ns]
        self.bench.memory.add((now_s - (now_ns - at_ns) / 1e9, value) for at_ns, value in seen)

    def _measure_energy(self, model: runtimes.Model) -> None:
        """The record of a power sensor, of a load and idle spells of its own; the host makes energy of it."""
        if self.settings.energy:
            self.enter("energy")
        power, codes, notes = record_power(model.run, self.settings, self.job, self.board)
        self.reply["power"] = power
        self.issues += [code for code in codes if code not in self.issues]
        self.env.update(notes)

    def close(self) -> None:
        """Free the artefact before the next one is loaded."""
        if self.model is not None:
            try:
                self.model.close()
            except Exception as error:  # the figures are there already
                self.env["close_error"] = failures.describe(error)
        self.model = None
        gc.collect()


def _passed_ns(begin: int, end: int) -> Optional[int]:
    """The time between two readings; None where the clock went backwards: nobody knows, and it was not 0."""
    return end - begin if end >= begin else None
