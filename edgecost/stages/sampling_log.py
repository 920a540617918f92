"""What adaptive profiling has chosen and spent: `sampling.jsonl` in a run's folder, one line a step, append-only.

    {"schema": 1, "seed": 0, "kinds": {"conv2d 3x3+relu": 24, ...}}           what the samples are to cover
    {"batch": 0, "kernels": [...], "fit": [...], "held_out": [...], "jobs": 90, "journal_bytes": 0}
    {"ended": 0, "spent_s": 31.5, "whole": true, "journal_bytes": 81234}

A batch is written down before it is measured. A torn last line is what a crash leaves, and is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from profiler.fleet.targets import Precision, Runtime
from profiler.measure.journal import decode, storage_error
from profiler.workloads.fusion import Kernel, cut
from profiler.workloads.graph import Workload

__all__ = ["Planned", "SamplingLog"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Planned:
    """One batch.

    Attributes:
        number: 0, 1, ...
        kernels: the workloads of kernels that were chosen.
        fit, held_out: whole networks, by split.
        jobs: how many jobs they are.
        journal_bytes: the journal's length when it was planned, or ended.
        spent_s: of the board's time; None until it has ended.
        whole: whether it ended because all of it was measured.
    """

    number: int
    kernels: tuple[Workload, ...]
    fit: tuple[Workload, ...] = ()
    held_out: tuple[Workload, ...] = ()
    jobs: int = 0
    journal_bytes: int = 0
    spent_s: float | None = None
    whole: bool = False

    def kernels_for(self, runtime: Runtime, precision: Precision) -> tuple[Kernel, ...]:
        """The chosen kernels as a runtime's rules cut them."""
        return tuple(cut(workload, runtime, precision)[0] for workload in self.kernels)


class SamplingLog:
    """The log of one run.

    Args:
        folder: of the run; made where it is missing.

    Attributes:
        batches: what was planned, in order.

    Raises:
        StorageError: the log cannot be read, is none, or is of a newer schema.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batches: list[Planned] = []
        self._path = folder / "sampling.jsonl"
        self._head: dict[str, Any] | None = None
        self._read()

    def begin(self, seed: int, kinds: Mapping[str, int]) -> None:
        """Say what is covered, or check that the run which is continued covers the same.

        Raises:
            ConfigError: it was begun with another seed or other kinds of kernels.
        """
        head = {"schema": SCHEMA, "seed": seed, "kinds": dict(kinds)}
        if self._head is None:
            self._append(head)
            self._head = head
        elif self._head != head:
            raise ConfigError(
                f"{self._path} was begun with another seed, space or set of files; choose another run id with --run"
            )

    def plan(self, batch: Planned) -> Planned:
        """Write a batch down, before it is measured; returns it with the journal's length."""
        batch = replace(batch, journal_bytes=self._journal_bytes())
        self._append(
            {
                "batch": batch.number,
                "kernels": [w.to_dict() for w in batch.kernels],
                "fit": [w.to_dict() for w in batch.fit],
                "held_out": [w.to_dict() for w in batch.held_out],
                "jobs": batch.jobs,
                "journal_bytes": batch.journal_bytes,
            }
        )
        self.batches.append(batch)
        return batch

    def end(self, number: int, spent_s: float, whole: bool) -> None:
        """Say what a batch has taken of the board's time, besides what it had taken when it was ended before."""
        spent_s += self.batches[number].spent_s or 0.0
        self._take_and_append(
            {"ended": number, "spent_s": round(spent_s, 3), "whole": whole, "journal_bytes": self._journal_bytes()}
        )

    # ---------------------------------------------------------------- time

    def spent_s(self) -> float:
        """Of the board's time, by all batches; of one that was cut off, by what its jobs say of themselves."""
        known = sum(batch.spent_s or 0.0 for batch in self.batches)
        unended = self.batches and self.batches[-1].spent_s is None
        return known + (self.board_s() if unended else 0.0)

    def board_s(self) -> float:
        """What the jobs journaled since the last batch was planned, or ended, took by the board's own clock."""
        start = self.batches[-1].journal_bytes if self.batches else 0
        found = 0.0
        try:
            with (self.folder / "journal.jsonl").open("rb") as file:
                file.seek(start)
                for line in file:
                    try:
                        found += float(decode(line.rstrip(b"\n")).env.get("attempt_s") or 0.0)
                    except (TypeError, ValueError):  # a corrupt line is the table's to complain about
                        continue
        except FileNotFoundError:
            return 0.0
        except OSError as error:
            raise storage_error("read", self.folder / "journal.jsonl", error) from None
        return found

    def job_s(self) -> float:
        """Seconds a job, over the batches that were measured as a whole; 0 before there is one."""
        whole = [batch for batch in self.batches if batch.whole and batch.jobs and batch.spent_s]
        return sum(b.spent_s or 0.0 for b in whole) / sum(b.jobs for b in whole) if whole else 0.0

    # ---------------------------------------------------------------- the file

    def _journal_bytes(self) -> int:
        try:
            return (self.folder / "journal.jsonl").stat().st_size
        except OSError:
            return 0

    def _take_and_append(self, line: dict[str, Any]) -> None:
        self._append(line)
        self._take(line)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise storage_error("write", self._path, error) from None

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error("read", self._path, error) from None
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            try:  # what is appended must not stick to it
                os.truncate(self._path, len(whole) + len(newline))
            except OSError as error:
                raise storage_error("write", self._path, error) from None
        for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
            try:
                self._take(json.loads(line))
            except (ConfigError, IndexError, KeyError, TypeError, ValueError):
                raise StorageError(
                    f"line {number} of {self._path} cannot be read; choose another run id, or restore the file"
                ) from None

    def _take(self, line: dict[str, Any]) -> None:
        if "schema" in line:
            if line["schema"] > SCHEMA:
                raise StorageError(f"{self._path} has schema {line['schema']}, newer than {SCHEMA}; update edgecost")
            self._head = {"schema": line["schema"], "seed": line["seed"], "kinds": line["kinds"]}
        elif "batch" in line:
            if line["batch"] != len(self.batches):
                raise ValueError("batches out of order")
            kernels, fit, held_out = (
                tuple(Workload.from_dict(w) for w in line[name]) for name in ("kernels", "fit", "held_out")
            )
            jobs, journal_bytes = int(line["jobs"]), int(line["journal_bytes"])
            self.batches.append(Planned(int(line["batch"]), kernels, fit, held_out, jobs, journal_bytes))
        else:
            self.batches[line["ended"]] = replace(
                self.batches[line["ended"]],
                spent_s=float(line["spent_s"]),
                whole=bool(line["whole"]),
                journal_bytes=int(line["journal_bytes"]),
            )
