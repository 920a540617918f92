"""Where portions of work are done: all cores of this machine, or the workers of a Dask or Ray cluster, by joblib.

Results come back one portion at a time and are stored by the process that asked; workers need the same edgecost and
no shared files. A worker that dies takes its portion with it: Dask gives it to another, and whatever still lacks its
rows is asked for again by who fills the store.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from profiler.errors import ConfigError, EdgeCostError

__all__ = ["Engine", "WorkersLost", "check_engine", "parse_engine", "run_all"]

Work = TypeVar("Work")
Result = TypeVar("Result")

_ANSWER_S = 5.0
_SILENT_S = 3600.0
"""joblib's Dask backend never tells of a task that Dask gave up: no answer for so long counts as one."""
_WAVES = 4
"""Where results cannot be had one by one: portions a worker between two times that they are collected."""


class WorkersLost(EdgeCostError):
    """Worker processes died; what they had not reported has to be done again."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Where work is done.

    Attributes:
        kind: "local", "dask" or "ray".
        host, port: of a cluster; "" and 0 for this machine, or for the Ray that RAY_ADDRESS or this machine has.
        jobs: processes at once; None for all cores, or all that a cluster has.
    """

    kind: str = "local"
    host: str = ""
    port: int = 0
    jobs: int | None = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"


def parse_engine(text: str, jobs: int | None = None) -> Engine:
    """ "local", "dask://HOST:PORT", "ray" or "ray://HOST:PORT" (ConfigError for anything else)."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is at least 1, not {jobs}")
    if text in ("local", "ray"):
        return Engine(text, jobs=jobs)
    kind, mark, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if not mark or kind not in ("dask", "ray") or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"an engine is local, dask://HOST:PORT, ray or ray://HOST:PORT, not {text!r}")
    return Engine(kind, host, int(port), jobs)


def run_all(function: Callable[[Work], Result], work: Sequence[Work], engine: Engine) -> Iterator[Result]:
    """Results in the order in which they are ready.

    Raises:
        ConfigError: where the engine's package is not installed or nobody answers at its address.
        WorkersLost: where workers died and what they did cannot be had; results given out before are good.
    """
    if engine.kind == "local" and engine.jobs == 1:
        yield from map(function, work)
        return
    import joblib

    with ExitStack() as stack:
        lost = _open(engine, stack)
        jobs = -1 if engine.jobs is None else engine.jobs
        try:
            if engine.kind == "ray":  # its joblib backend hands back lists only
                wave = _WAVES * joblib.effective_n_jobs(jobs)
                for start in range(0, len(work), wave):
                    calls = (joblib.delayed(function)(w) for w in work[start : start + wave])
                    yield from _good(joblib.Parallel(n_jobs=jobs, batch_size=1)(calls))
                return
            calls = (joblib.delayed(function)(w) for w in work)
            limit = _SILENT_S if engine.kind == "dask" else None
            each = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered", timeout=limit)
            yield from each(calls)
        except lost as error:
            raise WorkersLost(f"workers died while scoring: {_first_line(error)}") from None


def _good(results: Sequence[Any]) -> Iterator[Any]:
    """The results that are some; joblib hands a dead Ray worker's error back in the place of its result."""
    yield from (r for r in results if not isinstance(r, BaseException))
    for result in results:
        if isinstance(result, BaseException):
            raise WorkersLost(f"workers died while scoring: {_first_line(result)}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _open(engine: Engine, stack: ExitStack) -> tuple[type[BaseException], ...]:
    """Enter the engine's joblib backend; the errors by which it tells that workers died."""
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if engine.kind == "local":
        stack.enter_context(joblib.parallel_config("loky"))
        return (BrokenProcessPool,)
    check_engine(engine)
    return _open_dask(engine, stack) if engine.kind == "dask" else _open_ray(engine, stack)


def _open_dask(engine: Engine, stack: ExitStack) -> tuple[type[BaseException], ...]:
    import joblib

    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise ConfigError("the engine dask needs the package distributed: pip install 'edgecost[dask]'") from None
    try:
        client = distributed.Client(f"tcp://{engine.address}", timeout=_ANSWER_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError):
        raise ConfigError(
            f"what answers at {engine.address} is no Dask scheduler: start one there with `dask scheduler`"
        ) from None
    stack.callback(client.close)
    if not client.ncores():
        raise ConfigError(f"the Dask scheduler at {engine.address} has no worker: start one with `dask worker`")
    stack.enter_context(joblib.parallel_config("dask", client=client))
    gone = (distributed.scheduler.KilledWorker, distributed.CancelledError, distributed.comm.CommClosedError)
    return (*gone, TimeoutError)


def _open_ray(engine: Engine, stack: ExitStack) -> tuple[type[BaseException], ...]:
    import joblib

    try:
        ray: Any = importlib.import_module("ray")
        register_ray = importlib.import_module("ray.util.joblib").register_ray
    except ImportError:
        raise ConfigError("the engine ray needs the package ray: pip install 'edgecost[ray]'") from None
    if not ray.is_initialized():
        options: dict[str, Any] = {"address": f"ray://{engine.address}"} if engine.host else {}
        if not engine.host and engine.jobs is not None and "RAY_ADDRESS" not in os.environ:
            options = {"num_cpus": engine.jobs, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise ConfigError(f"no Ray cluster can be had: {_first_line(error)}") from None
        stack.callback(ray.shutdown)
    register_ray()
    stack.enter_context(joblib.parallel_config("ray"))
    return (ray.exceptions.RayError,)


def check_engine(engine: Engine) -> None:
    """Raise ConfigError where nobody answers at an engine's address."""
    if not engine.host:
        return
    try:
        socket.create_connection((engine.host, engine.port), timeout=_ANSWER_S).close()
    except OSError as error:
        raise ConfigError(
            f"nobody answers at {engine.kind}://{engine.address} ({error.strerror or error}): "
            "start the cluster or mend the address; what was scored before is kept"
        ) from None
