"""A runtime that sleeps instead of computing: boards with machines of their own, simulated on one machine.

Agent, protocol, SSH and journals are the real ones; only the processor's work is not there, so that six boards do not
get in each other's way. It is a plug-in: `profiler.fleet.plugins.using(SPEC)`.
"""

from __future__ import annotations

from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import Precision
from profiler.workloads.graph import Workload

RUN_S = 0.002
"""One run of anything."""

ON_BOARD = f"""\
import time
from ..runtimes.base import Model as Base


def import_runtime():
    return time, "sleeping"


class Model(Base):
    interface = "sleep"

    def __init__(self, runtime, job):
        self._expected = job["expected"]
        self.run = lambda: time.sleep({RUN_S})

    def output(self):
        import numpy

        found = numpy.zeros(self._expected["size"])
        found[self._expected["indices"]] = self._expected["values"]
        return found
"""


def _lower(workload: Workload, precision: Precision) -> bytes:
    return workload.key.encode()


SPEC = RuntimeSpec(name="sleeping", precisions=("fp32",), lower=_lower, suffix="sleep", agent_module=ON_BOARD)
