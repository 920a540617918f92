"""What `edgecost` costs before it does anything: `--help`, in whole processes, beside the same of bare Python.

Figure to reach: 0.3 s. Run: python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9


def seconds(command: list[str]) -> list[float]:
    """Wall time of several runs, after one that is not counted."""
    found = []
    for index in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if index:
            found.append(time.perf_counter() - started)
    return found


def main() -> None:
    """Print minimum, median and maximum of both."""
    call = "import sys; sys.argv = ['edgecost', '--help']; from edgecost.cli import main; main()"
    for name, command in {
        "python -c pass": [sys.executable, "-c", "pass"],
        "edgecost --help": [sys.executable, "-c", call],
    }.items():
        found = seconds(command)
        print(f"{name:16s} min {min(found):.3f}  median {statistics.median(found):.3f}  max {max(found):.3f} s")


if __name__ == "__main__":
    main()
