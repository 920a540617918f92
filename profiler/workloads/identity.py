"""Telling workloads apart: hashes of ops and of their places in a graph, blind to names and to the order of the ops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from profiler.workloads.op import Op, Ref
from profiler.workloads.ops import OP_SPECS

__all__ = ["digest", "op_digests", "op_places"]


def digest(*parts: object) -> str:
    """SHA-256 of plain values, as 64 hex digits."""
    text = json.dumps(parts, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def op_digests(ops: Sequence[Op]) -> tuple[str, ...]:
    """For every op, a hash of itself and all it depends on (a Merkle hash); equal for structurally equal ops."""
    digests: list[str] = []
    for op in ops:
        sources = [[digests[source], port] for source, port in op.inputs]
        if OP_SPECS[op.kind].commutative:
            sources.sort()
        digests.append(digest(op.kind, op.attrs, sources))
    return tuple(digests)


def op_places(ops: Sequence[Op], outputs: Sequence[Ref], upward: Sequence[str]) -> tuple[str, ...]:
    """For every op, a hash of its place in the whole graph.

    Every op is hashed from its inputs upward (`op_digests`) and again from its readers downward; where ops are still
    alike, each then takes in the hashes of its neighbours until that tells no more of them apart (colour refinement).
    Ops that stay alike are interchangeable, but for artificially regular wirings of equal ops.
    """
    readers: list[list[tuple[int, list[list[int]]]]] = [[] for _ in ops]
    for index, op in enumerate(ops):
        for source in {source for source, _ in op.inputs}:
            readers[source].append((index, _ports_read(op, source)))
    places = [""] * len(ops)
    for index in range(len(ops) - 1, -1, -1):
        leaving = [[port, place] for place, (source, port) in enumerate(outputs) if source == index]
        below = sorted([places[reader], ports] for reader, ports in readers[index])
        places[index] = digest(upward[index], below, leaving)
    classes = len(set(places))
    while classes < len(ops):
        refined: list[str] = []
        for index, op in enumerate(ops):
            above = [[places[source], port] for source, port in op.inputs]
            if OP_SPECS[op.kind].commutative:
                above.sort()
            below = sorted([places[reader], ports] for reader, ports in readers[index])
            refined.append(digest(places[index], above, below))
        if len(set(refined)) == classes:
            break
        places, classes = refined, len(set(refined))
    return tuple(places)


def _ports_read(op: Op, source: int) -> list[list[int]]:
    """Which ports of `source` an op reads, and at which places where the place matters."""
    commutative = OP_SPECS[op.kind].commutative
    return sorted([port, -1 if commutative else place] for place, (s, port) in enumerate(op.inputs) if s == source)
