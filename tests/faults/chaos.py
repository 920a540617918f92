"""The long form: many jobs on six boards while everything that can break does, at random moments.

    python -m tests.faults.chaos [--jobs 300] [--faults 120] [--seed 1] [--json FILE]

Prints what happened and exits 1 when a promise was broken: every job ends exactly once, in a value or a failure of the
right type; nothing is lost, nothing is there twice; no fault has more than one job begun again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import host
from tests.faults.arena import Arena, Bench
from tests.faults.campaigns import Verdict, judge
from tests.faults.chaos_runtime import Task, tasks
from tests.faults.injection import FAULTS, NothingToHurt, Scene
from tests.faults.places import Clock, faketime_library, small_disk

MOST_COMMANDS = 200
"""So often is the same command given again, at most."""

LAST_FAULT = 0.85
"""By the time that this part of a board's jobs has ended, all its faults have happened."""

MENDABLE = ("Unreachable", "DeviceTimeout", "DeviceLost", "DeviceBusy", "AgentCrashed", "StorageError")
"""What a host may say of these faults; nothing here is wrong with a key, a file or the devices.yaml."""

_POLL_S = 0.05


@dataclass
class Watch:
    """Gives the same command again until every job has ended, and lets it be killed."""

    order: Path
    finished: Any
    over: threading.Event = field(default_factory=threading.Event)
    commands: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    process: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Until it is over."""
        try:
            while self.commands < MOST_COMMANDS and not self.finished():
                self.commands += 1
                with self.lock:
                    self.process = host.start(self.order)
                for outcome in host.outcomes(self.process, 900.0).values():
                    if outcome["error"]:
                        self.errors[outcome["error"]] += 1
                        say(f"  {outcome['board']}: {outcome['error']}: {outcome['text'][:300]}")
                if self.process.returncode not in (0, -signal.SIGKILL):
                    self.errors[f"exit status {self.process.returncode}"] += 1
                time.sleep(0.2)
        finally:
            self.over.set()

    def kill(self) -> bool:
        """SIGKILL; whether there was somebody to kill."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                return False
            self.process.kill()
            return True


