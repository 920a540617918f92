"""What all runtimes have in common: the life of a loaded artefact, and how it can fail to begin."""

from __future__ import annotations

import statistics
from typing import Any, Callable, Dict, List, Optional

from .. import leaf

COPIES = 5
"""How often a copy between host and accelerator is timed; the median is told."""


class RuntimeMissing(Exception):
    """The runtime cannot be imported on this board."""


class AcceleratorMissing(Exception):
    """The accelerator that was asked for is not there: nothing was run, least of all on the CPU instead."""


class ArtefactMismatch(Exception):
    """The artefact loads, and its inputs are not those that the job names."""


class Model:
    """One loaded artefact.

    The life of one: the constructor loads it; `coverage()`; `run()` once; `settle()`; `notes()` and `output()`; then
    `run()` as often as wanted, and `device_ns()`; `close()`.

    Attributes:
        interface: which way of calling the runtime is timed.
        run: runs it once and waits until it is done; the only thing that is ever timed.
    """

    interface = ""
    run: Callable[[], Any]

    def settle(self) -> None:
        """What is better done after the first run and before the warm-up."""

    def output(self) -> Any:
        """The first output of the last run: float64, (n,), channel-first."""
        raise NotImplementedError

    def coverage(self) -> Optional[Dict[str, int]]:
        """How many operators run on the accelerator ("delegate_operators") and how many elsewhere
        ("fallback_operators"); None where no accelerator was asked for and the runtime tells nothing.

        Raises:
            AcceleratorMissing: an accelerator was asked for, and nobody can know whether it is used.
        """
        return None

    def notes(self) -> Dict[str, Any]:
        """What else belongs beside the figures: the accelerator's name, what copies to and from it take."""
        return {}

    def device_ns(self) -> Optional[int]:
        """Run it once, and tell how long the accelerator itself was at it, in ns; None where nobody can tell.

        What the host adds (the call, the wait, the interpreter) is not in it. Never called inside a sample.
        """
        return None

    def close(self) -> None:
        """Undo what outlives the object."""


def covered(on_accelerator: int, elsewhere: int) -> Dict[str, int]:
    """A coverage."""
    return {"delegate_operators": on_accelerator, "fallback_operators": elsewhere}


def check_inputs(found: List[Any], wanted: List[Any]) -> None:
    """Refuse an artefact that takes other inputs.

    Raises:
        ArtefactMismatch: naming both.
    """
    if found != wanted:
        raise ArtefactMismatch("the artefact's inputs have shapes %s, the job's %s" % (found, wanted))


def accelerator_of(job: Dict[str, Any], known: List[str]) -> str:
    """Which accelerator a job asks for.

    Raises:
        AcceleratorMissing: the runtime has none of that name.
    """
    name = job.get("accelerator") or ""
    if name and name not in known:
        raise AcceleratorMissing(
            "%s has no accelerator %r here, only %s" % (job["runtime"], name, ", ".join(known) or "the CPU")
        )
    return str(name)


def copy_us(copy: Callable[[], Any]) -> float:
    """What a copy takes, in µs; copies are never part of a sample unless the runtime's interface leaves no choice."""
    clock, taken = leaf.current().clock_ns, []
    for _ in range(COPIES):
        start = clock()
        copy()
        taken.append(clock() - start)
    return round(statistics.median(taken) / 1000, 3)
