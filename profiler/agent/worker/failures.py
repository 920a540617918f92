"""From what a runtime says, or how a worker died, to one of the host's statuses."""

from __future__ import annotations

import errno
import re
import signal
from typing import NamedTuple

from ..runtimes import ArtefactMismatch

MOST_ERROR_CHARACTERS = 500

MEMORY = re.compile(
    r"bad_alloc|bad alloc|out of memory|not enough memory|MemoryError|memory allocation (still )?failed|zero-fill pages"
    r"|failed to reshape runtime"  # XNNPACK: of fixed shapes, only the memory for them can fail
    r"|(cannot|can't|could not|couldn't|failed to|unable to) allocate",
    re.IGNORECASE,
)
UNSUPPORTED = re.compile(
    r"not[ _]implemented|unsupported|not supported|no op\b|not a registered (function|op)|unknown builtin op"
    r"|could not find an implementation|no (kernel|schema) |unresolved custom op|didn't find op"
    r"|builtin_code out of range",
    re.IGNORECASE,
)
TOO_NEW = re.compile(r"(model )?ir[ _]version|opset", re.IGNORECASE)
"""A file format that is too new for the runtime is a fault of the lowering, not of an operator."""


class Death(NamedTuple):
    """The status and the words for a worker that ended during a job."""

    status: str
    error: str


def classify(stage: str, error: BaseException) -> str:
    """The status for an exception that was raised in `stage` of a job."""
    said = "%s %s" % (type(error).__name__, error)
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError) or MEMORY.search(said):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk_full"
    if isinstance(error, (OSError, ImportError)) or stage == "import":
        return "crashed"
    if isinstance(error, ArtefactMismatch):
        return "conversion_failed"
    if UNSUPPORTED.search(said) and not TOO_NEW.search(said):
        return "unsupported_operator"
    return "conversion_failed" if stage == "load" else "crashed"


def describe(error: BaseException) -> str:
    """An exception in one bounded line."""
    return shorten("%s: %s" % (type(error).__name__, error))


def shorten(words: str) -> str:
    """Text in one line of at most MOST_ERROR_CHARACTERS."""
    line = " ".join(words.split())
    return line if len(line) <= MOST_ERROR_CHARACTERS else line[: MOST_ERROR_CHARACTERS - 3] + "..."


def death(exit_status: int, stage: str, last_words: str, killed_for_memory: bool) -> Death:
    """Blame a job for the end of its worker.

    Args:
        exit_status: as subprocess has it: minus the signal's number, or what was returned.
        stage: what the job was doing.
        last_words: the end of the worker's stderr.
        killed_for_memory: whether the kernel has killed a process for memory meanwhile.
    """
    said = (": " + last_words) if last_words.strip() else ""
    if exit_status >= 0:
        words = "the worker ended with exit status %s during %s%s" % (exit_status, stage, said)
        return Death("out_of_memory" if MEMORY.search(last_words) else "crashed", shorten(words))
    if exit_status == -signal.SIGKILL and killed_for_memory:
        return Death("out_of_memory", "the kernel killed the worker for memory during " + stage)
    try:
        name = " (%s)" % signal.Signals(-exit_status).name
    except ValueError:
        name = ""
    words = "crashed: signal %d%s during %s%s" % (-exit_status, name, stage, said)
    return Death("out_of_memory" if MEMORY.search(last_words) else "crashed", shorten(words))


def kernel_kills() -> int:
    """How many processes this kernel has killed for memory since it started (0 where it does not count them)."""
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0
