"""The Workload: a small static dataflow graph of operators, the one definition of everything that is measured.

A single operator, a fused kernel, a block and a whole network are all a `Workload`. It is pure Python, frozen,
and knows its own arithmetic (MACs, parameters, bytes, peak activation bytes) and its canonical key. Build one
with `profiler.workloads.build.WorkloadBuilder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from profiler.errors import ConfigError
from profiler.workloads import identity
from profiler.workloads.op import Op, Ref, infer_shapes
from profiler.workloads.ops import OP_SPECS, AttrValue, Shape

__all__ = ["BYTES_PER_VALUE", "KEY_VERSION", "Op", "Ref", "Workload"]

KEY_VERSION = 1
"""Goes into every key: a change of the hashing or of an operator's meaning raises it."""

BYTES_PER_VALUE = {"float32": 4, "int8": 1}


@dataclass(frozen=True)
class Workload:
    """A static dataflow graph with fixed shapes, in topological order.

    Attributes:
        ops: operators; an op refers only to earlier ones. Graph inputs are ops of kind "input".
        outputs: the references whose values leave the graph.
        name: a label for people; it never enters the key.
        dtype: the logical type of the values ("float32"); precision is a property of the target.
        seed: from which `profiler.workloads.weights` draws the weights; not part of the key, since cost
            does not depend on it.

    Raises:
        ConfigError: on construction, where kinds, references, attributes or shapes do not fit.
    """

    ops: tuple[Op, ...]
    outputs: tuple[Ref, ...]
    name: str = field(default="", compare=False)
    dtype: str = "float32"
    seed: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ConfigError(f"workload {self.name!r} has no output")
        if self.dtype not in BYTES_PER_VALUE:
            raise ConfigError(f"workload {self.name!r}: dtype {self.dtype!r} is none of {sorted(BYTES_PER_VALUE)}")
        shapes = self.shapes
        for index, port in self.outputs:
            if not (0 <= index < len(self.ops) and 0 <= port < len(shapes[index])):
                raise ConfigError(f"workload {self.name!r}: output ({index}, {port}) does not exist")
        positions = [self.ops[i].int("position") for i in self.inputs]
        if positions != list(range(len(positions))):
            raise ConfigError(f"workload {self.name!r}: its inputs have positions {positions}, not 0, 1, 2, ...")

    # ---------------------------------------------------------------- structure

    @cached_property
    def shapes(self) -> tuple[tuple[Shape, ...], ...]:
        """Output shapes of every op, by op index and port."""
        shapes: list[tuple[Shape, ...]] = []
        for index, op in enumerate(self.ops):
            shapes.append(infer_shapes(op, index, shapes))
        return tuple(shapes)

    def shape(self, ref: Ref) -> Shape:
        """The shape of one tensor."""
        return self.shapes[ref[0]][ref[1]]

    def input_shapes_of(self, index: int) -> tuple[Shape, ...]:
        """The shapes that op `index` reads."""
        return tuple(self.shape(ref) for ref in self.ops[index].inputs)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the graph inputs, by their position."""
        found = [i for i, op in enumerate(self.ops) if op.kind == "input"]
        return tuple(sorted(found, key=lambda i: self.ops[i].int("position")))

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """For every op, the ops that read any of its outputs (an op that reads twice is named twice)."""
        users: list[list[int]] = [[] for _ in self.ops]
        for index, op in enumerate(self.ops):
            for source, _ in op.inputs:
                users[source].append(index)
        return tuple(tuple(u) for u in users)

    @cached_property
    def compute_ops(self) -> tuple[int, ...]:
        """Indices of all ops that are not graph inputs."""
        return tuple(i for i, op in enumerate(self.ops) if op.kind != "input")

    @cached_property
    def live_ops(self) -> tuple[int, ...]:
        """Indices of the ops that an output depends on, and of all graph inputs."""
        alive = {index for index, _ in self.outputs}
        for index in range(len(self.ops) - 1, -1, -1):
            if index in alive:
                alive.update(source for source, _ in self.ops[index].inputs)
        return tuple(i for i, op in enumerate(self.ops) if i in alive or op.kind == "input")

    def pruned(self) -> Workload:
        """The same workload without the ops that no output depends on (graph inputs stay)."""
        keep = self.live_ops
        if len(keep) == len(self.ops):
            return self
        new = {old: position for position, old in enumerate(keep)}
        ops = tuple(
            Op(op.kind, tuple((new[s], p) for s, p in op.inputs), op.attrs, op.name)
            for op in (self.ops[i] for i in keep)
        )
        return Workload(ops, tuple((new[s], p) for s, p in self.outputs), self.name, self.dtype, self.seed)

    def subgraph(self, indices: Iterable[int], name: str = "") -> Workload:
        """The chosen ops as a workload of their own: tensors from outside become inputs (in order of first use),
        tensors used outside, or nowhere, become outputs."""
        chosen = sorted(set(indices))
        inside = set(chosen)
        ops: list[Op] = []
        new: dict[Ref, Ref] = {}
        for index in chosen:
            for ref in self.ops[index].inputs:
                if ref not in new and ref[0] not in inside:
                    position = len(new)
                    attrs: tuple[tuple[str, AttrValue], ...] = (("position", position), ("shape", self.shape(ref)))
                    new[ref] = (position, 0)
                    ops.append(Op("input", (), attrs))
        start = len(ops)
        for offset, index in enumerate(chosen):
            op = self.ops[index]
            for port in range(len(self.shapes[index])):
                new[(index, port)] = (start + offset, port)
            ops.append(Op(op.kind, tuple(new[ref] for ref in op.inputs), op.attrs, op.name))
        leaving: list[Ref] = []
        for index in chosen:
            for port in range(len(self.shapes[index])):
                readers = [u for u in self.users[index] if (index, port) in self.ops[u].inputs]
                if (index, port) in self.outputs or not readers or any(u not in inside for u in readers):
                    leaving.append(new[(index, port)])
        return Workload(tuple(ops), tuple(leaving), name, self.dtype, self.seed)

    # ---------------------------------------------------------------- identity

    @cached_property
    def op_digests(self) -> tuple[str, ...]:
        """For every op, a hash of itself and all it depends on; equal for structurally equal ops."""
        return identity.op_digests(self.ops)

    @cached_property
    def op_places(self) -> tuple[str, ...]:
        """For every op, a hash of its place in the whole graph, independent of names and of the order of the ops."""
        return identity.op_places(self.ops, self.outputs, self.op_digests)

    @cached_property
    def key(self) -> str:
        """The canonical identity: 32 hex digits, independent of names, of the order of the ops and of the seed.

        A hash of the places of all ops (`op_places`) and of the outputs in order. It is never parsed back.
        """
        outputs = [[self.op_places[index], port] for index, port in self.outputs]
        return identity.digest(KEY_VERSION, self.dtype, sorted(self.op_places), outputs)[:32]

    # ---------------------------------------------------------------- arithmetic

    def op_macs(self, index: int) -> int:
        """Multiply-accumulates of one op."""
        op = self.ops[index]
        return OP_SPECS[op.kind].macs(dict(op.attrs), self.input_shapes_of(index), self.shapes[index])

    def param_shapes(self, index: int) -> dict[str, Shape]:
        """Shapes of one op's weights by name, statistics included."""
        op = self.ops[index]
        return OP_SPECS[op.kind].params(dict(op.attrs), self.input_shapes_of(index))

    def op_params(self, index: int) -> int:
        """Number of trained parameters of one op (running statistics are not counted)."""
        buffers = OP_SPECS[self.ops[index].kind].buffers
        return sum(prod(s) for name, s in self.param_shapes(index).items() if name not in buffers)

    def op_bytes_read(self, index: int) -> int:
        """Bytes of activations and weights that one op reads, each once."""
        values = sum(prod(s) for s in self.input_shapes_of(index))
        values += sum(prod(s) for s in self.param_shapes(index).values())
        return values * BYTES_PER_VALUE[self.dtype]

    def op_bytes_written(self, index: int) -> int:
        """Bytes of activations that one op writes."""
        return sum(prod(s) for s in self.shapes[index]) * BYTES_PER_VALUE[self.dtype]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the whole graph."""
        return sum(self.op_macs(i) for i in range(len(self.ops)))

    @cached_property
    def params(self) -> int:
        """Trained parameters of the whole graph."""
        return sum(self.op_params(i) for i in range(len(self.ops)))

    @cached_property
    def bytes_read(self) -> int:
        """Bytes that all ops read together."""
        return sum(self.op_bytes_read(i) for i in self.compute_ops)

    @cached_property
    def bytes_written(self) -> int:
        """Bytes that all ops write together."""
        return sum(self.op_bytes_written(i) for i in self.compute_ops)

    @cached_property
    def peak_activation_bytes(self) -> int:
        """The most bytes of activations alive at once when the ops run in their given order."""
        last_use = list(range(len(self.ops)))
        for index, op in enumerate(self.ops):
            for source, _ in op.inputs:
                last_use[source] = index
        for index, _ in self.outputs:
            last_use[index] = len(self.ops)
        freed = [0] * (len(self.ops) + 1)
        peak = alive = 0
        for index, last in enumerate(last_use):
            written = self.op_bytes_written(index)
            freed[last] += written
            alive += written
            peak = max(peak, alive)
            alive -= freed[index]
        return peak

    # ---------------------------------------------------------------- plain values

    def to_dict(self) -> dict[str, Any]:
        """A plain JSON-able form that `from_dict` reads back."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "seed": self.seed,
            "ops": [[op.kind, [list(r) for r in op.inputs], dict(op.attrs), op.name] for op in self.ops],
            "outputs": [list(r) for r in self.outputs],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Workload:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: where the data is not such a form.
        """
        try:
            ops = tuple(
                Op(str(kind), tuple((int(s), int(p)) for s, p in inputs), _attrs(attrs), str(name))
                for kind, inputs, attrs, name in data["ops"]
            )
            outputs = tuple((int(s), int(p)) for s, p in data["outputs"])
            return cls(ops, outputs, str(data.get("name", "")), str(data["dtype"]), int(data.get("seed", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a workload: {error!r}") from None


def _attrs(attrs: Mapping[str, Any]) -> tuple[tuple[str, AttrValue], ...]:
    def value(raw: Any) -> AttrValue:
        return tuple(int(v) for v in raw) if isinstance(raw, list | tuple) else raw

    return tuple(sorted((str(k), value(v)) for k, v in attrs.items()))
