"""Lowering in processes of its own: one that hangs, dies or eats memory takes no campaign with it.

A conversation in JSON lines with `profiler.measure.lowering_worker`, whose processes start when they are needed, end by
themselves when idle, and are killed when a workload takes too long. What they make is in the cache of artefacts, where
it is read from.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import profiler
from profiler.errors import ArtefactError, StorageError, UnsupportedOperator
from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.graph import Workload

__all__ = ["Lowerings"]

_CHUNK_BYTES = 1 << 16
_MOST_ANSWER_BYTES = 1 << 20
_MOST_WORDS = 300

_IDLE_S = 5.0
"""A process that nobody has asked for so long ends: it would go on holding the memory of all that it imported."""

_ALONE_S = 1.0
"""One process does all for so long: a second one pays for its imports first."""


class Lowerings:
    """A source of artefacts for campaigns, safe to use from several threads; a context manager that ends its processes.

    Args:
        cache: where artefacts are kept.
        build_s: for one workload.
        processes: at most so many at a time; by default one a core.
    """

    def __init__(self, cache: ArtefactCache, build_s: float = 300.0, processes: int | None = None) -> None:
        self._cache = cache
        self._build_s = build_s
        self._processes = processes or os.cpu_count() or 1
        self._lock = threading.Condition()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._making: dict[tuple[str, int, str, str], threading.Lock] = {}
        self._begun: float | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def get(self, workload: Workload, runtime: Runtime, precision: Precision) -> Artefact:
        """The artefact of a workload.

        Raises:
            ArtefactError: the lowering fails, takes too long, or its process died.
            ConfigError: there is no such runtime.
            StorageError: the folder of artefacts cannot be read or written.
            UnsupportedOperator: the runtime cannot have this workload.
        """
        found = self._cache.find(workload, runtime, precision)
        if found is not None:
            return found
        with self._alone(workload, runtime, precision):  # somebody else may be making it
            found = self._cache.find(workload, runtime, precision)
            if found is None and self._make(workload, runtime, precision):
                found = self._cache.find(workload, runtime, precision)
        # a runtime that only this process knows cannot be lowered by another one
        return self._cache.get(workload, runtime, precision) if found is None else found

    def close(self) -> None:
        """End all processes, those at work too: whoever waits for one gets an ArtefactError."""
        with self._lock:
            self._closed = True
            idle = list(self._idle)
            self._idle.clear()
            for process in self._busy:  # whoever asks it finds its output ended
                process.strike()
            self._lock.notify_all()
        for process in idle:
            process.kill()

    @contextmanager
    def _alone(self, workload: Workload, runtime: Runtime, precision: Precision) -> Iterator[None]:
        key = (workload.key, workload.seed, runtime, precision)
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._making.pop(key, None)

    def _make(self, workload: Workload, runtime: Runtime, precision: Precision) -> bool:
        """Have a process lower it; False where no other process knows the runtime."""
        request = {"workload": workload.to_dict(), "runtime": runtime, "precision": precision}
        name = f"workload {workload.name or workload.key}"
        answer = self._ask(request, name)
        problem, message = answer.get("error"), str(answer.get("message", ""))
        if problem == "UnsupportedOperator":
            raise UnsupportedOperator(message, tuple(str(o) for o in answer.get("operators", ())))
        if problem == "StorageError":
            raise StorageError(message)
        if problem not in (None, "ConfigError"):
            raise ArtefactError(message)
        return problem is None

    def _ask(self, request: dict[str, Any], name: str) -> dict[str, Any]:
        """A process's answer; one that has ended itself since its last workload is replaced."""
        line = json.dumps(request).encode() + b"\n"
        while True:
            process, used = self._take()
            try:
                answer = process.ask(line, time.monotonic() + self._build_s)
            except TimeoutError:
                process.kill()
                raise ArtefactError(f"{name} is not lowered after {self._build_s:g} s; its process was ended") from None
            except EOFError:
                status, words = process.end()
                if used and status == 0 and not self._closed:
                    continue
                how = f"signal {-status}" if status < 0 else words or f"exit status {status}"
                raise ArtefactError(f"the lowering of {name} has ended its process ({how})") from None
            finally:
                self._give(process)
            return answer

    def _take(self) -> tuple[_Process, bool]:
        """A process, and whether it has done something before; waits for one where all are at work."""
        with self._lock:
            self._begun = self._begun or time.monotonic()
            while not self._closed:
                if self._idle:
                    process = self._idle.pop()
                    self._busy.add(process)
                    return process, True
                long = time.monotonic() - self._begun >= _ALONE_S
                if not self._busy or (long and len(self._busy) < self._processes):
                    process = _Process(self._cache.root)
                    self._busy.add(process)
                    return process, False
                self._lock.wait(_ALONE_S)
        raise ArtefactError("the lowering of workloads was ended")

    def _give(self, process: _Process) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.alive and not self._closed:
                self._idle.append(process)
            self._lock.notify()


class _Process:
    """One process that lowers."""

    def __init__(self, root: Path) -> None:
        # it must find this very package, installed or not, wherever the command was typed
        paths = [str(Path(profiler.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        pipe = subprocess.PIPE
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (open for as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "profiler.measure.lowering_worker", str(root), str(_IDLE_S)],
            stdin=pipe, stdout=pipe, stderr=self._words, env=environment, start_new_session=True,
        )  # fmt: skip
        self.alive = True

    def ask(self, line: bytes, deadline: float) -> dict[str, Any]:
        """Its answer to one request; TimeoutError where it takes too long, EOFError where it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            raise EOFError from None
        answer = bytearray()
        while not answer.endswith(b"\n"):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise TimeoutError
            chunk = os.read(self._process.stdout.fileno(), _CHUNK_BYTES)
            if not chunk or len(answer) > _MOST_ANSWER_BYTES:
                raise EOFError
            answer += chunk
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found

    def strike(self) -> None:
        """Kill it and all that it has started, whatever they do."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.strike()
        self.end()

    def end(self) -> tuple[int, str]:
        """Wait for its end: its exit status, and the last line of what it said."""
        self.alive = False
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # a request that it did not take is still in the buffer
                    stream.close()
        if self._words.closed:
            return status, ""
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - _MOST_WORDS))
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        self._words.close()
        return status, lines[-1] if lines else ""
