"""Is a board ready? What `edgecost devices check` finds out, and how to mend what is missing.

An import that succeeds proves nothing (tflite-runtime beside numpy 2 imports, and fails when a model is loaded; some
wheels die of an illegal instruction on older cores), so every runtime runs a model, in a process of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from profiler.errors import EdgeCostError
from profiler.fleet.devices import DeviceEntry
from profiler.fleet.messages import Facts, Reply, escape
from profiler.fleet.session import BoardSession
from profiler.fleet.targets import Device, Runtime, Target
from profiler.fleet.transport.base import Transport
from profiler.fleet.workplace import COMMAND_S, Workplace, complaint, prepare
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

__all__ = ["Finding", "check", "examine"]

OLDEST_PYTHON = (3, 7)
ENOUGH_MB, LEAST_MB = 500, 50
"""Free space for artefacts: below the first a warning, below the second an error."""

_PROBE_CONFIG = MeasureConfig(
    rounds=1, min_batch_s=0.001, warmup_runs=1, warmup_s=0.0, min_batches=3, cap_s=0.2, job_timeout_s=120.0
)

_PACKAGES: dict[Runtime, str] = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert", "torch": "torch"}

_SENSORS = r"""
for f in /sys/class/hwmon/hwmon*/name; do test -r "$f" && printf 'hwmon %s\n' "$(cat "$f")"; done
for f in /sys/class/thermal/thermal_zone*/type; do test -r "$f" && printf 'zone %s\n' "$(cat "$f")"; done
for c in "$@"; do command -v "$c" > /dev/null 2>&1 && printf 'command %s\n' "$c"; done
exit 0
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found out about a board.

    Attributes:
        level: "ok", "warning" (it works, with a doubt) or "error" (it does not work).
        what: one sentence.
        remedy: what to do; "" when nothing needs doing, or when `what` is an error's sentence, which says it.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    remedy: str = ""


def check(device: Device, *, declared: DeviceEntry | None = None) -> list[Finding]:
    """Log in to a board and find out whether it can measure all of its targets; errors become findings.

    Args:
        device: the board.
        declared: its entry of devices.yaml, when its sensors should be looked for too.
    """
    from profiler.fleet.transport.ssh import connect

    try:
        transport = connect(device)
    except EdgeCostError as error:
        return [Finding("error", str(error))]
    reached = Finding("ok", f"reached as {device.user}@{device.host}:{device.port}, host key and our key accepted")
    try:
        return [reached, *examine(device, transport, declared=declared)]
    finally:
        transport.close()


def examine(device: Device, transport: Transport, *, declared: DeviceEntry | None = None) -> list[Finding]:
    """`check` over a link that exists already, which it closes."""
    findings: list[Finding] = []
    try:
        place = prepare(transport, device)
        findings += _space(transport, place)
        python = _python(transport, place)
        findings.append(python)
        if declared is not None:
            findings += _sensors(transport, declared)
        if python.level == "error":
            return findings
        with BoardSession(device, transport) as session:
            facts = session.facts()
            findings.append(_machine(facts))
            for target in device.targets:
                findings += _target(session, target, facts)
    except EdgeCostError as error:
        findings.append(Finding("error", str(error)))
    return findings


def _space(transport: Transport, place: Workplace) -> Iterator[Finding]:
    yield Finding("ok", f"the workdir {place.folder} can be written")
    result = transport.run(["df", "-Pk", place.folder], timeout_s=COMMAND_S)
    try:
        free_mb = int(result.stdout.decode("ascii", "replace").splitlines()[-1].split()[3]) // 1024
    except (IndexError, ValueError):
        yield Finding("warning", f"its free space is unknown ({complaint(result)})", "look with `df` on the board")
        return
    level: Literal["ok", "warning", "error"] = "ok"
    if free_mb < ENOUGH_MB:
        level = "warning" if free_mb >= LEAST_MB else "error"
    remedy = "" if level == "ok" else f"free some space: {ENOUGH_MB} MB are enough for most campaigns"
    yield Finding(level, f"{free_mb} MB are free there", remedy)


