"""One board, from the first TCP packet to a model for every target."""

from __future__ import annotations

from collections.abc import Iterator

from profiler.errors import DeviceError, DeviceLost, DeviceTimeout, EdgeCostError
from profiler.fleet.checks.cores import check_cores
from profiler.fleet.checks.findings import Finding, error, ok, warning
from profiler.fleet.checks.models import Models, check_libraries, check_target
from profiler.fleet.checks.probe import Probe, ask
from profiler.fleet.checks.sensing import check_sensing, commands_of, files_of
from profiler.fleet.checks.surroundings import check_clock, check_logout, check_python, check_shell, check_space
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.messages import Facts
from profiler.fleet.sessions.session import BoardSession, SessionLimits
from profiler.fleet.sessions.workplace import Workplace, prepare
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import Transport

__all__ = ["Checkup", "check", "examine"]

_LIMITS = SessionLimits(machine_lease_s=300.0)


class Checkup:
    """The findings about one board, in the order in which they were made.

    Args:
        device: the board.
        declared: its entry of devices.yaml; None to leave out what only an entry declares.
        models: to run on it.

    Attributes:
        findings: so far.
        machine_id: by which the board tells itself apart from others; "" until it was asked.
    """

    def __init__(self, device: Device, declared: DeviceEntry | None, models: Models) -> None:
        self.device = device
        self.findings: list[Finding] = []
        self.machine_id = ""
        self._declared = declared
        self._models = models

    def run(self) -> None:
        """Log in and look; errors become findings."""
        from profiler.fleet.transport.ssh import connect

        device = self.device
        try:
            transport = connect(device)
        except EdgeCostError as problem:
            self.findings.append(error(str(problem)))
            return
        through = f" through {device.jump.host}:{device.jump.port}" if device.jump else ""
        where = f"{device.user}@{device.host}:{device.port}{through}"
        self.findings.append(ok(f"reached as {where}, host key and our key accepted"))
        self.examine(transport)

    def examine(self, transport: Transport) -> None:
        """Look, over a link that exists already and is closed in the end."""
        try:
            for finding in self._look(transport):
                self.findings.append(finding)
        except EdgeCostError as problem:
            self.findings.append(error(str(problem)))
        finally:
            transport.close()

    def _look(self, transport: Transport) -> Iterator[Finding]:
        # a simulated board has its files and programs inside the agent only
        declared = None if self.device.emulation == "simulated" else self._declared
        commands, files = (commands_of(declared), files_of(declared)) if declared is not None else ([], [])
        probe = ask(transport, commands, files)
        yield check_clock(probe)
        yield from check_shell(transport, probe)
        yield from check_logout(probe)
        if declared is not None:
            yield from check_cores(declared, probe)
            yield from check_sensing(declared, probe, transport)
        place, found = self._room(transport)
        yield from found
        python = check_python(transport, self._python(probe))
        yield python
        if python.level != "error":
            yield from check_libraries(transport, self.device, self._python(probe))
        if place is not None and not any(f.level == "error" for f in (*found, python)):
            yield from self._session(transport)

    def _python(self, probe: Probe) -> str:
        python = self.device.python
        return probe.home + python[1:] if python.startswith("~/") else python

    def _room(self, transport: Transport) -> tuple[Workplace | None, list[Finding]]:
        try:
            place = prepare(transport, self.device)
        except (DeviceLost, DeviceTimeout):
            raise
        except DeviceError as problem:
            return None, [error(str(problem))]
        return place, list(check_space(transport, place))

    def _session(self, transport: Transport) -> Iterator[Finding]:
        with BoardSession(self.device, transport, limits=_LIMITS) as session:
            facts = session.facts()
            self.machine_id = facts.machine_id
            yield from _machine(self.device, facts)
            for target in self.device.targets:
                yield from check_target(session, target, facts, self._models)


def _machine(device: Device, facts: Facts) -> Iterator[Finding]:
    from profiler.agent.facts import machine_id

    memory = f", {facts.memory_mb} MB" if facts.memory_mb is not None else ""
    yield ok(f"{facts.cpu_model}, {facts.arch}, {facts.logical_cores} logical cores{memory}, {facts.os}")
    is_here = facts.machine_id == machine_id()
    if is_here and not device.emulation:
        yield warning(
            "it is this very machine, which also does the work of the host",
            "set `emulation: loopback` in devices.yaml, so that nobody takes its figures for a board's",
        )
    elif device.emulation == "loopback" and not is_here:
        yield warning(
            "`emulation: loopback` is declared, and it is another machine than this one",
            "remove `emulation` from devices.yaml",
        )


def check(device: Device, *, declared: DeviceEntry | None = None) -> list[Finding]:
    """Log in to a board and find out whether it can measure all of its targets; errors become findings.

    Args:
        device: the board.
        declared: its entry of devices.yaml, when all that it declares should be compared too.
    """
    with Models() as models:
        checkup = Checkup(device, declared, models)
        checkup.run()
        return checkup.findings


def examine(device: Device, transport: Transport, *, declared: DeviceEntry | None = None) -> list[Finding]:
    """`check` over a link that exists already, which it closes."""
    with Models() as models:
        checkup = Checkup(device, declared, models)
        checkup.examine(transport)
        return checkup.findings