def say(text: str) -> None:
    """A line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plan(count: int, rng: np.random.Generator, able: dict[str, list[str]]) -> dict[str, list[str]]:
    """Which faults each board gets, in order: every kind once where there is room, and further ones by weight.

    Args:
        count: of faults.
        rng: decides.
        able: the boards that a kind can be done to; kinds without any are left out.
    """
    kinds = [kind for kind in FAULTS if able[kind]]
    weights = np.array([FAULTS[kind][0] for kind in kinds], float)
    chosen = [*kinds, *rng.choice(kinds, max(0, count - len(kinds)), p=weights / weights.sum())][:count]
    planned: dict[str, list[str]] = {}
    for kind in rng.permutation(chosen):
        # the least burdened of those that can have it
        boards = sorted(able[str(kind)], key=lambda board: (len(planned.get(board, ())), rng.random()))
        planned.setdefault(boards[0], []).append(str(kind))
    return planned


def hurt(scene: Scene, kinds: list[str], jobs: int, over: threading.Event, done: Counter[str]) -> None:
    """Do these faults to a board, spread over its jobs; ends when the jobs do."""
    for number, kind in enumerate(kinds):
        due = LAST_FAULT * jobs * number / len(kinds)
        while not over.is_set() and (not scene.bench.agents() or sum(scene.bench.ends().values()) < due):
            time.sleep(_POLL_S)
        time.sleep(scene.some_s(0.0, 0.4))
        while not over.is_set():
            with contextlib.suppress(NothingToHurt):
                FAULTS[kind][1](scene)
                done[kind] += 1
                scene.faults += 1
                break
            time.sleep(_POLL_S)


@dataclass
class Stage:
    """Everything that a run needs, set up; `skipped` says which kinds cannot be done here, and why."""

    arena: Arena
    work: dict[str, tuple[Bench, list[Task]]]
    scenes: dict[str, Scene]
    able: dict[str, list[str]]
    skipped: dict[str, str]


def set_up(arena: Arena, stack: contextlib.ExitStack, options: argparse.Namespace, root: Path, watch: Watch) -> Stage:
    """Share the jobs out, mount the small disks, set the clock."""
    every = list(arena)
    given = tasks(options.jobs, options.seed)
    shares = {bench.device.id: given[place :: len(every)] for place, bench in enumerate(every)}
    results = root / "host" / "results"
    results_disk = results if stack.enter_context(small_disk(results, 16)) else None
    skipped = {}
    library = faketime_library()
    if library is None:
        skipped["board clock steps"] = "libfaketime is not installed"
    else:
        clock = Clock(every[0].home, library)
        every[0] = every[0].with_python(str(clock.python))
    disk = every[1].workdir
    board_disk = disk if stack.enter_context(small_disk(disk, 16)) else None
    scenes = {}
    for place, bench in enumerate(every):
        rng = np.random.default_rng([options.seed, place])
        scene = Scene(arena, bench, rng, watch.kill, root / "rivals", results_disk=results_disk)
        scenes[bench.device.id] = scene
    scenes[every[1].device.id].board_disk = board_disk
    if library is not None:
        scenes[every[0].device.id].clock = clock
    able = {kind: list(scenes) for kind in FAULTS}
    able["board clock steps"] = [name for name, scene in scenes.items() if scene.clock]
    able["board disk full"] = [name for name, scene in scenes.items() if scene.board_disk]
    if board_disk is None or results_disk is None:
        skipped["board disk full"] = skipped["host disk full"] = "mounting a small disk is not permitted"
        able["host disk full"] = able["board disk full"] = []
    work = {bench.device.id: (bench, shares[bench.device.id]) for bench in every}
    return Stage(arena, work, scenes, able, skipped)


def run(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """The whole run; its figures."""
    began = time.monotonic()
    folder = root / "host"
    done: Counter[str] = Counter()

    def verdicts() -> dict[str, Verdict]:
        scenes = stage.scenes
        return {n: judge(bench, given, folder, scenes[n].worker_kills) for n, (bench, given) in stage.work.items()}

    watch = Watch(folder / "order.json", lambda: not any(verdict.lost for verdict in verdicts().values()))
    with contextlib.ExitStack() as stack:
        arena = stack.enter_context(Arena(root))
        stage = set_up(arena, stack, options, root, watch)
        host.order(arena, folder, stage.work)
        planned = plan(options.faults, np.random.default_rng(options.seed), stage.able)
        threads = [
            threading.Thread(target=hurt, args=(stage.scenes[name], kinds, len(stage.work[name][1]), watch.over, done))
            for name, kinds in planned.items()
        ]
        for thread in threads:
            thread.start()
        watch.run()
        for thread in threads:
            thread.join()
        found = verdicts()
        notes = [note for scene in stage.scenes.values() for note in scene.notes]
        faults = {name: scene.faults for name, scene in stage.scenes.items()}
        for bench, _ in stage.work.values():  # the small disks are to be unmounted
            bench.kill_agent()
    return figures(options, found, done, faults, watch, stage.skipped, notes, time.monotonic() - began)


def figures(
    options: argparse.Namespace,
    found: dict[str, Verdict],
    done: Counter[str],
    faults: dict[str, int],
    watch: Watch,
    skipped: dict[str, str],
    notes: list[str],
    wall_s: float,
) -> dict[str, Any]:
    """What happened, and which promises were broken."""
    total = Verdict()
    for verdict in found.values():
        total += verdict
    hosts = done["host killed"] + done["second host"]
    broken = [*notes, *(f"lost: {key}" for key in total.lost), *(f"twice: {key}" for key in total.twice)]
    broken += [f"of no task: {key}" for key in total.strangers] + [f"wrongly typed: {text}" for text in total.wrong]
    broken += [f"ended twice on the board: {key}" for key in total.board_twice]
    broken += [
        f"{verdict.repeats} repeats on {name} by {faults[name]} faults there and {hosts} of hosts"
        for name, verdict in found.items()
        if verdict.repeats > faults[name] + hosts
    ]
    broken += [f"the host ended with {error}" for error in watch.errors if error not in MENDABLE]
    if done.total() < options.least:
        broken.append(f"only {done.total()} faults happened, and {options.least} are asked for")
    if total.repeats > done.total():
        broken.append(f"{total.repeats} repeats by {done.total()} faults")
    return {
        "seed": options.seed,
        "boards": len(found),
        "jobs": total.jobs,
        "ended": total.ended,
        "faults": done.total(),
        "faults_by_kind": dict(sorted(done.items())),
        "skipped": skipped,
        "repeats": total.repeats,
        "repeats_per_fault": round(total.repeats / max(1, done.total()), 3),
        "lost": len(total.lost),
        "twice": len(total.twice) + len(total.board_twice) + len(total.strangers),
        "wrongly_typed": len(total.wrong),
        "excused": dict(total.excused),
        "excuses": total.excuses,
        "commands": watch.commands,
        "ends_in_errors": dict(watch.errors),
        "wall_s": round(wall_s, 1),
        "broken": broken,
    }


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="Jobs on six boards while everything that can break does.")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--faults", type=int, default=120, help="how many are planned")
    parser.add_argument("--least", type=int, default=None, help="so many have to happen; five sixths by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it behind")
    options = parser.parse_args()
    options.least = options.faults * 5 // 6 if options.least is None else options.least
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        found = run(options, options.keep or Path(temporary))
    for name, value in found.items():
        if name not in ("broken", "excuses"):
            say(f"{name.replace('_', ' '):18} {value}")
    for promise in found["broken"]:
        say(f"BROKEN: {promise}")
    say("every promise was kept" if not found["broken"] else f"{len(found['broken'])} promises were broken")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
