"""A host as a process of its own, that can be killed: campaigns on some boards at once, by an order in JSON.

    python -m tests.faults.host ORDER.json

The order: {"devices": PATH, "where": NAME, "folder": PATH, "wait_s": SECONDS,
            "boards": {ID: {"port", "python", "workdir", "tasks": [[number, kind, sleep_s], ...]}}}
One line comes out for every board: {"board", "error": its type or "", "text"}. Whoever gives the same order again
continues.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

from profiler.errors import EdgeCostError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.targets import Device
from tests.faults.arena import Arena, Bench, chaotic
from tests.faults.campaigns import campaign, knowing_chaos
from tests.faults.chaos_runtime import Task
from tests.faults.sources import ROOT


def order(arena: Arena, folder: Path, work: Mapping[str, tuple[Bench, Sequence[Task]]], wait_s: float = 20.0) -> Path:
    """Write an order down; returns its path."""
    boards = {
        name: {
            "port": bench.device.port,
            "python": bench.device.python,
            "workdir": bench.device.workdir,
            "tasks": [astuple(task) for task in tasks],
        }
        for name, (bench, tasks) in work.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "order.json"
    value = {
        "devices": str(arena.fleet.devices_path), "where": str(arena.root), "folder": str(folder), "wait_s": wait_s,
        "boards": boards,
    }  # fmt: skip
    path.write_text(json.dumps(value))
    return path


def start(path: Path, home: Path | None = None) -> subprocess.Popen[str]:
    """Start a host; `home` gives it a HOME and TMPDIR of its own, as another machine would have."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        environment |= {"HOME": str(home), "TMPDIR": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.host", str(path)], env=environment, stdout=subprocess.PIPE, text=True
    )


def outcomes(process: subprocess.Popen[str], patience_s: float = 120.0) -> dict[str, dict[str, str]]:
    """What a host that came to its end said, by board."""
    out, _ = process.communicate(timeout=patience_s)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return {line["board"]: line for line in lines}


def _device(device: Device, order: dict[str, Any]) -> Device:
    given = order["boards"][device.id]
    made = chaotic(device, order["where"], port=given["port"], python=given["python"], workdir=given["workdir"])
    return replace(made, lease=replace(made.lease, wait_s=order["wait_s"]))


def _one(device: Device, tasks: list[Task], folder: Path) -> None:
    outcome = {"board": device.id, "error": "", "text": ""}
    try:
        outcome["text"] = json.dumps(asdict(campaign(device, tasks, folder)), default=str)
    except EdgeCostError as error:
        outcome.update(error=type(error).__name__, text=str(error))
    except Exception as error:  # noqa: BLE001  what is not one of ours is a finding
        outcome.update(error=f"untyped {type(error).__name__}", text=str(error))
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Carry an order out."""
    given = json.loads(Path(sys.argv[1]).read_text())
    devices = [_device(d, given) for d in load_devices(Path(given["devices"])) if d.id in given["boards"]]
    with knowing_chaos():
        threads = []
        for device in devices:
            tasks = [Task(*task) for task in given["boards"][device.id]["tasks"]]
            threads.append(threading.Thread(target=_one, args=(device, tasks, Path(given["folder"]))))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
