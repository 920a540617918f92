"""What must hold between the fields of a devices.yaml: found before a board is ever asked.

Every problem is a place in the file and a clause that says what is wrong and what to do; the file and the line are
added by whoever reads the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence

from profiler.errors import ConfigError
from profiler.fleet.inventory.entries import DeviceEntry, DevicesFile
from profiler.fleet.inventory.yamltext import Location
from profiler.fleet.plugins import check_configuration, known_runtimes

__all__ = ["address", "nearest", "problems"]

SIMULATED = "simulated"
"""An emulation, and the only runtime that it has: of any other one the real time would be told in virtual seconds."""

Problem = tuple[Location, str]
LineOf = Callable[[Location], int]


def problems(document: DevicesFile, line_of: LineOf) -> Iterator[Problem]:
    """Everything that contradicts itself in a file whose single fields are in order."""
    yield from _ids(document, line_of)
    yield from _addresses(document, line_of)
    for index, entry in enumerate(document.devices):
        place: Location = ("devices", index)
        yield from _clusters(entry, place)
        yield from _targets(entry, place)
        yield from _libraries(entry, place)


def nearest(name: str, names: Sequence[str]) -> str:
    """A question in brackets after the one of `names` that is meant, probably; "" where none is near."""
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def address(entry: DeviceEntry) -> tuple[str, int, str]:
    """Where a board is, so that two which share it are the same: private addresses are told apart by their jump."""
    via = f"{entry.jump.host.lower().rstrip('.')}:{entry.jump.port}" if entry.jump else ""
    return entry.host.lower().rstrip("."), entry.port, via


def _ids(document: DevicesFile, line_of: LineOf) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for index, entry in enumerate(document.devices):
        place: Location = ("devices", index, "id")
        if entry.id in lines:
            yield (
                place,
                f"the id {entry.id!r} is taken by the device in line {lines[entry.id]}: "
                "give every device an id of its own",
            )
        lines.setdefault(entry.id, line_of(place))


def _addresses(document: DevicesFile, line_of: LineOf) -> Iterator[Problem]:
    """One board under two ids would be measured twice at once, each run disturbing the other."""
    taken: dict[tuple[str, int, str], int] = {}
    for index, entry in enumerate(document.devices):
        where = address(entry)
        first = document.devices[taken.setdefault(where, index)]
        if first is not entry and (first.machine or first.id) != (entry.machine or entry.id):
            line = line_of(("devices", taken[where], "host"))
            yield (
                ("devices", index, "host"),
                f"{entry.id!r} has the address {entry.host}:{entry.port} of {first.id!r} in line {line}: correct "
                "one of them, or give both the same `machine`, so that they take turns",
            )


def _clusters(entry: DeviceEntry, place: Location) -> Iterator[Problem]:
    owner: dict[int, str] = {}
    names: set[str] = set()
    for number, cluster in enumerate(entry.clusters):
        here = (*place, "clusters", number)
        if cluster.name in names:
            yield (*here, "name"), f"the cluster {cluster.name!r} of {entry.id!r} is given twice: rename one"
        names.add(cluster.name)
        shared = [cpu for cpu in cluster.cpus if cpu in owner]
        if shared:
            yield (
                (*here, "cpus"),
                f"CPU {shared[0]} of {entry.id!r} is in the clusters {owner[shared[0]]!r} and {cluster.name!r}: "
                "a CPU belongs to one of them",
            )
        owner.update(dict.fromkeys(cluster.cpus, cluster.name))


def _targets(entry: DeviceEntry, place: Location) -> Iterator[Problem]:
    clusters = {cluster.name: cluster for cluster in entry.clusters}
    for number, target in enumerate(entry.targets):
        here = (*place, "targets", number)
        same = {**target.model_dump(), "allow_fallback": None}
        if any(same == {**other.model_dump(), "allow_fallback": None} for other in entry.targets[:number]):
            yield here, f"this target of {entry.id!r} is given twice: remove one"
        try:
            check_configuration(target.runtime, target.precision, target.accelerator)
        except ConfigError as error:
            yield here, str(error).rstrip(".")
        if (target.runtime == SIMULATED) != (entry.emulation == SIMULATED):
            yield (
                (*here, "runtime"),
                f"the runtime {SIMULATED!r} is for devices with `emulation: {SIMULATED}`, which run nothing else: "
                f"correct the runtime or the emulation of {entry.id!r}",
            )
        if target.cores and target.cores not in clusters:
            known = ", ".join(clusters) or "none"
            yield (
                (*here, "cores"),
                f"{entry.id!r} has no cluster {target.cores!r}{nearest(target.cores, list(clusters))}: "
                f"its `clusters` are {known}; declare it there, or leave `cores` out",
            )
        elif target.cores and target.threads > len(clusters[target.cores].cpus):
            yield (
                (*here, "threads"),
                f"{target.threads} threads are bound to the {len(clusters[target.cores].cpus)} CPUs of "
                f"{target.cores!r}: lower `threads`, since threads that wait for a core measure the scheduler",
            )


def _libraries(entry: DeviceEntry, place: Location) -> Iterator[Problem]:
    if not entry.libraries:
        return  # a broken plug-in disturbs nobody who has no use for it
    known = sorted({name for spec in known_runtimes().values() for name in spec.accelerators if name})
    for name, path in entry.libraries.items():
        here = (*place, "libraries", name)
        if name not in known:
            yield here, f"no runtime has an accelerator {name!r}{nearest(name, known)}: it is one of {', '.join(known)}"
        elif not path.startswith("/"):
            yield here, f"{path!r} is no absolute path: give the library's place on the board, from its root"
