"""How most tools measure today: one model at a time, sent, run by a process of its own, and its result fetched.

This is our own small script of that protocol, kept friendly to it: one connection serves all models, the interpreter
is the board's own, and nothing is slept. The board's half is `ON_BOARD`.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import Any

from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import connect
from profiler.workloads.artefacts import Artefact

WARM_UPS = 10
RUNS = 50

ON_BOARD = """\
import json, sys, time
import numpy, onnxruntime
model, shapes, result = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
rng = numpy.random.default_rng(0)
feed = {node.name: rng.uniform(-1, 1, shape).astype("float32") for node, shape in zip(session.get_inputs(), shapes)}
for _ in range(int(sys.argv[4])):
    session.run(None, feed)
taken = []
for _ in range(int(sys.argv[5])):
    start = time.perf_counter_ns()
    session.run(None, feed)
    taken.append(time.perf_counter_ns() - start)
with open(result, "w") as file:
    json.dump(taken, file)
"""


@dataclass(frozen=True)
class PeerResult:
    """One model's figures."""

    samples_ns: tuple[int, ...]

    @property
    def mean_ns(self) -> float:
        """What these tools report."""
        return statistics.fmean(self.samples_ns)

    @property
    def median_ns(self) -> float:
        """For the comparison."""
        return statistics.median(self.samples_ns)


class Peer:
    """A connection over which models are measured one by one; a context manager."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._transport = connect(device)
        answer = self._transport.run(["sh", "-c", 'mktemp -d -p "$HOME"'], timeout_s=30)
        self._folder = answer.stdout.decode().strip().splitlines()[-1]
        self._transport.put(ON_BOARD.encode(), f"{self._folder}/measure.py")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._transport.run(["rm", "-r", "--", self._folder], timeout_s=30)
        self._transport.close()

    def measure(self, artefact: Artefact) -> PeerResult:
        """Send, run, fetch."""
        model, result = f"{self._folder}/model.onnx", f"{self._folder}/result.json"
        self._transport.put(artefact.path.read_bytes(), model)
        shapes = json.dumps([list(shape) for shape in artefact.inputs])
        command = [self._device.python, f"{self._folder}/measure.py", model, shapes, result, str(WARM_UPS), str(RUNS)]
        done = self._transport.run(command, timeout_s=120)
        if done.exit_status != 0:
            raise SystemExit(f"the peer's process failed: {done.stderr.decode(errors='replace')[-500:]}")
        fetched: Any = json.loads(self._transport.run(["cat", "--", result], timeout_s=30).stdout)
        return PeerResult(tuple(int(taken) for taken in fetched))
