"""The folder of one run, results/<device>/<run-id>/: what was to be measured, where and how, beside the journal.

run.json         what holds for the whole run: device, target, configuration, facts, versions, seed
workloads.jsonl  every workload that ran and every subject it ran for, by key
journal.jsonl    one line a measurement (profiler.measure.journal)
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from profiler.fleet.targets import Device, Runtime, Target
from profiler.measure.config import MeasureConfig
from profiler.measure.journal import storage_error
from profiler.measure.journal_lines import frame, unframe
from profiler.measure.record import SCHEMA_VERSION

__all__ = ["RunFolder", "Subject", "edgecost_version", "stable_facts", "write_atomically", "write_file"]

_FACTS_THAT_STAY = ("machine_id", "cpu_model", "arch", "logical_cores", "kernel")
"""A board whose facts of these names differ is not the same board."""

_PRIVATE_DEVICE_FIELDS = frozenset({"identity_file", "known_hosts"})
"""Paths on the host's disk are nobody else's business when results are published."""


def edgecost_version() -> str:
    """The installed version, or "unknown" in a source tree that is not installed."""
    try:
        return version("edgecost")
    except PackageNotFoundError:
        return "unknown"


def write_atomically(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a whole file beside its place and move it there, so that readers see the old one or the new one.

    Raises:
        StorageError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise storage_error("write", path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, making its folder.

    Raises:
        StorageError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path.parent}: {error.strerror}; name another one") from None
    write_atomically(path, [data])


@dataclass(frozen=True, slots=True)
class Subject:
    """A line of workloads.jsonl, framed like the journal's: a workload, and how to read the figures about it.

    Attributes:
        key: of the workload.
        workload: in its plain form.
        label: for people.
        mode, repeats: how it was isolated, and m: the chains measured hold m and 2m; 0 for what is neither kernel nor
            block.
        companions: keys of the kernels whose marginal costs are to be taken off its slope.
    """

    key: str
    workload: dict[str, Any]
    label: str = ""
    mode: str = "whole"
    repeats: int = 0
    companions: tuple[str, ...] = field(default_factory=tuple)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Subject:
        """Read a line; ValueError where it is not one."""
        if (
            not isinstance(data, dict)
            or not isinstance(data.get("key"), str)
            or not isinstance(data.get("workload"), dict)
        ):
            raise ValueError("not a workload's line")
        companions, repeats = data.get("companions", []), data.get("repeats", 0)
        if not isinstance(companions, list) or not isinstance(repeats, int):
            raise ValueError("not a workload's line")
        label, mode = str(data.get("label", "")), str(data.get("mode", "whole"))
        return cls(data["key"], data["workload"], label, mode, repeats, tuple(str(c) for c in companions))


class RunFolder:
    """One run's files.

    Attributes:
        path: the folder.
        journal_path: of its journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal_path = path / "journal.jsonl"
        self._header_path = path / "run.json"
        self._workloads_path = path / "workloads.jsonl"

    @classmethod
    def create(cls, results_dir: Path, device_id: str, run_id: str) -> RunFolder:
        """Make the folder, or take up the one that is there.

        Raises:
            ConfigError: `run_id` is not a plain name.
            StorageError: the folder cannot be made.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
            raise ConfigError(f"run id {run_id!r} is not a folder's name; use letters, digits, '.', '_' and '-'")
        path = results_dir / device_id / run_id
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error("make results folder", path, error) from None
        return cls(path)

    # ---------------------------------------------------------------- run.json

    def header(self) -> dict[str, Any] | None:
        """What run.json says; None where there is none yet.

        Raises:
            StorageError: it cannot be read, is not such a file, or is of a newer schema.
        """
        try:
            data = json.loads(self._header_path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("read", self._header_path, error) from None
        except ValueError:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise StorageError(f"{self._header_path} is not the header of a run; delete the folder or restore the file")
        if data["schema"] > SCHEMA_VERSION:
            raise StorageError(
                f"{self._header_path} has schema {data['schema']}, newer than {SCHEMA_VERSION}; update edgecost"
            )
        return data

    @property
    def is_begun(self) -> bool:
        """Whether a board has answered in this run already."""
        return self._header_path.exists()

    def check_same(self, device: Device, target: Target, config: MeasureConfig) -> None:
        """Refuse to mix measurements of two kinds in one run.

        Raises:
            ConfigError: the folder holds a run of another device, target or configuration.
        """
        header = self.header()
        if header is None:
            return
        differing = _differences("config", header.get("config"), config.to_dict())
        # a run that was begun before targets had an accelerator or cores had the default of each
        begun = {**asdict(Target(target.device_id, target.runtime, target.precision)), **(header.get("target") or {})}
        differing += _differences("target", begun, asdict(target))
        if (header.get("device") or {}).get("id") != device.id:
            differing.append("device")
        if differing:
            raise ConfigError(
                f"run {self.path} was begun with other settings ({', '.join(differing)}); choose another run id, "
                "or the same settings to continue it"
            )

    def write_header(self, device: Device, target: Target, config: MeasureConfig, facts: dict[str, Any]) -> None:
        """Write run.json at the start of a run; when it is continued, check that the board is still what it was.

        Raises:
            ConfigError: the board or its runtime is not what the run was begun with.
            StorageError: the folder cannot be written.
        """
        header = self.header()
        if header is not None:
            before = header.get("facts") or {}
            then, now = stable_facts(before, target.runtime), stable_facts(facts, target.runtime)
            changed = [name for name in now if then[name] != now[name]]
            if changed:
                raise ConfigError(
                    f"board {device.id!r} has changed since run {self.path} was begun ({', '.join(changed)}); choose "
                    "another run id, so that figures of the two are not mixed"
                )
            return
        described = _without_paths(asdict(device))
        data = {
            "schema": SCHEMA_VERSION,
            "edgecost": edgecost_version(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": described,
            "target": asdict(target),
            "target_id": target.id,
            "config": config.to_dict(),
            "seed": config.seed,
            "facts": facts,
        }
        write_atomically(self._header_path, [json.dumps(data, indent=1).encode(), b"\n"])

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Of each file: inode, size and time of last change (ns), all 0 where it does not exist. While a stamp stays
        the same, so does what the folder holds."""
        found = []
        for path in (self._header_path, self._workloads_path, self.journal_path):
            try:
                s = path.stat()
                found.append((s.st_ino, s.st_size, s.st_mtime_ns))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)

    # ---------------------------------------------------------------- workloads.jsonl

    def subjects(self) -> Iterator[Subject | None]:
        """The lines of workloads.jsonl one by one; None stands for one that cannot be read.

        Raises:
            StorageError: the file cannot be read.
        """
        try:
            with self._workloads_path.open("rb") as file:
                for line in file:
                    try:
                        yield Subject.from_dict(unframe(line.removesuffix(b"\n")))
                    except ValueError:
                        yield None
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error("read", self._workloads_path, error) from None

    def add_subjects(self, subjects: Iterable[Subject]) -> None:
        """Write down the subjects whose keys are not there yet; the file is replaced as a whole.

        Raises:
            StorageError: the file cannot be written.
        """
        lines: dict[str, bytes] = {}
        isolated: set[str] = set()
        for subject in self.subjects():
            if subject is not None:
                lines[subject.key] = _line(subject)
                isolated.update([subject.key] if subject.repeats else [])
        changed = False
        for subject in subjects:
            line = _line(subject)
            # what is known of a kernel's isolation is not forgotten because its workload also runs as itself
            if lines.get(subject.key) != line and (subject.repeats or subject.key not in isolated):
                lines[subject.key] = line
                changed = True
                isolated.update([subject.key] if subject.repeats else [])
        if changed:
            write_atomically(self._workloads_path, lines.values())


def stable_facts(facts: dict[str, Any], runtime: Runtime) -> dict[str, Any]:
    """What makes a board and its software what they are for one runtime: load, free memory and clocks are not among
    it, nor are the versions of other runtimes."""
    versions = facts.get("runtimes")
    version_ = versions.get(runtime) if isinstance(versions, dict) else None
    return {**{name: facts.get(name) for name in _FACTS_THAT_STAY}, runtime: version_}


def _without_paths(described: dict[str, Any]) -> dict[str, Any]:
    """A device, its jump host too, without what is nobody else's business."""
    kept = {name: value for name, value in described.items() if name not in _PRIVATE_DEVICE_FIELDS}
    return {name: _without_paths(value) if isinstance(value, dict) else value for name, value in kept.items()}


def _line(subject: Subject) -> bytes:
    return frame(asdict(subject))


def _differences(what: str, before: Any, now: dict[str, Any]) -> list[str]:
    before = before if isinstance(before, dict) else {}
    return [f"{what}.{name}" for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
