"""What a host may ask of the daemon, as plain values: read from a line, or refused in one sentence.

{"op": "hello", "since": N, "alone_s": A or null, "linger_s": L}      first
{"op": "facts"}   {"op": "have", "files": [[path, sha256], ...]}   {"op": "block", "jobs": [job, ...]}
{"op": "drop"}    {"op": "quit", "forget": bool}
{"op": "owner", "owner": {...}}      from the relay: for whom the board is held from now on
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..jobs import BadRequest, check_job

MOST_FILES = 10000
MOST_JOBS = 10000


class Hello(NamedTuple):
    """The host has come; it wants the entries from `since` on.

    Attributes:
        alone_s: so long after it has gone the queue goes on; None for as long as there is something in it.
        linger_s: so long an idle daemon waits for it to come back.
    """

    since: int
    alone_s: Optional[float]
    linger_s: float


class FactsWanted(NamedTuple):
    """What is this board?"""


class Have(NamedTuple):
    """Which of these files are not there: path and SHA-256 of each."""

    files: List[Tuple[str, str]]


class Block(NamedTuple):
    """Jobs to run, in this order."""

    jobs: List[Dict[str, Any]]


class Drop(NamedTuple):
    """Let go of all jobs."""


class Quit(NamedTuple):
    """End; with `forget` without a trace."""

    forget: bool


class Owner(NamedTuple):
    """For whom the board is held."""

    owner: Dict[str, Any]


Request = Union[Hello, FactsWanted, Have, Block, Drop, Quit, Owner]


def read(line: bytes) -> Request:
    """A request from its line.

    Raises:
        BadRequest: it is none.
    """
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, or not JSON
        raise BadRequest("not a line of JSON: %s" % error) from None
    kind = found.get("op") if isinstance(found, dict) else None
    if kind == "hello":
        return Hello(_since(found), _seconds(found, "alone_s", optional=True), _seconds(found, "linger_s") or 0.0)
    if kind == "facts":
        return FactsWanted()
    if kind == "have":
        return Have(_files(found.get("files")))
    if kind == "block":
        return Block(_jobs(found.get("jobs")))
    if kind == "drop":
        return Drop()
    if kind == "quit":
        return Quit(found.get("forget") is True)
    if kind == "owner" and isinstance(found.get("owner"), dict):
        return Owner(found["owner"])
    raise BadRequest("unknown request %.80r" % (kind,))


def _since(found: Dict[str, Any]) -> int:
    since = found.get("since")
    if not isinstance(since, int) or isinstance(since, bool) or since < 0:
        raise BadRequest("hello.since must be a whole number >= 0")
    return since


def _seconds(found: Dict[str, Any], name: str, optional: bool = False) -> Optional[float]:
    value = found.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise BadRequest("hello.%s must be a number of seconds >= 0%s" % (name, ", or null" if optional else ""))
    return float(value)


def _files(files: Any) -> List[Tuple[str, str]]:
    if not isinstance(files, list) or len(files) > MOST_FILES:
        raise BadRequest("have.files must be a list of at most %d files" % MOST_FILES)
    for file in files:
        if not isinstance(file, list) or len(file) != 2 or not all(isinstance(word, str) for word in file):
            raise BadRequest("each of have.files must be a path and a hash")
    return [(path, sha256) for path, sha256 in files]


def _jobs(jobs: Any) -> List[Dict[str, Any]]:
    if not isinstance(jobs, list) or len(jobs) > MOST_JOBS:
        raise BadRequest("block.jobs must be a list of at most %d jobs" % MOST_JOBS)
    return [check_job(job) for job in jobs]
