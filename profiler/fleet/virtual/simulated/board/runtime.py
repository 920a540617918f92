"""The runtime of a simulated board: it computes nothing, takes its true time in virtual time, and gives back what the
artefact says it yields."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from . import VERSION
from . import graph as graphs
from .leaf import SimulatedLeaf
from .machine import Machine
from .roofline import Cost
from .store import append_line

if TYPE_CHECKING:
    from profiler.agent import leaf
    from profiler.agent.runtimes.base import AcceleratorMissing, check_inputs
    from profiler.agent.runtimes.base import Model as Base
else:
    from ... import leaf
    from ...runtimes.base import AcceleratorMissing, check_inputs
    from ...runtimes.base import Model as Base

FAULT_AT_RUN = 3
"""At which call a model that is to crash does so: in its warm-up."""

LOG = "truth.jsonl"


def import_runtime() -> Any:
    """The board, and name and version of the runtime.

    Raises:
        ImportError: this process is none of a simulated board's.
    """
    there = leaf.current()
    if not isinstance(there, SimulatedLeaf):
        raise ImportError("this board is not simulated: give its target a runtime that it has")
    return there.machine, "edgecost-simulated " + VERSION


class Run:
    """What is timed."""

    def __init__(self, model: SimulatedModel) -> None:
        self._model = model

    def __call__(self) -> None:
        """Once."""
        self._model.work(1)

    def many(self, runs: int) -> None:
        """So many runs, one after the other, in one step of virtual time where nothing happens between them."""
        self._model.work(runs)


class SimulatedModel(Base):
    """One artefact on a simulated board."""

    interface = "simulated"

    def __init__(self, machine: Machine, job: dict[str, Any]) -> None:
        if job.get("accelerator"):
            raise AcceleratorMissing(f"a simulated board has no accelerator {job['accelerator']!r}")
        with open(job["path"], encoding="utf-8", errors="replace") as file:
            text = file.read()
        graph = graphs.read(text)
        check_inputs(graph["inputs"], job["inputs"])
        for op in graph["ops"]:
            if op["kind"] in machine.spec["lacks"]:
                raise NotImplementedError(f"the operator {op['kind']} is not supported by {machine.spec['id']}")
        self.machine = machine
        self.cost = Cost(machine.spec, graph, job["threads"])
        self._graph = graph
        self._job = job
        self._calls = 0
        self._runs = 0
        self._age_s = 0.0
        machine.join()
        spec, state = machine.spec, machine.state
        self._fault = _fault(machine, state["models"])
        state["models"] += 1
        machine.rest(spec["load_s"] + len(text) / spec["load_bytes_per_s"])
        machine.save()
        self._before = dict(state)
        machine.account.watch(machine.now_s, machine.heat.throttled)
        self.run = Run(self)

    def work(self, runs: int) -> None:
        """Let the time pass that so many runs take."""
        self._calls += 1
        if self._fault and self._calls >= FAULT_AT_RUN:
            _fail(self.machine, self._fault)
        if not self._runs:
            self._age_s += self.machine.run(self.cost, 1, 0.0, cold=True)
            self.machine.rest(self.machine.spec["noise"]["cold_s"])
            runs -= 1
            self._runs = 1
        if runs:
            self._age_s += self.machine.run(self.cost, runs, self._age_s)
            self._runs += runs

    def output(self) -> Any:
        """Zeros, but for the values that the host wrote into the artefact: of those it knows the reference."""
        import numpy

        expected = self._graph["expected"]
        found = numpy.zeros(expected["size"])
        found[expected["indices"]] = expected["values"]
        return found

    def close(self) -> None:
        """Keep what lasts, and what truly was, for whoever compares: a line of `truth.jsonl` in the board's folder."""
        machine, before = self.machine, self._before
        state, noise = machine.state, machine.noise
        machine.save()
        busy_s = state["busy_s"] - before["busy_s"]
        truth = {
            "id": self._job.get("id"),
            "run_s": self.cost.run_s(),
            "net_w": machine.power.net_w(self.cost.activity),
            "runs": self._runs,
            "busy_s": busy_s,
            "throttled_s": state["throttled_s"] - before["throttled_s"],
            "throttled": machine.account.spans(machine.now_s),
            "began_s": before["now_ns"] / 1e9,
            "ended_s": machine.now_s,
            "celsius": machine.heat.celsius,
            "drift": (state["drift_s"] - before["drift_s"]) / busy_s if busy_s else noise.drift(machine.now_s),
            "second_mode": (state["second_s"] - before["second_s"]) / busy_s if busy_s else 0.0,
            "own": noise.own,
            "process": state["processes"],
            "boots": state["boots"],
        }
        append_line(os.path.join(machine.folder, LOG), truth)


def _fault(machine: Machine, number: int) -> str:
    """What is to go wrong with the model of that number, if anything."""
    faults = machine.spec["faults"]
    for name in ("crash", "reboot"):
        if number in faults[name + "_jobs"] or (
            faults[name + "_rate"] and machine.rng.random() < faults[name + "_rate"]
        ):
            return name
    return ""


def _fail(machine: Machine, fault: str) -> None:
    """The worker dies, or the whole board goes down: every process of it, its agent first."""
    if fault == "reboot":
        machine.boot()
        for pid in _processes_of_this_board():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        os.kill(os.getpid(), signal.SIGKILL)
    machine.save()
    os.kill(os.getpid(), signal.SIGSEGV)


def _processes_of_this_board() -> list[int]:
    """All others with this board's home and description in the environment that they were started with; the parent,
    which is the agent, comes first."""
    from .leaf import VARIABLE

    marks = {f"{name}={os.environ.get(name, '')}".encode() for name in ("HOME", VARIABLE)}
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if marks <= set(file.read().split(b"\0")):
                    found.append(int(name))
        except OSError:
            continue
    return sorted(found, key=lambda pid: pid != os.getppid())
