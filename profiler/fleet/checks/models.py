"""A model for every target, run on the board as a campaign would.

An import that succeeds proves nothing (tflite-runtime beside numpy 2 imports, and fails when a model is loaded; some
wheels die of an illegal instruction on older cores), so every target runs a model, in a process of its own.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from profiler.errors import EdgeCostError
from profiler.fleet.checks.findings import Finding, error, ok, warning
from profiler.fleet.messages import Facts, Reply
from profiler.fleet.probing import probing_config, probing_workload
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.sessions.workplace import COMMAND_S, complaint
from profiler.fleet.targets import Device, Precision, Runtime, Target
from profiler.fleet.transport.base import Transport
from profiler.workloads.artefacts import Artefact, ArtefactCache

__all__ = ["Models", "check_libraries", "check_target"]

_CONFIG = probing_config(job_timeout_s=120.0)

_LOAD_LIBRARY = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


class Models:
    """The probing models, each lowered once for all boards; a context manager that keeps them in a passing folder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgecost-check-")
        self._cache = ArtefactCache(Path(self._folder.name))
        self._lock = threading.Lock()  # the builders' libraries do not all stand several threads
        self._workload = probing_workload()

    def get(self, runtime: Runtime, precision: Precision) -> Artefact:
        """The model as a file; EdgeCostError or ImportError where this host cannot make it."""
        with self._lock:
            return self._cache.get(self._workload, runtime, precision)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._folder.cleanup()


def check_libraries(transport: Transport, device: Device, python: str) -> Iterator[Finding]:
    """Whether the declared libraries of accelerators are there and can be loaded; raises as Transport.run."""
    for accelerator, path in device.libraries:
        name = f"the library {path} of the accelerator {accelerator}"
        # not by the file service, which may be confined to the home
        if transport.run(["test", "-e", path], timeout_s=COMMAND_S).exit_status != 0:
            yield error(
                f"{name} is not there",
                f"install it on the board, or correct `libraries` of {device.id} in devices.yaml",
            )
            continue
        result = transport.run([python, "-c", _LOAD_LIBRARY, path], timeout_s=COMMAND_S)
        if result.exit_status == 0:
            yield ok(f"{name} can be loaded")
        else:
            yield error(
                f"{name} cannot be loaded ({complaint(result)})",
                "install the build of it that is for this board's system and processor, with what it needs",
            )


def check_target(session: BoardSession, target: Target, facts: Facts, models: Models) -> Iterator[Finding]:
    """Run a model as this target would; raises as BoardSession.measure."""
    if target.threads > facts.logical_cores:
        yield warning(
            f"{target.id} asks for {target.threads} threads of {facts.logical_cores} cores",
            "lower `threads`: threads that wait for a core measure the scheduler",
        )
    try:
        artefact = models.get(target.runtime, target.precision)
    except (EdgeCostError, ImportError) as problem:
        yield error(
            f"this host cannot build a model for {target.id} ({problem})",
            'install the runtimes here: `pip install "edgecost[all]"`',
        )
        return
    yield _verdict(target, session.measure(artefact, target, _CONFIG), facts)


def _verdict(target: Target, reply: Reply, facts: Facts) -> Finding:
    version = reply.env.get("runtime") or facts.runtimes.get(target.runtime) or "an unknown version"
    if reply.status == "ok" and "delegate_fallback" in reply.issues:
        return warning(
            f"{target.id} runs a model correctly ({version}), some of its operators not on {target.accelerator}",
            "its figures are flagged `delegate_fallback`; leave `allow_fallback` out to refuse them",
        )
    if reply.status == "ok":
        return ok(f"{target.id} runs a model correctly ({version})")
    return error(f"{target.id} cannot run a model: {reply.status} ({reply.error})", _remedy(target, reply))


def _remedy(target: Target, reply: Reply) -> str:
    provision = f"`edgecost devices provision {target.device_id}`"
    if reply.status == "delegate_fallback":
        return "choose operators that the accelerator has, or set `allow_fallback: true`, which flags the figures"
    if "SIG" in reply.error:
        return f"this build of it does not suit the board's processor: {provision} looks for one that does"
    if any(words in reply.error for words in ("RuntimeMissing", "No module named", "is not installed")):
        return f"install it: {provision}"
    if target.accelerator:
        return (
            f"see that the driver and the library of {target.accelerator} are installed on the board, and name the "
            "library under `libraries` where it is not in its usual place"
        )
    return f"try another version of it: {provision}"
