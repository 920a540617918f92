"""How long a cost table takes to be made from journals that hold a million samples.

    python benchmarks/table_load.py [--samples 1000000]

The same journal read by plain `json.loads` stands beside it: what any reader of JSON lines has to pay.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import encode
from profiler.measure.record import Measurement, Role
from profiler.measure.runfolder import RunFolder, Subject
from profiler.tables.table import CostTable
from profiler.workloads.build import WorkloadBuilder

SAMPLES_A_JOB = 100
ROUNDS = 3
REPEATS = (1, 8, 16)

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def write_run(results: Path, samples: int) -> Path:
    target = Target("made-up", "onnxruntime", "fp32")
    folder = RunFolder.create(results, "made-up", "run")
    folder.write_header(Device("made-up", "192.0.2.1", "nobody", (target,)), target, MeasureConfig(), {})
    rng = np.random.default_rng(0)
    subjects: list[Subject] = []
    with folder.journal_path.open("wb") as file:
        for channels in range(1, 1 + samples // (SAMPLES_A_JOB * ROUNDS * len(REPEATS))):
            b = WorkloadBuilder()
            kernel = b.build(b.conv2d(b.input((1, channels, 16, 16)), channels, kernel=3, bias=True))
            subjects.append(Subject(kernel.key, kernel.to_dict(), f"conv {channels}", "chain", REPEATS[1]))
            for round_ in range(ROUNDS):
                for n in REPEATS:
                    taken = rng.normal(1e5 * (1 + n), 1e3, SAMPLES_A_JOB).astype(int).tolist()
                    role = Role("kernel", kernel.key, "chain", n)
                    where = ("a" * 64, "made-up", target.id)
                    name = f"{channels}-{round_}-{n}"
                    file.write(
                        encode(Measurement(name, name, *where, role, round_, "ok", (), tuple(taken), runs_per_batch=10))
                    )
    folder.add_subjects(subjects)
    return folder.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as scratch:
        run = write_run(Path(scratch), samples)
        journal = run / "journal.jsonl"
        print(f"journal: {journal.stat().st_size / 1e6:.1f} MB, {samples} samples")
        _, plain_s = timed(lambda: [len(json.loads(line)["samples_ns"]) for line in journal.open("rb")])
        table, load_s = timed(lambda: CostTable.from_runs([run]))
        table.export(Path(scratch) / "table.parquet")
        table.export(Path(scratch) / "table.json")
        _, parquet_s = timed(lambda: CostTable.load(Path(scratch) / "table.parquet"))
        _, json_s = timed(lambda: CostTable.load(Path(scratch) / "table.json"))
    print(f"plain json.loads of every line      {plain_s:7.2f} s")
    print(f"journal -> CostTable, {len(table.rows()):5d} rows    {load_s:7.2f} s")
    print(f"exported table, .parquet            {parquet_s:7.2f} s")
    print(f"exported table, .json               {json_s:7.2f} s")
    print(f"peak memory                         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MB")


if __name__ == "__main__":
    main()
