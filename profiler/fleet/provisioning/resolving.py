"""From a few requirements to all distributions that a board needs: breadth-first, by the board's own markers.

pip would evaluate the markers of the machine that it runs on: on an x86 host, torch for an aarch64 board would bring
CUDA along. So pip is only ever asked about single distributions, a level at a time. There is no backtracking: where two
packages disagree about a third, that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from profiler.fleet.provisioning.platform_tags import BoardPython

__all__ = ["Conflict", "Found", "NeedsGpuLibraries", "resolve"]

_MOST_ROUNDS = 30


class Conflict(Exception):
    """Packages disagree about the version of another one; the text names it."""


class NeedsGpuLibraries(Exception):
    """A build for GPUs where none is wanted.

    Attributes:
        found: what was chosen so far, the runtime's own distribution among it.
    """

    def __init__(self, name: str, found: Mapping[str, Found]) -> None:
        super().__init__(f"needs {name}")
        self.found = found


@dataclass(frozen=True, slots=True)
class Found:
    """One distribution that an index has for a board.

    Attributes:
        name: canonical.
        version: with a local part, such as "+cpu", where it has one.
        filename: of the wheel.
        sha256: of the wheel; "" where the index does not tell.
        requires: its requirements.
    """

    name: str
    version: str
    filename: str
    sha256: str
    requires: tuple[str, ...] = ()


@dataclass(slots=True)
class _Demand:
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    extras: set[str] = field(default_factory=set)
    by: list[str] = field(default_factory=list)


def resolve(
    roots: Sequence[Requirement],
    board: BoardPython,
    look_up: Callable[[list[Requirement]], Iterable[Found]],
    unwanted: Callable[[str], bool] = lambda name: False,
) -> tuple[Found, ...]:
    """Everything that these requirements need on a board, by name.

    Args:
        roots: what is asked for.
        board: by whose markers requirements hold or not.
        look_up: the best distribution for each of several requirements at once.
        unwanted: whether a distribution of that name must not be among them.

    Raises:
        NeedsGpuLibraries: one is.
        Conflict: packages ask for versions that exclude each other, or go round in circles.
    """
    chosen: dict[str, Found] = {}
    for _ in range(_MOST_ROUNDS):
        demands = _demands(roots, chosen, board)
        for name in demands:
            if unwanted(name):
                raise NeedsGpuLibraries(name, chosen)
        missing = [
            name
            for name, demand in demands.items()
            if name not in chosen or not demand.specifier.contains(chosen[name].version, prereleases=True)
        ]
        if not missing:
            return tuple(chosen[name] for name in sorted(demands))
        for found in look_up([Requirement(f"{name}{demands[name].specifier}") for name in missing]):
            chosen[found.name] = found
    raise Conflict(f"the packages that need {missing[0]} ({', '.join(demands[missing[0]].by)}) want different versions")


def _demands(roots: Sequence[Requirement], chosen: Mapping[str, Found], board: BoardPython) -> dict[str, _Demand]:
    """What is asked for by the roots and by what was chosen for them, merged by name."""
    demands: dict[str, _Demand] = {}
    todo = [("the runtime", root) for root in roots]
    while todo:
        by, requirement = todo.pop(0)
        name = canonicalize_name(requirement.name)
        known = demands.get(name)
        demand = demands.setdefault(name, _Demand())
        demand.specifier &= requirement.specifier
        demand.by.append(by)
        new = requirement.extras - demand.extras
        demand.extras |= new
        if name in chosen and (known is None or new):
            # an extra's requirements come on top of those that hold without
            contexts = frozenset(new) | (frozenset({""}) if known is None else frozenset())
            todo += [(name, inner) for inner in _requirements(chosen[name]) if board.wants(inner, contexts)]
    return demands


def _requirements(found: Found) -> list[Requirement]:
    try:
        return [Requirement(text) for text in found.requires]
    except InvalidRequirement as error:
        raise Conflict(f"{found.name} {found.version} has requirements that cannot be read ({error})") from error
