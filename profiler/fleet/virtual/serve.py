"""`python -m profiler.fleet.virtual.serve --root DIR`: serve the embedded fleet until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from profiler.errors import EdgeCostError
from profiler.fleet.virtual.loopback import SERVERS, Fleet

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; exit status 2 with one sentence on stderr when that cannot be."""
    parser = argparse.ArgumentParser(description="Serve the embedded fleet until SIGTERM.")
    parser.add_argument("--root", type=Path, required=True, help="folder of the fleet")
    parser.add_argument("--server", choices=sorted(SERVERS), default="asyncssh", help="what serves the boards")
    chosen = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        with Fleet(chosen.root, chosen.server):
            ended.wait()
    except EdgeCostError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
