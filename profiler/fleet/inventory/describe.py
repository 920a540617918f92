"""What a board says of itself, and the entry of devices.yaml that this makes: what `edgecost devices init` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from profiler.errors import DeviceError
from profiler.fleet.checks.cores import find_clusters, ranges
from profiler.fleet.checks.probe import Probe, Python, ask, find_pythons
from profiler.fleet.checks.sensing import throttle_word
from profiler.fleet.checks.surroundings import OLDEST_PYTHON
from profiler.fleet.messages import Facts
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.sessions.workplace import COMMAND_S
from profiler.fleet.targets import Cluster, Device, JumpHost
from profiler.fleet.transport.base import Transport

__all__ = ["Survey", "best_python", "entry_text", "survey"]

RASPBERRY_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "capping has occurred",
    18: "throttling has occurred",
    19: "soft limit has occurred",
}
"""Of `vcgencmd get_throttled`."""

MIN_TORCH_MB = 900
"""Where there is less memory, torch itself hardly fits."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found out about a board.

    Attributes:
        probe: by a plain shell.
        python: the interpreter to use; None where there is none that will do.
        facts: by the agent; None without Python.
        has_throttle, has_rails: whether `vcgencmd` tells of throttling, and of the power of the rails.
        notes: what could not be found out, one sentence each.
    """

    probe: Probe
    python: Python | None
    facts: Facts | None = None
    has_throttle: bool = False
    has_rails: bool = False
    notes: tuple[str, ...] = ()


def best_python(found: list[Python]) -> Python | None:
    """The newest of those that will do; of several names of one version the shortest."""
    fit = [python for python in found if python.version >= OLDEST_PYTHON]
    return min(fit, key=lambda p: ([-part for part in p.version], len(p.name)), default=None)


def survey(device: Device, transport: Transport) -> Survey:
    """Ask a board for everything that an entry holds; closes the link.

    Args:
        device: how it is reached; its targets and python are not looked at.
        transport: the link to it.

    Raises:
        DeviceTimeout, DeviceLost: the link broke.
    """
    notes: list[str] = []
    try:
        probe = ask(transport, ["vcgencmd"])
        has_vcgencmd = "vcgencmd" in probe.commands
        throttled = _answer(transport, "vcgencmd", "get_throttled") if has_vcgencmd else ""
        rails = _answer(transport, "vcgencmd", "pmic_read_adc") if has_vcgencmd else ""
        pythons = find_pythons(transport)
        python = best_python(pythons)
        facts = None
        if python is None:
            what = f"only {pythons[0].path}, which is too old" if pythons else "none"
            notes.append(f"of Python 3.7 or later it has {what}: install one and set `python`")
        else:
            try:
                with BoardSession(replace(device, python=_python_word(python)), transport) as session:
                    facts = session.facts()
            except DeviceError as problem:
                notes.append(f"its agent could not be asked: {problem}")
        return Survey(probe, python, facts, throttle_word(throttled) is not None, "=" in rails, tuple(notes))
    finally:
        transport.close()


def _answer(transport: Transport, *argv: str) -> str:
    result = transport.run(argv, timeout_s=COMMAND_S)
    lines = result.stdout.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if result.exit_status == 0 and lines and "error" not in lines[-1] else ""


def _python_word(python: Python) -> str:
    """How an entry names it: plain "python3" stays right when the system is updated."""
    return "python3" if python.name == "python3" else python.path


def entry_text(device: Device, found: Survey, *, identity_file: str | None, emulation: str) -> str:
    """The board's entry as a mapping of YAML, its lines not indented, all words of the board's quoted where need be.

    Args:
        device: how it is reached, with its host key.
        found: by `survey`.
        identity_file: as it is to be written down; None to leave it out.
        emulation: as of a DeviceEntry.
    """
    lines = [*_reach(device, identity_file), *_machine(found, emulation), *_heat(found), *_sensors(found)]
    clusters = find_clusters(found.probe)
    lines += ["targets:", *(f"  - {target}" for target in _targets(found, clusters))]
    return "\n".join(lines) + "\n"


def _reach(device: Device, identity_file: str | None) -> Iterator[str]:
    yield f"id: {_word(device.id)}"
    yield f"host: {_word(device.host)}"
    if device.port != 22:
        yield f"port: {device.port}"
    yield f"user: {_word(device.user)}"
    if identity_file is not None:
        yield f"identity_file: {_word(identity_file)}"
    if device.host_key is not None:
        yield f"host_key: {json.dumps(device.host_key)}"
    if device.jump is not None:
        yield f"jump: {_jump(device.jump, identity_file)}"


def _jump(jump: JumpHost, identity_file: str | None) -> str:
    fields: dict[str, object] = {"host": jump.host, "user": jump.user}
    if jump.port != 22:
        fields["port"] = jump.port
    if identity_file is not None:
        fields["identity_file"] = identity_file
    if jump.host_key is not None:
        fields["host_key"] = jump.host_key
    return _flow(fields)


def _machine(found: Survey, emulation: str) -> Iterator[str]:
    probe, facts = found.probe, found.facts
    arch = probe.arch if re.fullmatch(r"[A-Za-z0-9_]{1,32}", probe.arch) else ""
    model = probe.model or (facts.cpu_model if facts is not None else "")
    words = [model, arch, f"{len(probe.cpus)} cores" if probe.cpus else ""]
    yield f"description: {_word(', '.join(word for word in words if word))}"
    if found.python is not None:
        yield f"python: {_word(_python_word(found.python))} # {'.'.join(map(str, found.python.version))}"
    if emulation:
        yield f"emulation: {emulation}"
    if arch:
        yield f"arch: {_word(arch)}"
    if probe.memory_mb is not None and probe.memory_mb >= 16:
        yield f"memory_mb: {probe.memory_mb}"
    clusters = find_clusters(probe)
    if clusters:
        yield "clusters:"
        for cluster in clusters:
            fields: dict[str, object] = {"name": cluster.name, "cpus": ranges(cluster.cpus)}
            if len(clusters) > 1 and cluster.capacity is not None and 1 <= cluster.capacity <= 1024:
                fields["capacity"] = cluster.capacity
            if cluster.max_mhz is not None and 10 <= cluster.max_mhz <= 20000:
                fields["max_mhz"] = cluster.max_mhz
            yield f"  - {_flow(fields)}"
    governors = {policy.governor for policy in probe.policies}
    if len(governors) == 1 and re.fullmatch(r"[a-z_]+", governor := governors.pop()):
        steadier = "" if governor == "performance" else " # as found; performance is steadier"
        yield f"governor: {governor}{steadier}"


def _heat(found: Survey) -> Iterator[str]:
    zones = list(dict.fromkeys(zone.type for zone in found.probe.zones if zone.type))
    trips = sorted({trip for zone in found.probe.zones for trip in zone.trips if 0 < trip < 300})
    if zones:
        yield "thermal:"
        yield f"  zones: {_flow(zones)}"
        if trips:
            yield f"  trips_celsius: {_flow([int(t) if t == int(t) else t for t in trips])}"
    if found.has_throttle:
        yield "throttle:"
        yield "  command: [vcgencmd, get_throttled]"
        yield "  bits:"
        yield from (f"    {bit}: {text}" for bit, text in RASPBERRY_BITS.items())


def _sensors(found: Survey) -> Iterator[str]:
    entries: list[dict[str, object]] = []
    if found.has_rails:
        rails: dict[str, object] = {"kind": "command", "name": "vcgencmd", "channels": ["pmic_read_adc"]}
        entries.append({**rails, "scope": "SoC-rails", "update_hz": 10, "forks": True})
    for (kind, name), channels in sorted(found.probe.chips.items()):
        fields: dict[str, object] = {"kind": kind, "name": name}
        if name == "ina3221":
            labels = sorted(
                c for c in channels if not re.search(r"_(input|average|raw)$", c) and "sum" not in c.lower()
            )
            entries.append({**fields, "channels": labels, "scope": "module-in"})
        elif kind == "hwmon" and re.fullmatch(r"ina260.*", name):
            entries.append({**fields, "channels": ["power1_input"], "scope": "module-in", "update_hz": 6.5})
        elif kind == "rapl" and name.startswith("package") and channels:
            entries.append({**fields, "scope": "SoC-rails", "update_hz": 1000})
    if entries:
        yield "sensors:"
        yield from (f"  - {_flow(entry)}" for entry in entries)


def _targets(found: Survey, clusters: tuple[Cluster, ...]) -> Iterator[str]:
    """On the CPU, with what there are packages for, on one and on all cores of the strongest kind."""
    strongest = clusters[0] if clusters else None
    cores = strongest.name if strongest is not None and len(clusters) > 1 else ""
    count = len(strongest.cpus) if strongest is not None else 1
    runtimes = [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("litert", "fp32"), ("litert", "int8")]
    if (found.probe.memory_mb or MIN_TORCH_MB) >= MIN_TORCH_MB:
        runtimes.append(("torch", "fp32"))
    if found.probe.bits == 32 or found.probe.arch.startswith("armv"):  # only tflite-runtime is packaged for 32 bits
        runtimes = [pair for pair in runtimes if pair[0] == "litert"]
    for runtime, precision in runtimes:
        for threads in sorted({1, min(count, 256)}):
            fields: dict[str, object] = {"runtime": runtime, "precision": precision, "threads": threads}
            yield _flow({**fields, "cores": cores} if cores else fields)


def _flow(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str):
        return _word(value)
    return json.dumps(value)


_SPEAKING = frozenset(["true", "false", "yes", "no", "on", "off", "null", "y", "n"])


def _word(text: str) -> str:
    """Text as YAML: bare where it can only be text, quoted else, so that nothing in it is ever more than text."""
    bare = re.fullmatch(r"([A-Za-z/]|~/)[A-Za-z0-9_./~-]*( [A-Za-z0-9_./~-]+)*|[0-9]+([.][0-9]+){3}", text)
    if bare and text.lower() not in _SPEAKING:
        return text
    return json.dumps(text, ensure_ascii=False)
