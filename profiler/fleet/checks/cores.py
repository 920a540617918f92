"""Processor and memory: clusters, governor, clock, architecture."""

from __future__ import annotations

from collections.abc import Iterator

from profiler.fleet.checks.findings import Finding, error, ok, warning
from profiler.fleet.checks.probe import Policy, Probe
from profiler.fleet.inventory.entries import ClusterEntry, DeviceEntry, TargetEntry
from profiler.fleet.targets import Cluster

__all__ = ["check_cores", "find_clusters", "ranges"]

TOLERANCE = 0.05
"""Chips of one kind are binned: their cores' clocks and capacities differ by a few percent."""

MEMORY_TOLERANCE = 0.15
"""Firmware and GPU keep some of the memory for themselves."""

_NAMES = {0: (), 1: ("all",), 2: ("big", "little"), 3: ("big", "middle", "little")}


def ranges(cpus: tuple[int, ...]) -> str:
    """Sorted CPU numbers as the kernel writes them: "0-3,6"."""
    runs: list[list[int]] = []
    for cpu in cpus:
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def find_clusters(probe: Probe) -> tuple[Cluster, ...]:
    """The kinds of cores that are on, the strongest first: by the kernel's capacity and the highest clock.

    Boards where neither is known have one kind. The names are big, middle and little, by rank.
    """
    clocks = {cpu: policy.max_mhz for policy in probe.policies for cpu in policy.cpus}
    groups: list[tuple[int | None, int | None, list[int]]] = []
    for cpu, capacity in sorted(probe.cpus.items()):
        clock = clocks.get(cpu)
        for known_capacity, known_clock, cpus in groups:
            if _alike(capacity, known_capacity) and _alike(clock, known_clock):
                cpus.append(cpu)
                break
        else:
            groups.append((capacity, clock, [cpu]))
    groups.sort(key=lambda group: (-(group[0] or 0), -(group[1] or 0)))
    names = _NAMES.get(len(groups)) or tuple(f"kind{number + 1}" for number in range(len(groups)))
    return tuple(
        Cluster(name, tuple(cpus), capacity, clock) for name, (capacity, clock, cpus) in zip(names, groups, strict=True)
    )


