"""`python -m profiler.fleet.virtual.serve --root DIR`: serve an embedded fleet until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from profiler.errors import EdgeCostError
from profiler.fleet.virtual.boards import BOARDS, FleetBoard
from profiler.fleet.virtual.loopback import SERVERS, Fleet
from profiler.fleet.virtual.simulated.boards import SIMULATED_BOARDS

__all__ = ["FLEETS", "main"]

FLEETS: dict[str, tuple[FleetBoard, ...]] = {"loopback": BOARDS, "simulated": SIMULATED_BOARDS}
"""The fleets that can be served."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; exit status 2 with one sentence on stderr when that cannot be."""
    parser = argparse.ArgumentParser(description="Serve the embedded fleet until SIGTERM.")
    parser.add_argument("--root", type=Path, required=True, help="folder of the fleet")
    parser.add_argument("--server", choices=sorted(SERVERS), default="asyncssh", help="what serves the boards")
    parser.add_argument("--boards", choices=sorted(FLEETS), default="loopback", help="which boards there are")
    chosen = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        with Fleet(chosen.root, chosen.server, FLEETS[chosen.boards]):
            ended.wait()
    except EdgeCostError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
