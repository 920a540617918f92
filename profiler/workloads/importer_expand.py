"""Reading Expand: nothing of its own where it repeats nothing, or where what reads it would stretch its axes anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.workloads.graph import Ref
from profiler.workloads.importer_graph import GraphReader, Node, Unreadable
from profiler.workloads.ops import Shape

__all__ = ["expand"]

_STRETCHING = frozenset({"Add", "Div", "Mul", "Sub"})


def expand(reader: GraphReader, node: Node) -> Sequence[Ref]:
    """Expand of a tensor, as the tensor itself.

    Raises:
        Unreadable: where values are written down repeatedly.
    """
    ref = reader.tensor(node.input(0))
    given = reader.shape(ref)
    wanted = tuple(int(size) for size in reader.constant(node.input(1), "shape").reshape(-1))
    made = tuple(int(size) for size in np.broadcast_shapes(wanted, given))
    if made != given and not _stretched_anyway(reader, node.outputs[0], given, made):
        raise Unreadable(f"it repeats values: {given} becomes {made}")
    return [ref]


def _stretched_anyway(reader: GraphReader, name: str, given: Shape, made: Shape) -> bool:
    """Whether all that reads the tensor are sums and products with tensors that stretch it just so."""
    readers = reader.readers.get(name, [])
    if not readers or name in reader.graph_outputs or len(given) != len(made):
        return False
    for after in readers:
        others = [_shape(reader, other) for other in after.inputs if other != name]
        if after.kind not in _STRETCHING or len(others) != 1 or others[0] is None:
            return False
        if np.broadcast_shapes(given, others[0]) != np.broadcast_shapes(made, others[0]):
            return False
    return True


def _shape(reader: GraphReader, name: str) -> Shape | None:
    if name in reader.constants:
        return tuple(int(size) for size in reader.constants[name].shape)
    return reader.shape(reader.refs[name]) if name in reader.refs else reader.known_shapes.get(name)