def _alike(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= TOLERANCE * max(one, other)


def check_cores(declared: DeviceEntry, probe: Probe) -> Iterator[Finding]:
    """Hold what is declared of processor and memory against the board."""
    yield from _machine(declared, probe)
    yield from _memory(declared, probe)
    yield from _clusters(declared, probe)
    yield from _governor(declared, probe)
    for target in declared.targets:
        yield from _clock(declared, target, probe)


def _machine(declared: DeviceEntry, probe: Probe) -> Iterator[Finding]:
    if declared.arch and declared.arch != probe.arch:
        yield error(
            f"it is {probe.arch or 'of an unknown architecture'}, and `arch` says {declared.arch}",
            f"set `arch: {probe.arch}` in devices.yaml, or see whether another board answers at this address",
        )
    elif declared.arch:
        yield ok(f"its architecture is {probe.arch}, as declared")
    if probe.bits == 32 and probe.arch in ("aarch64", "x86_64"):
        yield warning(
            f"its kernel is {probe.arch} and its programs are 32-bit ones",
            "install a 64-bit system: onnxruntime and torch have no packages for 32 bits",
        )


def _memory(declared: DeviceEntry, probe: Probe) -> Iterator[Finding]:
    found, limit = probe.memory_mb, declared.memory_limit_mb
    if declared.memory_mb is not None and found is not None:
        if abs(found - declared.memory_mb) > MEMORY_TOLERANCE * declared.memory_mb:
            yield warning(
                f"it has {found} MB of memory, and `memory_mb` says {declared.memory_mb}",
                f"set `memory_mb: {found}` in devices.yaml",
            )
        else:
            yield ok(f"it has {found} MB of memory, as declared")
    if limit is not None and found is not None and limit > found:
        yield error(
            f"a job may use {limit} MB (`memory_limit_mb`) of the {found} MB that there are",
            "lower `memory_limit_mb` in devices.yaml, so that a job which needs too much ends by itself, not the board",
        )


def _clusters(declared: DeviceEntry, probe: Probe) -> Iterator[Finding]:
    found = find_clusters(probe)
    seen = "; ".join(_words(cluster) for cluster in found) or "none"
    remedy = f"the board has {seen}: correct `clusters` in devices.yaml"
    if not declared.clusters:
        if len(found) > 1:
            yield warning(f"its cores are of {len(found)} kinds and no `clusters` are declared", remedy)
        return
    if not found:
        yield warning("its cores cannot be seen, so that `clusters` cannot be compared", "see `lscpu` on the board")
        return
    start = len(probe.cpus)
    for cluster in declared.clusters:
        missing = tuple(cpu for cpu in cluster.cpus if cpu not in probe.cpus)
        if missing:
            yield error(
                f"CPU {ranges(missing)} of the cluster {cluster.name!r} is not on: {start} CPUs are",
                f"{remedy}, or turn it on (a power mode may have turned it off)",
            )
            continue
        problem = _difference(cluster, found)
        yield warning(problem, remedy) if problem else ok(f"the cluster {cluster.name!r} is CPU {ranges(cluster.cpus)}")
    covered = {cpu for cluster in declared.clusters for cpu in cluster.cpus}
    beyond = tuple(cpu for cpu in sorted(probe.cpus) if cpu not in covered)
    if beyond:
        yield warning(f"CPU {ranges(beyond)} is in no declared cluster", remedy)


def _words(cluster: Cluster) -> str:
    capacity = f", capacity {cluster.capacity}" if cluster.capacity else ""
    clock = f", {cluster.max_mhz} MHz" if cluster.max_mhz else ""
    return f"{cluster.name}: CPU {ranges(cluster.cpus)}{capacity}{clock}"


def _difference(cluster: ClusterEntry, found: tuple[Cluster, ...]) -> str:
    """What is wrong with a declared cluster whose CPUs are all on; "" when nothing is."""
    name = f"the cluster {cluster.name!r}"
    kinds = [kind for kind in found if set(kind.cpus) & set(cluster.cpus)]
    if len(kinds) > 1:
        return f"{name} (CPU {ranges(cluster.cpus)}) holds cores of {len(kinds)} kinds"
    (kind,) = kinds
    if cluster.capacity is not None and kind.capacity is not None and not _alike(cluster.capacity, kind.capacity):
        return f"{name} has the capacity {kind.capacity}, and {cluster.capacity} is declared"
    if cluster.max_mhz is not None and kind.max_mhz is not None and not _alike(cluster.max_mhz, kind.max_mhz):
        return f"{name} reaches {kind.max_mhz} MHz, and {cluster.max_mhz} is declared"
    return ""


def _governor(declared: DeviceEntry, probe: Probe) -> Iterator[Finding]:
    if not declared.governor:
        return
    found = sorted({policy.governor for policy in probe.policies if policy.governor})
    if not found:
        yield warning(
            f"its governor cannot be seen, and {declared.governor!r} is declared",
            "remove `governor` from devices.yaml where the board has no cpufreq",
        )
    elif found == [declared.governor]:
        yield ok(f"its governor is {declared.governor}, as declared")
    else:
        there = sorted({name for policy in probe.policies for name in policy.governors})
        can = declared.governor in there or not there
        remedy = (
            f"set it on the board: `sudo cpupower frequency-set -g {declared.governor}`"
            if can
            else f"it knows only {', '.join(there)}: correct `governor` in devices.yaml"
        )
        yield warning(f"its governor is {' and '.join(found)}, and {declared.governor!r} is declared", remedy)


def _clock(declared: DeviceEntry, target: TargetEntry, probe: Probe) -> Iterator[Finding]:
    if target.clock == "unpinned":
        return
    wanted = int(target.clock)
    cpus = {cluster.name: cluster.cpus for cluster in declared.clusters}.get(target.cores) or tuple(probe.cpus)
    policies = [policy for policy in probe.policies if set(policy.cpus) & set(cpus)]
    what = f"a target ({target.runtime} {target.precision}) declares a clock of {wanted} MHz"
    if not policies or any(None in (policy.floor_mhz, policy.ceiling_mhz) for policy in policies):
        yield warning(f"{what}, which cannot be seen on this board", "make sure of it yourself, or leave `clock` out")
    elif all(_is_pinned(policy, wanted) for policy in policies):
        yield ok(f"the clock of CPU {ranges(tuple(sorted(cpus)))} is held at {wanted} MHz, as declared")
    else:
        now = ", ".join(sorted({f"{policy.floor_mhz}-{policy.ceiling_mhz} MHz" for policy in policies}))
        command = f"sudo cpupower -c {ranges(tuple(sorted(cpus)))} frequency-set -d {wanted}MHz -u {wanted}MHz"
        yield error(f"{what}, and the board may choose {now}", f"pin it there: `{command}`; or leave `clock` out")


def _is_pinned(policy: Policy, mhz: int) -> bool:
    return policy.floor_mhz == policy.ceiling_mhz and policy.floor_mhz is not None and abs(policy.floor_mhz - mhz) <= 1
