"""Whether two tables may be compared at all: every difference of how they were measured, as a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.diff.origins import Origin, Side
from profiler.tables.provenance import Provenance

__all__ = ["GATES", "Mismatch", "allow", "mismatches"]

GATES: dict[str, str] = {
    "simulated": "figures of a simulated board beside measured ones",
    "emulation": "hardware beside something that stands in for it",
    "machine": "boards of two kinds of processor",
    "runtime": "two runtimes",
    "runtime_version": "two versions of the runtime; allowed where that is what the comparison is about",
    "accelerator": "two accelerators, or one and none",
    "precision": "fp32 beside int8",
    "threads": "two numbers of threads",
    "cores": "two kinds of cores",
    "clock": "two clocks, a pinned one and an unpinned one, or one that did not run as pinned",
    "protocol": "another cache, pinning or batch: the figures are of different things",
    "cut": "networks cut into kernels, or kernels isolated, in two ways",
    "scope": "energies of two scopes; the latencies are compared all the same",
}
"""What is refused unless it is allowed by name, and what it means."""

_TARGET_GATES = ("runtime", "accelerator", "precision", "threads", "cores", "clock")

_MOSTLY = 0.5
_CLOCK_WITHIN = 0.01
"""So far may two pinned clocks differ [measurement.md, 1.7]; two that nobody has pinned are only spoken of."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between the sides.

    Attributes:
        name: of GATES, or "kernel", "schema", "program", "unknown" for what is only said.
        target: in B.
        sentence: what differs.
        about: what it concerns: all of the comparison, or only its energies.
        refused: whether it forbids the comparison; not where it was allowed.
    """

    name: str
    target: str
    sentence: str
    about: Literal["all", "energy"] = "all"
    refused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def mismatches(a: Side, b: Side, target_a: str, target_b: str) -> list[Mismatch]:
    """Every difference between a target of A and one of B, none allowed yet."""
    first, second = a.origins[target_a], b.origins[target_b]
    target = second.target.id
    found = [
        *_of_boards(first, second),
        *_of_targets(first, second),
        *_of_clocks(first, second),
        *_of_cuts(first, second),
        *_of_scopes(first, second),
    ]
    if first.said is not None and second.said is not None:
        found += _of_runs(first.said, second.said, second.target)
    for letter, origin in (("A", first), ("B", second)):
        if origin.said is None:
            found.append(
                Mismatch(
                    "unknown", target,
                    f"{letter} does not say by which version of the runtime, on which processor and by which protocol "
                    "it was measured, so whether these agree is not known; export it anew to have it checked",
                )
            )  # fmt: skip
    return found


def _refuse(name: str, target: Target, sentence: str, about: Literal["all", "energy"] = "all") -> Mismatch:
    return Mismatch(name, target.id, sentence, about, refused=True)


def _of_boards(a: Origin, b: Origin) -> Iterator[Mismatch]:
    simulated = ["simulated" in origin.emulations for origin in (a, b)]
    if simulated[0] != simulated[1]:
        made_up, measured = ("A", "B") if simulated[0] else ("B", "A")
        sentence = f"the figures of {made_up} are of a simulated board, those of {measured} were measured"
        yield _refuse("simulated", b.target, sentence)
    elif a.emulations != b.emulations:
        sentence = f"A ran on {_listed(a.emulations, 'hardware')}, B on {_listed(b.emulations, 'hardware')}"
        yield _refuse("emulation", b.target, sentence)


def _of_targets(a: Origin, b: Origin) -> Iterator[Mismatch]:
    for name in _TARGET_GATES:
        one, other = getattr(a.target, name), getattr(b.target, name)
        if one != other:
            yield _refuse(name, b.target, f"the {name} differs: {one or 'none'} in A, {other or 'none'} in B")


def _of_clocks(a: Origin, b: Origin) -> Iterator[Mismatch]:
    """Clocks as they were found, whatever was asked for."""
    loose = [origin.unpinned > _MOSTLY for origin in (a, b)]
    if loose[0] != loose[1]:
        which, other = ("A", "B") if loose[0] else ("B", "A")
        share = a.unpinned if loose[0] else b.unpinned
        sentence = f"the clock was not pinned for {share:.0%} of the figures in {which}, and for most was in {other}"
        yield _refuse("clock", b.target, sentence)
    before, after = (origin.said.freq_mhz if origin.said is not None else None for origin in (a, b))
    if before is not None and after is not None and abs(after / before - 1) > _CLOCK_WITHIN:
        sentence = f"the processor ran at {before:.0f} MHz in A and at {after:.0f} MHz in B, by the median measurement"
        if all(loose):
            yield Mismatch("clock", b.target.id, f"{sentence}; it was pinned in neither")
        else:
            yield _refuse("clock", b.target, sentence)


def _of_cuts(a: Origin, b: Origin) -> Iterator[Mismatch]:
    if a.cut and b.cut and a.cut != b.cut:
        one, other = (", ".join(f"{name} {value}" for name, value in sorted(o.cut.items())) for o in (a, b))
        yield _refuse("cut", b.target, f"kernels were chosen to be cut and isolated as {one} in A, as {other} in B")
    if a.said is None or b.said is None:
        return
    common = a.said.isolations.keys() & b.said.isolations.keys()
    differing = sum(a.said.isolations[key] != b.said.isolations[key] for key in common)
    if differing:
        sentence = f"{differing} of {len(common)} kernels and blocks were isolated in another way"
        yield _refuse("cut", b.target, sentence)


def _of_scopes(a: Origin, b: Origin) -> Iterator[Mismatch]:
    if a.scopes and b.scopes and a.scopes != b.scopes:
        sentence = f"the energies include other things: {_listed(a.scopes)} in A, {_listed(b.scopes)} in B"
        yield _refuse("scope", b.target, sentence, "energy")


def _of_runs(a: Provenance, b: Provenance, target: Target) -> Iterator[Mismatch]:
    """What the runs say, where both do."""
    refused = (
        ("machine", "the processors differ", a.machines, b.machines),
        ("runtime_version", f"the version of {target.runtime} differs", a.runtime_versions, b.runtime_versions),
    )
    told = (
        ("kernel", "the operating system's kernel differs", a.kernels, b.kernels),
        ("schema", "the schema of the journals differs", a.schemas, b.schemas),
        ("program", "the version of edgecost differs", a.programs, b.programs),
    )
    for name, words, first, second in refused:
        if first and second and first != second:
            yield _refuse(name, target, f"{words}: {_listed(first)} in A, {_listed(second)} in B")
    for name in sorted(a.protocols.keys() & b.protocols.keys()):
        one, other = a.protocols[name], b.protocols[name]
        if one != other:
            sentence = f"the setting {name!r} differs: {_listed(one)} in A, {_listed(other)} in B"
            yield _refuse("protocol", target, sentence)
    for name in sorted(a.protocols.keys() ^ b.protocols.keys()):
        where, lacks = ("A", "B") if name in a.protocols else ("B", "A")
        yield Mismatch("protocol", target.id, f"the setting {name!r} is said in {where} and unknown in {lacks}")
    for name, words, first, second in told:
        if first and second and first != second:
            yield Mismatch(name, target.id, f"{words}: {_listed(first)} in A, {_listed(second)} in B")


def _listed(values: Iterable[str], empty: str = "nothing") -> str:
    return " and ".join(sorted(value or empty for value in values)) or empty


def allow(found: Iterable[Mismatch], names: Iterable[str]) -> list[Mismatch]:
    """The mismatches, none refused of those whose names are allowed.

    Raises:
        ConfigError: there is no gate of such a name.
    """
    wanted = set(names)
    unknown = sorted(wanted - GATES.keys())
    if unknown:
        raise ConfigError(f"there is no gate {unknown[0]!r} to allow; choose out of {', '.join(GATES)}")
    return [replace(m, refused=m.refused and m.name not in wanted) for m in found]