def _python(transport: Transport, place: Workplace) -> Finding:
    code = "import json, sys; print(json.dumps(list(sys.version_info[:3])))"
    result = transport.run([place.python, "-c", code], timeout_s=COMMAND_S)
    try:
        version = tuple(int(part) for part in json.loads(result.stdout.decode("utf-8", "replace").splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return Finding(
            "error",
            f"{place.python!r} runs no Python ({complaint(result)})",
            "install Python, or set `python` in devices.yaml to the interpreter that has the runtimes",
        )
    text = ".".join(map(str, version))
    if result.exit_status != 0 or version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding(
            "error", f"{place.python!r} is Python {text}", f"set `python` to one of version {oldest} or later"
        )
    return Finding("ok", f"Python {text} at {place.python}")


def _machine(facts: Facts) -> Finding:
    memory = f", {facts.memory_mb} MB" if facts.memory_mb is not None else ""
    text = f"{facts.cpu_model}, {facts.arch}, {facts.logical_cores} logical cores{memory}, {facts.os}"
    return Finding("ok", escape(text, 300))


def _probe() -> Workload:
    """A model with a little of everything that runtimes differ in."""
    builder = WorkloadBuilder("probe")
    x = builder.input((1, 8, 8, 8))
    x = builder.relu(builder.conv2d(x, 8, kernel=3))
    return builder.build(builder.add(x, builder.conv2d(x, 8, kernel=1)))


def _target(session: BoardSession, target: Target, facts: Facts) -> Iterator[Finding]:
    """Run a model as this target would."""
    if target.threads > facts.logical_cores:
        yield Finding(
            "warning",
            f"{target.id} asks for {target.threads} threads of {facts.logical_cores} cores",
            "lower `threads`: threads that wait for a core measure the scheduler",
        )
    if target.clock != "unpinned":
        yield Finding(
            "warning",
            f"{target.id} declares a clock of {target.clock} MHz, which nothing sets or checks yet",
            "pin the frequency on the board yourself, with `cpupower frequency-set`",
        )
    with tempfile.TemporaryDirectory(prefix="edgecost-") as folder:
        try:
            artefact = ArtefactCache(Path(folder)).get(_probe(), target.runtime, target.precision)
        except (EdgeCostError, ImportError) as error:
            yield Finding(
                "error",
                f"this host cannot build a model for {target.id} ({error})",
                'install the runtimes here: `pip install "edgecost[all]"`',
            )
            return
        reply = session.measure(artefact, target, _PROBE_CONFIG)
    yield _verdict(target, reply, facts)


def _verdict(target: Target, reply: Reply, facts: Facts) -> Finding:
    version = reply.env.get("runtime") or facts.runtimes.get(target.runtime) or "an unknown version"
    if reply.status == "ok":
        return Finding("ok", escape(f"{target.id} runs a model correctly ({version})", 300))
    package = _PACKAGES[target.runtime]
    what = f"{target.id} cannot run a model: {reply.status} ({reply.error})"
    if "SIG" in reply.error:
        remedy = f"this build of {package} does not suit the board's processor: install another version of it there"
    elif "No module named" in reply.error:
        remedy = f"install it for the board's Python: `python -m pip install {package}`"
    else:
        remedy = f"try another version of {package} on the board"
    return Finding("error", escape(what, 600), remedy)


def _sensors(transport: Transport, declared: DeviceEntry) -> Iterator[Finding]:
    """Whether the sensors that devices.yaml declares are there, by name."""
    commands = [sensor.name for sensor in declared.sensors if sensor.kind == "command"]
    if declared.throttle is not None:
        commands += declared.throttle.command[:1]
    result = transport.run(["sh", "-c", _SENSORS, "sh", *commands], timeout_s=COMMAND_S)
    found = set(result.stdout.decode("utf-8", "replace").splitlines())
    wanted = [f"{sensor.kind} {sensor.name}" for sensor in declared.sensors if sensor.kind != "external"]
    wanted += [f"zone {zone}" for zone in (declared.thermal.zones if declared.thermal else ())]
    wanted += [f"command {name}" for name in commands if f"command {name}" not in wanted]
    for name in wanted:
        if name in found:
            yield Finding("ok", f"the declared {name} is there")
        else:
            kind = name.split(" ")[0]
            there = ", ".join(sorted(line for line in found if line.startswith(f"{kind} "))) or "none of that kind"
            yield Finding(
                "warning", f"the declared {name} is not there", escape(f"found: {there}; correct devices.yaml", 300)
            )
