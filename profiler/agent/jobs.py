"""What a job must hold, so that nobody trips over a field that is missing once it is its turn.

    {"id", "path", "format", "runtime", "precision", "threads", "inputs", "layout", "expected", "config",
     "fresh", "cpus", "memory_mb", "accelerator", "library", "allow_fallback",
     "board": {"governor", "clock", "heat": {"zones", "files", "throttle_command", "throttle_file", "throttle_bits"},
               "sensors", "meter"}}

From "fresh" on all may be missing: no new worker, no bounds, the runtime's own way on the CPU; nothing is pinned, all
thermal zones count, nothing tells of throttling, and power is read from what needs no declaration.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict

from . import runtimes
from .worker.settings import Settings

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
CLOCK = re.compile(r"[1-9][0-9]{0,5}(\.[0-9]{1,3})?")
MOST_CPU = 65535
MOST_MEMORY_MB = 1 << 30
MOST_ITEMS = 64
MOST_BIT = 63


class BadRequest(Exception):
    """The host asked for something that is not in the protocol."""


def check_job(request: Any) -> Dict[str, Any]:
    """The job, once it is sure that it could run.

    Raises:
        BadRequest: naming the field that is missing or wrong.
    """
    if not isinstance(request, dict):
        raise BadRequest("job must be an object")
    for name in ("id", "path", "runtime", "precision", "layout"):
        if not isinstance(request.get(name), str):
            raise BadRequest("job.%s must be a text" % name)
    if not NAME.fullmatch(request["id"]):
        raise BadRequest("job.id must be 1 to 64 letters, digits, dots, dashes or underscores")
    if request["runtime"] not in runtimes.names():
        raise BadRequest("job.runtime must be one of %s" % ", ".join(runtimes.names()))
    if not _whole(request.get("threads"), 1):
        raise BadRequest("job.threads must be a whole number >= 1")
    _check_config(request.get("config"))
    shapes = request.get("inputs")
    if not isinstance(shapes, list) or not all(
        isinstance(shape, list) and all(_whole(size, 1) for size in shape) for shape in shapes
    ):
        raise BadRequest("job.inputs must be a list of shapes")
    expected = request.get("expected")
    if expected is not None and not _is_reference(expected):
        raise BadRequest("job.expected must hold size, rms, and as many values as indices, at least one")
    _check_bounds(request)
    _check_board(request.get("board", {}))
    return request


def _whole(value: Any, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_config(config: Any) -> None:
    limit = config.get("job_timeout_s") if isinstance(config, dict) else None
    if not isinstance(limit, (int, float)) or isinstance(limit, bool) or not 0 < limit < float("inf"):
        raise BadRequest("job.config.job_timeout_s must be a number > 0")
    try:
        Settings.read(config)
    except ValueError as error:
        raise BadRequest("job." + str(error)) from None


def _is_reference(expected: Any) -> bool:
    if not isinstance(expected, dict) or not isinstance(expected.get("size"), int):
        return False
    indices, values = expected.get("indices"), expected.get("values")
    if not isinstance(indices, list) or not isinstance(values, list) or not 0 < len(indices) == len(values):
        return False
    numbers = [*values, expected.get("rms")]
    inside = all(isinstance(index, int) and 0 <= index < expected["size"] for index in indices)
    return inside and all(isinstance(value, (int, float)) for value in numbers)


def _check_bounds(request: Dict[str, Any]) -> None:
    for name in ("fresh", "allow_fallback"):
        if not isinstance(request.get(name, False), bool):
            raise BadRequest("job.%s must be true or false" % name)
    for name in ("accelerator", "library"):
        if not isinstance(request.get(name, ""), str):
            raise BadRequest("job.%s must be a text" % name)
    cpus = request.get("cpus")
    if cpus is not None and not (isinstance(cpus, list) and cpus and all(_whole(cpu, 0, MOST_CPU) for cpu in cpus)):
        raise BadRequest("job.cpus must be a list of at least one CPU's number, or null")
    memory_mb = request.get("memory_mb")
    if memory_mb is not None and not _whole(memory_mb, 1, MOST_MEMORY_MB):
        raise BadRequest("job.memory_mb must be a whole number >= 1, or null")


def _check_board(board: Any) -> None:
    if not isinstance(board, dict):
        raise BadRequest("job.board must be an object")
    governor = board.get("governor", "")
    if not isinstance(governor, str) or (governor and not NAME.fullmatch(governor)):
        raise BadRequest("job.board.governor must be a governor's name, or empty")
    if not _is_clock(board.get("clock", "unpinned")):
        raise BadRequest('job.board.clock must be MHz as a text, or "unpinned"')
    heat = board.get("heat", {})
    if not isinstance(heat, dict):
        raise BadRequest("job.board.heat must be an object")
    for name in ("zones", "files", "throttle_command"):
        if not _listed(heat.get(name, []), lambda item: isinstance(item, str)):
            raise BadRequest("job.board.heat.%s must be a list of at most %d texts" % (name, MOST_ITEMS))
    if not isinstance(heat.get("throttle_file", ""), str):
        raise BadRequest("job.board.heat.throttle_file must be a text")
    if not _listed(heat.get("throttle_bits", []), lambda item: _whole(item, 0, MOST_BIT)):
        raise BadRequest("job.board.heat.throttle_bits must be a list of bits from 0 to %d" % MOST_BIT)
    if not _listed(board.get("sensors", []), lambda item: isinstance(item, dict)):
        raise BadRequest("job.board.sensors must be a list of at most %d objects" % MOST_ITEMS)
    if not isinstance(board.get("meter", False), bool):
        raise BadRequest("job.board.meter must be true or false")


def _listed(items: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(items, list) and len(items) <= MOST_ITEMS and all(fits(item) for item in items)


def _is_clock(clock: Any) -> bool:
    return isinstance(clock, str) and (clock == "unpinned" or bool(CLOCK.fullmatch(clock)))
