"""The embedded fleet as an arena: boards behind proxies, whose processes and journals are within reach of a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from profiler.fleet.sessions.identity import process_start
from profiler.fleet.targets import Device, LeaseTerms, Target
from profiler.fleet.virtual.leftovers import processes_of
from profiler.fleet.virtual.loopback import Fleet
from tests.faults.chaos_runtime import MEMORY_MB
from tests.faults.proxy import Proxies, Proxy

POLL_S = 0.01
PATIENCE_S = 40.0
"""For something that should happen soon, on a machine with a lot else to do."""


def wait_until(true: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + patience_s
    while not (value := true()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True)
class Bench:
    """One board of the arena.

    Attributes:
        device: as a host knows it: through the proxy.
        direct: without the proxy.
        home: of the board, on this machine.
        proxy: between them.
    """

    device: Device
    direct: Device
    home: Path
    proxy: Proxy
    fleet: Fleet

    @property
    def target(self) -> Target:
        """What is measured there."""
        return self.device.targets[0]

    @property
    def workdir(self) -> Path:
        """Our folder on it."""
        return self.home / self.device.workdir.removeprefix("~/")

    def with_workdir(self, workdir: str) -> Bench:
        """The same board with another folder of ours."""
        return replace(self, device=replace(self.device, workdir=workdir), direct=replace(self.direct, workdir=workdir))

    def with_python(self, python: str) -> Bench:
        """The same board with another interpreter."""
        return replace(self, device=replace(self.device, python=python), direct=replace(self.direct, python=python))

    # Its journals

    def entries(self) -> list[dict[str, Any]]:
        """Everything that whole lines of its journals say."""
        found = []
        for path in sorted(self.workdir.glob("sessions/*/journal.jsonl")):
            with contextlib.suppress(OSError):
                lines = path.read_bytes().split(b"\n")[:-1]
                found += [json.loads(line[9:]) for line in lines if int(line[:8], 16) == zlib.crc32(line[9:])]
        return found

    def starts(self) -> Counter[str]:
        """How often each job was begun."""
        return Counter(entry["id"] for entry in self.entries() if entry["event"] == "started")

    def ends(self) -> Counter[str]:
        """How often each job was ended."""
        return Counter(entry["id"] for entry in self.entries() if entry["event"] == "result")

    def running(self) -> str:
        """The job that was begun last and has not ended; "" where there is none."""
        entries = self.entries()
        return str(entries[-1]["id"]) if entries and entries[-1]["event"] == "started" else ""

    def wait_for_job(self, done: int = 0) -> str:
        """Wait until at least so many jobs have ended and one is in hand."""
        return str(wait_until(lambda: sum(self.ends().values()) >= done and self.running(), "a job to run"))

    # Its processes

    def agents(self) -> list[int]:
        """Numbers of its living agents, by the cards that they wrote."""
        found = []
        for path in self.workdir.glob("sessions/*/agent.json"):
            with contextlib.suppress(OSError, ValueError):
                card = json.loads(path.read_text())
                if (process_start(card["pid"]) or "").split()[-1:] == [card["start"]]:
                    found.append(int(card["pid"]))
        return found

    def workers(self) -> list[int]:
        """Numbers of its living workers: children of its agents."""
        return [int(word) for pid in self.agents() for word in _children(pid)]

    def kill_agent(self) -> bool:
        """SIGKILL to the agent; whether there was one."""
        return _kill(self.agents(), signal.SIGKILL)

    def kill_worker(self) -> bool:
        """SIGSEGV to the worker; whether there was one."""
        return _kill(self.workers(), signal.SIGSEGV)

    def processes(self) -> dict[int, str]:
        """All that runs on it."""
        return processes_of([self.home])

    # Its power and its server

    def off(self) -> None:
        """Power goes: server and all processes; the home stays."""
        self.fleet.stop_board(self.device.id, kill_agent=False)
        # a power cut takes all at once: no agent is left to note down that its worker was killed
        self.kill_agent()
        self.fleet.stop_board(self.device.id)
        self.proxy.reset()

    def server_off(self) -> None:
        """The SSH server goes; the agent stays."""
        self.fleet.stop_board(self.device.id, kill_agent=False)

    def on(self) -> None:
        """The server comes back."""
        self.fleet.start_board(self.device.id)


def _children(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


def _kill(pids: list[int], number: signal.Signals) -> bool:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(pids)


@dataclass
class Arena:
    """Six boards below a folder, each with a machine of its own; a context manager."""

    root: Path
    benches: dict[str, Bench] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        with self._stack:
            self.fleet = self._stack.enter_context(Fleet(self.root / "fleet"))
            proxies = self._stack.enter_context(Proxies())
            for device in self.fleet.devices():
                proxy = proxies.add(device.host, device.port)
                home = (self.root / "fleet" / "boards" / device.id / "home").resolve()
                direct = chaotic(device, str(self.root))
                self.benches[device.id] = Bench(replace(direct, port=proxy.port), direct, home, proxy, self.fleet)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Bench]:
        return iter(self.benches.values())


def chaotic(device: Device, where: str, **changes: Any) -> Device:
    """A board of the fleet that runs "chaos" and shares no machine: its figures mean nothing, its faults do."""
    return replace(
        device,
        targets=(Target(device.id, "chaos", "fp32"),),
        machine=f"{device.id} of {where}",
        shared=False,
        emulation="",
        memory_limit_mb=MEMORY_MB,
        lease=LeaseTerms(wait_s=20.0, linger_s=30.0),
        **changes,
    )
