"""kill -9 at several moments of a real process, then the same command again: nothing twice, nothing lost."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from profiler.measure.journal import read_journal

PROGRAM = Path(__file__).with_name("fakes.py")


def start(results: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), str(results), "r1", str(log)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


def wait_for(process: subprocess.Popen[bytes], path: Path, size: int) -> None:
    """Until the journal is at least so long, or the process is done."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.stat().st_size >= size:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("sizes", [(1, 4000, 9000), (6000, 6001)])
def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path, fakes: ModuleType, sizes: tuple[int, ...]):
    log = tmp_path / "measured.log"
    journal = tmp_path / "results" / "fake" / "r1" / "journal.jsonl"
    kills = 0
    for size in sizes:
        process = start(tmp_path / "results", log)
        wait_for(process, journal, size)
        before = process.poll()
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += before is None
    assert kills >= 1, "no process was alive to be killed: the test shows nothing"

    survived = read_journal(journal)
    assert survived.corrupt_lines == 0
    # what a kill in the middle of a write leaves
    with journal.open("ab") as file:
        file.write(b'{"crc32":"0000')
    assert start(tmp_path / "results", log).wait() == 0

    contents = read_journal(journal)
    keys = [m.job_key for m in contents.measurements]
    assert contents.corrupt_lines == 0
    assert contents.measurements[: len(survived.measurements)] == survived.measurements
    assert len(keys) == len(set(keys)) == 33
    assert all(m.status == "ok" for m in contents.measurements)
    expected = Counter((j.workload.key, j.role, r) for j, r in itertools.product(fakes.some_jobs(), range(3)))
    assert Counter((m.workload_key, m.role, m.round) for m in contents.measurements) == expected
    # a job may have been running when the process was killed: that one, and no other, was measured again
    assert 33 <= len(log.read_text().splitlines()) <= 33 + kills
