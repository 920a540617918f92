"""A host that visits a hostile board, in a process of its own so that its memory can be told from the board's.

For every line of stdin, the arguments of `visit`, it opens a session as a campaign does, hands a block of two jobs
over, and writes one line: which error ended it ("" for none), what it said, how long that took, how much memory it took
at its peak beyond what it had before, and what came from the board.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from profiler.errors import EdgeCostError
from profiler.fleet.sessions import attaching, pushing, stale
from profiler.fleet.sessions.session import BoardSession, SessionLimits
from profiler.fleet.targets import Device, LeaseTerms, Target
from profiler.fleet.transport.ssh import Limits
from profiler.fleet.transport.ssh import connect as connect_ssh
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact
from profiler.workloads.expected import Expected

TARGET = Target("hostile", "onnxruntime", "fp32")
CONFIG = MeasureConfig(min_batches=1, job_timeout_s=1.0, cool_s=0.0)
BRIEF = SessionLimits(start_s=1.0, machine_lease_s=1.0, silence_s=1.0, margin_s=0.5, replay_s=1.0)
LINK = Limits(connect_s=5.0, handshake_s=2.0, auth_s=5.0, channel_s=2.0, transfer_s=2.0)
SESSION = "5e5510" * 5 + "00"


def visit(told: list[str], work: Path, port: int, key: str, fingerprint: str, pause_s: float, patience: float) -> None:
    """Notes all that a board tells; raises what its lies lead to. All limits are `patience` times those of a test."""
    attaching.COMMAND_S = stale._END_S = 2.0 * patience  # type: ignore[attr-defined]
    pushing._ANSWER_S = 1.0 * patience
    limits = SessionLimits(**{name: value * patience for name, value in asdict(BRIEF).items()})
    link = Limits(**{name: value * patience for name, value in asdict(LINK).items()})
    path = work / "model.onnx"
    data = b"a model"
    path.write_bytes(data)
    reference = Expected((0,), (1.0,), 1.0, 1)
    sha256 = hashlib.sha256(data).hexdigest()
    artefact = Artefact(path, sha256, "onnx", "onnxruntime", "fp32", "key", ((1, 2, 3, 3),), "nchw", reference)
    device = Device(
        "hostile", "127.0.0.1", "tester", (TARGET,), port=port, identity_file=key, host_key=fingerprint,
        python=sys.executable, workdir="~/work", machine=str(work), lease=LeaseTerms(wait_s=0.5),
    )  # fmt: skip
    with BoardSession(device, connect_ssh(device, link), SESSION, limits) as session:
        told.append(str(session.facts().model_dump(mode="json")))
        time.sleep(pause_s)  # a host that has something else to do: lowering the next block
        block = [BoardJob("job1", artefact), BoardJob("job2", artefact, fresh=True)]
        for name, reply in session.run(block, TARGET, CONFIG):
            told.append(f"{name} {reply.model_dump(mode='json')}")


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Answer line by line."""
    for line in sys.stdin:
        request = json.loads(line)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, start = _status_mb("VmRSS"), time.monotonic()
        outcome: dict[str, Any] = {"error": "", "text": "", "typed": True, "told": []}
        try:
            visit(outcome["told"], Path(request.pop("work")), **request)
        except Exception as error:  # noqa: BLE001  what is not one of ours is a finding
            typed = isinstance(error, EdgeCostError)
            outcome.update(error=type(error).__name__, text=str(error), typed=typed)
        outcome.update(seconds=time.monotonic() - start, extra_mb=_status_mb("VmHWM") - before)
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
