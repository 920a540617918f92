"""The artefact of a simulated board, and which of its operators the board executes as one.

An artefact is JSON: the operators in topological order, with all that their cost depends on. What is fused is the
board's own affair, by the hidden rules of its spec.
"""

from __future__ import annotations

import json
from typing import Any

FORMAT = "edgecost-simulated-1"

NOT_RUN = ("input", "zero", "identity")

WEIGHTED = ("conv2d", "linear", "batch_norm")


class NotAnArtefact(ValueError):
    """The file is none that a simulated board can load."""


def read(text: str) -> dict[str, Any]:
    """An artefact's graph: "inputs", "ops", "outputs", "precision", "expected".

    Raises:
        NotAnArtefact: it is none.
    """
    try:
        graph = json.loads(text)
        if graph["format"] != FORMAT:
            raise NotAnArtefact(f"its format is {graph['format']!r}, not {FORMAT!r}")
        for op in graph["ops"]:
            if not all(0 <= source < len(graph["ops"]) for source, _ in op["inputs"]):
                raise NotAnArtefact("an operator reads what is not there")
        for name in ("inputs", "outputs", "precision", "expected"):
            graph[name]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, NotAnArtefact):
            raise
        raise NotAnArtefact(f"not a simulated board's artefact: {error}") from None
    found: dict[str, Any] = graph
    return found


def groups(graph: dict[str, Any], fusion: dict[str, Any]) -> list[list[int]]:
    """The operators that run as one, by their places in the graph; greedy in order, first input first.

    Args:
        graph: as `read` gives it.
        fusion: the hidden rules of the graph's precision: "tails", "merges_equal", "folds".
    """
    ops = graph["ops"]
    inputs = _executed(ops, fusion)
    readers: dict[int, int] = {}
    for refs in inputs.values():
        for source, _ in refs:
            readers[source] = readers.get(source, 0) + 1
    for source, _ in graph["outputs"]:
        readers[source] = readers.get(source, 0) + 1
    allowed = {head: set(tails) for head, tails in fusion["tails"].items()}
    found: dict[int, list[int]] = {}  # by the operator that is last so far
    tails: dict[int, str] = {}
    for index, refs in inputs.items():
        joined, tail = None, ""
        if ops[index]["folded"]:
            joined, tail = refs[0][0], tails[refs[0][0]]
        else:
            joined, tail = _joins(ops, index, refs, found, tails, readers, allowed)
        found[index] = [index] if joined is None else [*found.pop(joined), index]
        tails[index] = tail
    return list(found.values())


def _joins(
    ops: list[dict[str, Any]],
    index: int,
    refs: list[list[int]],
    found: dict[int, list[int]],
    tails: dict[int, str],
    readers: dict[int, int],
    allowed: dict[str, set[str]],
) -> Any:
    """The kernel that an operator becomes part of, by its last operator, and the tail that it then has."""
    shapes = [ops[source]["shapes"][port] for source, port in refs]
    if any(shape != shapes[0] for shape in shapes):
        return None, ""  # broadcasting
    for source, _ in refs:
        if source in found and readers[source] == 1:
            longer = (tails[source] + " " + ops[index]["kind"]).strip()
            if longer in allowed.get(head_of(ops, found[source][0]), ()):
                return source, longer
    return None, ""


def head_of(ops: list[dict[str, Any]], index: int) -> str:
    """Under which name tails are known for an operator."""
    op = ops[index]
    if op["kind"] == "conv2d" and 1 < op["attrs"]["groups"] < channels_in(ops, index):
        return "grouped"
    return str(op["kind"])


def channels_in(ops: list[dict[str, Any]], index: int) -> int:
    """Channels of an operator's first input."""
    source, port = ops[index]["inputs"][0]
    return int(ops[source]["shapes"][port][1])


def _executed(ops: list[dict[str, Any]], fusion: dict[str, Any]) -> dict[int, list[list[int]]]:
    """What each operator that is executed reads, after equal ones were merged and constants computed."""
    inputs: dict[int, list[list[int]]] = {}
    first: dict[str, int] = {}
    merged: dict[int, int] = {}
    constant = set()
    for index, op in enumerate(ops):
        if op["kind"] == "zero":
            constant.add(index)
        if op["kind"] in NOT_RUN:
            continue
        folds = fusion["folds"] == "all" or (fusion["folds"] == "weightless" and op["kind"] not in WEIGHTED)
        if constant and folds and all(source in constant for source, _ in op["inputs"]):
            constant.add(index)
            continue
        refs = [[merged.get(source, source), port] for source, port in op["inputs"]]
        if fusion["merges_equal"] and op["kind"] not in WEIGHTED:
            twin = first.setdefault(json.dumps([op["kind"], op["attrs"], refs], sort_keys=True), index)
            if twin != index:
                merged[index] = twin
                continue
        inputs[index] = refs
    return inputs
