"""Faults of the chaos run, by name: each is done to one board (or to the host) and lasts as long as it takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults import host
from tests.faults.arena import Arena, Bench
from tests.faults.chaos_runtime import Task
from tests.faults.places import Clock, fill, make_room


class NothingToHurt(Exception):
    """At this moment there is nothing that the fault could be done to; it is tried again."""


@dataclass
class Scene:
    """What a fault is done to.

    Attributes:
        arena, bench: the fleet and the board.
        rng: of this board.
        kill_host: SIGKILL to the host, which is started again by whoever watches it.
        folder: for files of the faults.
        results_disk: the small disk of the results, or None.
        board_disk: the small disk of this board, or None.
        clock: of this board, or None.
        faults, worker_kills, rivals: how many there were here.
        notes: what went wrong in a way that no fault excuses.
    """

    arena: Arena
    bench: Bench
    rng: np.random.Generator
    kill_host: Callable[[], bool]
    folder: Path
    results_disk: Path | None = None
    board_disk: Path | None = None
    clock: Clock | None = None
    faults: int = 0
    worker_kills: int = 0
    rivals: int = 0
    notes: list[str] = field(default_factory=list)

    def some_s(self, least: float, most: float) -> float:
        """A random time."""
        return float(self.rng.uniform(least, most))


Fault = Callable[[Scene], None]


def _need(done: object) -> None:
    if not done:
        raise NothingToHurt


def cut(scene: Scene) -> None:
    """The link ends in good order."""
    _need(scene.bench.proxy.cut())


def reset(scene: Scene) -> None:
    """The link is reset."""
    _need(scene.bench.proxy.reset())


def stall(scene: Scene) -> None:
    """Nothing comes through for a while."""
    _need(scene.bench.proxy.open)
    seconds = scene.some_s(0.5, 3.0)
    scene.bench.proxy.stall(seconds)
    time.sleep(seconds)


def long_stall(scene: Scene) -> None:
    """Nothing comes through for longer than the host waits."""
    _need(scene.bench.proxy.open)
    scene.bench.proxy.stall(14.0)
    time.sleep(14.0)


def delay(scene: Scene) -> None:
    """Everything comes late."""
    _need(scene.bench.proxy.open)
    scene.bench.proxy.delay(scene.some_s(0.05, 0.4), lasting_s=2.0)
    time.sleep(2.0)


def refuse(scene: Scene) -> None:
    """The link is cut, and nobody can call for a while."""
    seconds = scene.some_s(0.5, 3.0)
    scene.bench.proxy.refuse(seconds)
    try:
        _need(scene.bench.proxy.cut())
    except NothingToHurt:
        scene.bench.proxy.refuse(0)
        raise
    time.sleep(seconds)


def black_hole(scene: Scene) -> None:
    """The link is reset, and whoever calls hears nothing for a while."""
    seconds = scene.some_s(0.5, 3.0)
    scene.bench.proxy.swallow(seconds)
    try:
        _need(scene.bench.proxy.reset())
    except NothingToHurt:
        scene.bench.proxy.swallow(0)
        raise
    time.sleep(seconds)


def kill_agent(scene: Scene) -> None:
    """SIGKILL to the agent."""
    _need(scene.bench.kill_agent())


def kill_worker(scene: Scene) -> None:
    """SIGSEGV to the worker."""
    _need(scene.bench.kill_worker())
    scene.worker_kills += 1


def reboot(scene: Scene) -> None:
    """Power goes and comes back."""
    _need(scene.bench.agents())
    scene.bench.off()
    time.sleep(scene.some_s(0.3, 2.0))
    scene.bench.on()


def server_gone(scene: Scene) -> None:
    """The SSH server is gone for seconds; the agent works on."""
    _need(scene.bench.proxy.open)
    scene.bench.server_off()
    time.sleep(scene.some_s(0.5, 3.0))
    scene.bench.on()


def server_gone_for_30_s(scene: Scene) -> None:
    """The SSH server is gone for half a minute."""
    _need(scene.bench.proxy.open)
    scene.bench.server_off()
    time.sleep(30.0)
    scene.bench.on()


def board_disk_full(scene: Scene) -> None:
    """The board's disk takes nothing for a while."""
    assert scene.board_disk is not None
    fill(scene.board_disk)
    time.sleep(scene.some_s(0.5, 2.0))
    make_room(scene.board_disk)


def clock_steps(scene: Scene) -> None:
    """The board's wall clock jumps, forwards or backwards, by up to three years."""
    assert scene.clock is not None
    scene.clock.step(scene.some_s(-1e8, 1e8))


def host_killed(scene: Scene) -> None:
    """SIGKILL to the host and with it to all its campaigns."""
    _need(scene.kill_host())


def host_disk_full(scene: Scene) -> None:
    """The disk of the results takes nothing for a while."""
    assert scene.results_disk is not None
    fill(scene.results_disk)
    time.sleep(scene.some_s(0.3, 1.5))
    make_room(scene.results_disk)


def rival(scene: Scene) -> None:
    """Another host wants the board: it has to be told that it is in use, or waits for its turn and passes it on."""
    scene.rivals += 1
    name, bench = scene.bench.device.id, scene.bench
    task = Task(2000 + scene.rivals, sleep_s=0.05)
    folder = scene.folder / f"rival-{name}-{scene.rivals}"
    given = host.order(scene.arena, folder, {name: (bench, [task])}, wait_s=0.5)
    process = host.start(given, folder / "home")
    try:
        found = host.outcomes(process, 90.0).get(name, {"error": "no outcome"})
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        found = {"error": "a rival that hangs"}
    # whatever else hurts the board may hurt the rival too, but in words of ours
    typed = (
        "",
        "DeviceBusy",
        "DeviceLost",
        "DeviceTimeout",
        "Unreachable",
        "AgentCrashed",
        "BoardFull",
        "StorageError",
    )
    if found["error"] not in typed:
        scene.notes.append(f"a rival on {name} ended with {found}")


FAULTS: dict[str, tuple[int, Fault]] = {
    "link cut": (12, cut),
    "link reset": (12, reset),
    "link stalled": (10, stall),
    "link stalled for 14 s": (1, long_stall),
    "link slow": (8, delay),
    "link cut, calls refused": (8, refuse),
    "link reset, calls unanswered": (8, black_hole),
    "agent killed": (12, kill_agent),
    "worker segfaults": (10, kill_worker),
    "board reboots": (10, reboot),
    "sshd gone": (8, server_gone),
    "sshd gone for 30 s": (1, server_gone_for_30_s),
    "board disk full": (6, board_disk_full),
    "board clock steps": (6, clock_steps),
    "host killed": (5, host_killed),
    "host disk full": (3, host_disk_full),
    "second host": (3, rival),
}
"""Every kind of fault with its weight."""
