"""`python -m profiler.fleet.virtual.aarch64 build | up`: build the board's system; serve the board until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from profiler.errors import EdgeCostError
from profiler.fleet.virtual.aarch64.board import Aarch64Board
from profiler.fleet.virtual.aarch64.processor import PROCESSORS
from profiler.fleet.virtual.aarch64.root import build
from profiler.fleet.virtual.state import remove_state, this_process, write_state

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; exit status 2 with one sentence on stderr when that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m profiler.fleet.virtual.aarch64", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="fetch and unpack the board's system, where that has not been done")
    up = verbs.add_parser("up", help="serve the board until SIGTERM or Ctrl-C; its system is built first")
    up.add_argument("--root", type=Path, required=True, help="folder of its keys, home and devices.yaml")
    up.add_argument("--processor", choices=PROCESSORS, default="cortex-a76", help="the core to emulate")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verb == "build":
            build(say=_say)
        else:
            _serve(chosen.root, chosen.processor)
    except EdgeCostError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _serve(folder: Path, processor: str) -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    board = Aarch64Board(folder, processor=processor, say=_say)
    with board as device:
        try:
            write_state(folder, this_process({device.id: device.port}, "qemu"))
            _say(f"{device.id} is up at 127.0.0.1:{device.port}; it is listed in {board.devices_path}")
            ended.wait()
        finally:
            remove_state(folder)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
