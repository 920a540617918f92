"""How long `edgecost predict` takes for an ONNX file: whole processes, the first of which fits, and those after it.

    python benchmarks/predict_file.py model.onnx --target TARGET --results results/quickstart [--runs 7]

Figure to reach: 2 s for MobileNetV2 (torch's export of 14 MB) against a table like the quick start's. Every process
starts cold but for the disk's cache. The first one after a measurement fits the predictor and keeps it; it runs in an
empty folder here, so that nothing is kept from before. Beside wall time stands CPU time, which says more on a machine
that does other things too.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """(wall, CPU) of one process that runs in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the first process, and minimum, median and maximum of those after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    command = [sys.executable, "-m", "edgecost", "predict", str(options.model.resolve())]
    command += ["--target", options.target, "--results", str(options.results.resolve()), "--json"]
    here = str(Path.cwd())
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory(prefix="edgecost-") as folder:
        wall, cpu = seconds(command, Path(folder))
        print(f"first, fits and keeps  wall {wall:.2f} s, CPU {cpu:.2f} s")
        found = [seconds(command, Path(folder)) for _ in range(options.runs)]
    for name, values in zip(("wall", "CPU"), zip(*found, strict=True), strict=True):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{options.runs} after it, {name:4s}       min {low:.2f}  median {middle:.2f}  max {high:.2f} s")


if __name__ == "__main__":
    main()
