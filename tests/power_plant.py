"""A process that makes up a board's power from its agent's use of the processor, and shows it as a sensor and a meter.

    python power_plant.py TREE HOME

TREE is where the sensor's files are, HOME tells the board's processes by their environment. It prints the port at which
it says a line for every reading, by a clock of its own, and goes on until its input ends.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from pathlib import Path

IDLE_MW, STEP_MW, NOISE_MW = 2000.0, 3000.0, 60.0
PERIOD_S = 0.025
BUSY = 0.15
"""A board whose processes use so much of a processor is at work: a machine that others use too gives it no more."""

CLOCK_S = 5000.0
"""So far is the meter's clock from this machine's."""

FOLDER = "sys/class/hwmon/hwmon3"


def used_ns(home: str) -> int:
    """Of the processor, by all threads of all processes that live in a home."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                total += sum(int(path.read_text().split()[0]) for path in process.glob("task/*/schedstat"))
        except (OSError, ValueError, IndexError):
            continue
    return total


def write(path: Path, value: object) -> None:
    part = path.with_name(f".{path.name}")
    part.write_text(f"{value}\n")
    os.replace(part, path)


def main() -> None:
    tree, home = sys.argv[1:]
    folder = Path(tree, FOLDER)
    folder.mkdir(parents=True)
    for name, value in {"name": "ina226", "shunt_resistor": 2000, "in1_input": 5000, "power1_input": 0}.items():
        write(folder / name, value)
    listener = socket.create_server(("127.0.0.1", 0))
    listeners: list[socket.socket] = []
    threading.Thread(target=lambda: [listeners.append(listener.accept()[0]) for _ in iter(int, 1)], daemon=True).start()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    chance = random.Random(1)
    before, at = used_ns(home), time.monotonic()
    while not ended.wait(PERIOD_S):
        used, now = used_ns(home), time.monotonic()
        busy = max(0, used - before) > BUSY * (now - at) * 1e9
        before, at = used, now
        shown_mw = IDLE_MW + STEP_MW * busy + chance.gauss(0, NOISE_MW)
        if (folder / "power1_input").exists():  # a test may take the sensor away
            write(folder / "power1_input", round(shown_mw / 31.25) * 31250)
        for each in list(listeners):
            try:
                each.sendall(f"{now + CLOCK_S:.6f} {shown_mw:.1f} mW\n".encode())
            except OSError:
                listeners.remove(each)


if __name__ == "__main__":
    main()
