"""How long a million measurements take to become a cost table, and a hundred thousand lookups in it.

    python benchmarks/table_load.py [--measurements 1000000] [--runs 100] [--again 5] [--samples 30]

Made-up journals of many runs: five of each target (of which the newest counts), three rounds, nine in ten measurements
of kernels (1, m and 2m of them), the others of whole models. Beside the figures stands what a plain `json.loads` of
every line takes, which is what any reader of JSON lines has to pay each time. The first read parses and estimates
everything and keeps the digests that the later ones take. On a machine that does other things too, seconds of this
process' own CPU time say more than those of the clock.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json import loads
from pathlib import Path
from typing import TypeVar

import numpy as np

from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import encode
from profiler.measure.record import Measurement, Role, RoleKind
from profiler.measure.runfolder import RunFolder, Subject
from profiler.tables.loading import runs as loading
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder

ROUNDS = 3
M = 8
LOOKUPS = 100_000

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Seconds:
    """By the clock, and of this process' CPU time."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:8.2f} s, CPU {self.cpu:6.2f} s"


def timed(work: Callable[[], T]) -> tuple[T, Seconds]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def subjects(n_kernels: int, n_models: int) -> Iterator[Subject]:
    for size in range(n_kernels + n_models):
        b = WorkloadBuilder(f"work {size}")
        x = b.input((1, 8, 16 + size, 16))
        work = b.build(b.conv2d(x, 8, kernel=3, bias=True))
        if size < n_kernels:
            yield Subject(work.key, work.to_dict(), work.name, "chain", M)
        else:
            yield Subject(work.key, work.to_dict(), work.name)


def write_run(
    results: Path, target: Target, run_id: str, work: list[Subject], samples: int, rng: np.random.Generator
) -> int:
    """Write one run; returns how many measurements it holds."""
    folder = RunFolder.create(results, target.device_id, run_id)
    device = Device(target.device_id, "192.0.2.1", "nobody", (target,))
    folder.write_header(device, target, MeasureConfig(), {})
    folder.add_subjects(work)
    started, n = "2026-01-01T00:00:00.000+00:00", 0
    env = {"load_1min": 0.1, "freq_mhz": 1800.0, "temperature_c": 51.0, "governor": "performance", "half_width": 0.005}
    with folder.journal_path.open("wb") as file:
        for round_ in range(ROUNDS):
            for subject in work:
                for repeats in (1, M, 2 * M) if subject.repeats else (1,):
                    taken = rng.normal(1e7 * (1 + repeats), 1e5, samples).astype(int).tolist()
                    kind: RoleKind = "kernel" if subject.repeats else "model"
                    role = Role(kind, subject.key, "chain" if subject.repeats else "whole", repeats)
                    m = Measurement(
                        f"{n:032x}", subject.key, "a" * 64, device.id, target.id, role, round_, "ok",
                        ("unpinned", "sensor_missing"), tuple(taken), 10, 5_000_000, 400_000, 50, 1e-6, None, "", env,
                        started,
                    )  # fmt: skip
                    file.write(encode(m))
                    n += 1
    return n


def write_all(results: Path, measurements: int, runs: int, again: int, samples: int) -> int:
    a_run = measurements // runs
    n_kernels = round(a_run * 0.9) // (3 * ROUNDS)
    work = list(subjects(n_kernels, (a_run - 3 * ROUNDS * n_kernels) // ROUNDS))
    done, rng = 0, np.random.default_rng(0)
    for number in range(runs):
        target = Target(f"board{number // again}", "onnxruntime", "fp32")
        done += write_run(results, target, f"r{number % again}", work, samples, rng)
    return done


def parse_all(journals: Sequence[Path]) -> int:
    n = 0
    for path in journals:
        with path.open("rb") as file:
            for line in file:
                n += "samples_ns" in loads(line)
    return n


def load(results: Path) -> CostTable:
    loading.forget()
    return CostTable.from_results(results)


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(results: Path, scratch: Path) -> Iterator[str]:
    """What it took, a line each."""
    journals = list(results.glob("*/*/journal.jsonl"))
    n, plain = timed(lambda: parse_all(journals))
    megabytes = sum(path.stat().st_size for path in journals) / 1e6
    yield f"{n} measurements in {len(journals)} runs, {megabytes:.0f} MB"
    yield f"plain json.loads of every line, nothing else {plain}"
    for path in results.glob("*/*/*.arrow"):
        path.unlink()
    yield f"first read, digests are made and kept        {timed(lambda: load(results))[1]}"
    kept = sorted(timed(lambda: load(results))[1] for _ in range(5))
    yield f"CostTable from the digests, median of 5      {kept[2]}   ({kept[0].wall:.2f} to {kept[-1].wall:.2f})"
    yield f"CostTable again in the same process          {timed(lambda: CostTable.from_results(results))[1]}"
    places = [(row.target_id, row.key) for row in load(results).all_rows]
    table = load(results)  # none of whose rows has been asked for yet
    chosen = np.random.default_rng(0).integers(len(places), size=LOOKUPS)
    asked = [places[i] for i in chosen.tolist()]
    _, took = timed(lambda: [table.lookup(*place) for place in asked])
    yield f"{f'{LOOKUPS} lookups in {len(places)} rows':44} {took}"
    yield f"export to .parquet                           {timed(lambda: table.export(scratch / 't.parquet'))[1]}"
    yield f"and back                                     {timed(lambda: CostTable.load(scratch / 't.parquet'))[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--again", type=int, default=5, help="runs of each target")
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--in", dest="folder", type=Path, help="keep the journals here, and take those that are there")
    args = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        results = args.folder or Path(scratch)
        if not any(results.glob("*/*/run.json")):
            write_all(results, args.measurements, args.runs, args.again, args.samples)
        for line in measure(results, Path(scratch)):
            print(line, flush=True)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory                                  {peak_mb:8.0f} MB")


if __name__ == "__main__":
    main()
