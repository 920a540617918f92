"""Which operators ONNX Runtime executes as one, by its own word: the graph that it has made of a file before it runs.

    file of `builders.onnx` -> session -> optimised graph -> nodes, each with the operators that it stands for

The session is one on this machine. What is fused, and above all the layout, depends on release and processor: it holds
for boards of this architecture with this release, and for another board it is what a runtime of its kind does.

The builders name nodes "5_conv2d" and tensors "t5" after the operator's place, and the optimiser keeps the one or the
other in the name of whatever it makes of them ("fused 5_conv2d", "5_conv2d_token_3", "t5_nchwc"): that names the first
operator of a node. The last one follows from walking back from the outputs, whose names stay: a node that makes what
operator 8 makes, and begins with operator 5, holds everything between the two.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from profiler.errors import ArtefactError
from profiler.fleet.targets import Precision
from profiler.workloads.artefacts import lower
from profiler.workloads.builders.onnx import output_name
from profiler.workloads.fusion import Kernel, kernels_of_groups
from profiler.workloads.graph import Op, Ref, Workload
from profiler.workloads.transform import drop_noops, foldable_norms

__all__ = ["OptimisedGraph", "OptimisedNode", "executed_nodes", "optimised_cut", "optimised_graph"]

_PASSED_ON = frozenset(
    {"ReorderInput", "ReorderOutput", "Transpose", "Cast", "Identity", "QuantizeLinear", "DequantizeLinear"}
)
"""Nodes that change how values are held, and compute nothing."""

_CLAMPS = frozenset({"relu", "relu6"})

_BEGINS_WITH = {
    "Conv": frozenset({"conv2d", "batch_norm"}),  # a lone norm is a convolution of another form
    "AveragePool": frozenset({"avg_pool"}),
    "MaxPool": frozenset({"max_pool"}),
    "GlobalAveragePool": frozenset({"global_avg_pool"}),
}
"""The kinds of operators that nodes in a blocked layout begin with."""

_BY_NODE = re.compile(r"(?:fused )?(\d+)_[a-z]")
_BY_TENSOR = re.compile(r"(t\d+(?:_\d+)?|output_\d+)(?:_bn)?_nchwc")


@dataclass(frozen=True, slots=True)
class OptimisedNode:
    """What the runtime executes as one.

    Attributes:
        op_types: of its nodes: one as a rule, several where it writes one operator as a few ("HardSigmoid", "Mul") or
            where a clamp has become a change of scale.
        ops: the operators of the workload that it stands for, in order.
    """

    op_types: tuple[str, ...]
    ops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OptimisedGraph:
    """What the runtime makes of a workload.

    Attributes:
        nodes: in topological order of the operators they begin with.
        merged: operators that are not executed because an equal one is, and which.
        conversions: nodes that compute nothing: layout, quantisation.
        version: of the runtime.
    """

    nodes: tuple[OptimisedNode, ...]
    merged: Mapping[int, int]
    conversions: int
    version: str

    def together(self, first: int, second: int) -> bool:
        """Whether two operators of the workload run in one node."""
        return any(first in node.ops and second in node.ops for node in self.nodes)


def optimised_cut(workload: Workload, precision: Precision) -> tuple[Kernel, ...]:
    """The kernels of a workload as the runtime's own graph has them.

    Raises:
        ArtefactError, UnsupportedOperator: as `optimised_graph`.
    """
    graph = optimised_graph(workload, precision)
    return kernels_of_groups(workload, (node.ops for node in graph.nodes), graph.merged)


@lru_cache(maxsize=4096)
def optimised_graph(workload: Workload, precision: Precision) -> OptimisedGraph:
    """What ONNX Runtime on this machine makes of a workload, all optimisations on, on the plain CPU.

    Raises:
        ArtefactError: the file does not load, or its optimised graph cannot be traced back to the workload.
        UnsupportedOperator: the workload has no ONNX file.
    """
    model, version = _optimised(lower(workload, "onnxruntime", precision), workload.name or workload.key)
    return _Reader(workload, model.graph).read(version)


def executed_nodes(data: bytes) -> Counter[str]:
    """How often each type of node occurs in the graph that ONNX Runtime executes of a file, conversions included.

    Raises:
        ArtefactError: the file does not load.
    """
    model, _ = _optimised(data, "the file")
    return Counter(node.op_type for node in model.graph.node)


def _optimised(data: bytes, what: str) -> tuple[Any, str]:
    """The ModelProto that the runtime executes, and its version."""
    import onnx

    from profiler.workloads.host_onnxruntime import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory(prefix="edgecost-") as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise ArtefactError(f"{what} does not load in ONNX Runtime on this machine: {error}") from error
        return onnx.load(str(path)), str(onnxruntime.__version__)


class _Reader:
    """Traces the nodes of one optimised graph back to the operators of the workload that its file was made of."""

    def __init__(self, workload: Workload, graph: Any) -> None:
        self._workload = workload
        # the file is of the simplified workload, whose places the names speak of
        self._lean, self._stands_for = _as_written(workload)
        self._nodes = list(graph.node)
        self._maker = {name: place for place, node in enumerate(self._nodes) for name in node.output if name}
        self._given = {name.name for name in graph.initializer}
        for node in self._nodes:  # a weight that is dequantised when the model is loaded is a constant too
            if node.op_type in _PASSED_ON and all(name in self._given for name in node.input if name):
                self._given.update(node.output)
        self._inputs = {name.name for name in graph.input} - self._given
        self._ancestors = _ancestors(self._lean)
        self._variable = _variable(self._lean)
        self._names = {f"t{index}": index for index in range(len(self._lean.ops))}
        self._names |= {output_name(place): ref[0] for place, ref in enumerate(self._lean.outputs)}
        self._groups: dict[int, frozenset[int]] = {}
        self._clusters: dict[int, frozenset[int]] = {}
        self._merged: dict[int, int] = {}
        self._spare: set[int] = set()

    def read(self, version: str) -> OptimisedGraph:
        """Walk back from every output."""
        seen: set[tuple[str, Ref]] = set()
        pending = [(output_name(place), ref) for place, ref in enumerate(self._lean.outputs)]
        while pending:
            step = pending.pop()
            if step not in seen:
                seen.add(step)
                pending.extend(self._step(*step))
        return self._graph(version)

    def _step(self, name: str, ref: Ref) -> Iterable[tuple[str, Ref]]:
        """From a value that is tensor `ref` of the workload to the values that its node reads."""
        if name in self._inputs or name not in self._maker or self._lean.ops[ref[0]].kind == "input":
            return ()
        place = self._maker[name]
        node = self._nodes[place]
        if node.op_type in _PASSED_ON and self._named(node) in (None, ref[0]):
            before = self._maker.get(node.input[0])
            if before is not None and self._rescales(before, place) and self._lean.ops[ref[0]].kind in _CLAMPS:
                self._note(before, frozenset({ref[0]}), frozenset({before, place}))
                return [(self._nodes[before].input[0], self._lean.ops[ref[0]].inputs[0])]
            return [(node.input[0], ref)]
        cluster = frozenset({place})
        head = self._named(node)
        if head is None:
            head, cluster = ref[0], frozenset(self._unnamed(place))
        group = self._between(head, ref[0])
        anchor = min(cluster)
        if head in group:
            self._note(anchor, group, cluster)
        else:
            self._merged[ref[0]] = head
        return self._inputs_of(sorted(cluster), group)

    def _rescales(self, first: int, second: int) -> bool:
        """Whether two nodes are a change of scale; it does the work of a clamp that the quantiser has removed."""
        types = self._nodes[first].op_type, self._nodes[second].op_type
        return types == ("DequantizeLinear", "QuantizeLinear")

    def _named(self, node: Any) -> int | None:
        """The operator that a node begins with, by its name; None where it has none of ours."""
        found = _BY_NODE.match(node.name)
        if found:
            return int(found[1])
        found = _BY_TENSOR.match(node.name)
        if not found:
            return None
        # what it made before it was given its layout, and perhaps more: an activation was drawn in already
        member = self._names[re.sub(r"(t\d+)_\d+$", r"\1", found[1])]
        kinds = _BEGINS_WITH.get(node.op_type, frozenset({self._lean.ops[member].kind}))
        known = (i for i in (member, *sorted(self._ancestors[member], reverse=True)) if self._lean.ops[i].kind in kinds)
        return next(known, member)

    def _note(self, place: int, group: frozenset[int], cluster: frozenset[int]) -> None:
        """A node that is seen from several tensors holds what they all need of it; the rest is done behind it."""
        before = self._groups.get(place, group)
        self._groups[place] = before & group
        self._spare |= before ^ group
        self._clusters[place] = cluster

    def _unnamed(self, place: int) -> Iterator[int]:
        """The nodes that one operator was written as: those without a name that feed each other."""
        pending, seen = [place], {place}
        while pending:
            at = pending.pop()
            yield at
            for name in self._nodes[at].input:
                before = self._maker.get(name)
                if before is None or before in seen or name in self._names:
                    continue
                if self._named(self._nodes[before]) is None and self._nodes[before].op_type not in _PASSED_ON:
                    seen.add(before)
                    pending.append(before)

    def _between(self, head: int, last: int) -> frozenset[int]:
        """The operators from `head` to `last`; where `head` does not lead there, from an equal one that does."""
        ops = self._lean.ops
        if head != last and head not in self._ancestors[last]:
            candidates = (last, *sorted(self._ancestors[last], reverse=True))
            near = [i for i in candidates if head < len(ops) and _equal(ops[i], ops[head])]
            if not near:
                raise self._lost(f"operator {last} ({ops[last].kind}) is made by a node named after operator {head}")
            head = near[0]
        if ops[head].kind == "input":
            raise self._lost(f"a node is named after operator {head}, which is an input")
        inside = {i for i in self._ancestors[last] if i == head or head in self._ancestors[i]}
        return frozenset({last, *inside})

    def _inputs_of(self, cluster: list[int], group: frozenset[int]) -> list[tuple[str, Ref]]:
        made = {name for place in cluster for name in self._nodes[place].output}
        names = [name for place in cluster for name in self._nodes[place].input]
        read = [n for n in names if n and n not in self._given and n not in made]
        wanted = [ref for i in sorted(group) for ref in self._lean.ops[i].inputs if ref[0] not in group]
        # what depends on no input may have been computed when the model was loaded
        variable = [ref for ref in wanted if ref[0] in self._variable]
        for refs in (wanted, variable):
            if len(read) == len(refs):
                return list(zip(read, refs, strict=True))
        values, tensors = dict.fromkeys(read), dict.fromkeys(variable)
        if len(values) == len(tensors):
            return list(zip(values, tensors, strict=True))
        if 1 in (len(values), len(tensors)):
            return [(value, ref) for value in values for ref in tensors]
        raise self._lost(f"a node reads {len(read)} values where the operators it stands for read {len(wanted)}")

    def _lost(self, why: str) -> ArtefactError:
        name = self._workload.name or self._workload.key
        return ArtefactError(f"the optimised graph of {name} cannot be traced back: {why}")

    def _graph(self, version: str) -> OptimisedGraph:
        held = frozenset().union(*self._groups.values())
        nodes = [
            (sorted(group), tuple(self._nodes[place].op_type for place in sorted(self._clusters[place])))
            for place, group in self._groups.items()
        ]
        nodes += [([op], ()) for op in self._spare - held]
        found = tuple(
            OptimisedNode(types, tuple(sorted(i for op in group for i in self._stands_for[op])))
            for group, types in sorted(nodes)
        )
        merged = {self._stands_for[a][0]: self._stands_for[b][0] for a, b in self._merged.items() if a not in held}
        conversions = sum(node.op_type in _PASSED_ON for node in self._nodes)
        return OptimisedGraph(found, merged, conversions, version)


def _equal(a: Op, b: Op) -> bool:
    return (a.kind, a.attrs) == (b.kind, b.attrs)


def _as_written(workload: Workload) -> tuple[Workload, tuple[tuple[int, ...], ...]]:
    """The workload as `simplify` leaves it to the builders, and the operators that each of its operators stands for."""
    lean, origin = drop_noops(workload)
    folds = foldable_norms(lean)
    kept = [i for i in range(len(lean.ops)) if i not in folds]
    new = {old: place for place, old in enumerate(kept)}
    stands_for = [[origin[i]] for i in kept]
    for norm, layer in folds.items():
        new[norm] = new[layer]
        stands_for[new[layer]].append(origin[norm])
    ops = tuple(
        Op(op.kind, tuple((new[s], p) for s, p in op.inputs), op.attrs, op.name) for op in (lean.ops[i] for i in kept)
    )
    outputs = tuple((new[s], p) for s, p in lean.outputs)
    return Workload(ops, outputs, workload.name), tuple(tuple(found) for found in stands_for)


def _ancestors(workload: Workload) -> list[frozenset[int]]:
    """What each operator depends on."""
    found: list[frozenset[int]] = []
    for op in workload.ops:
        sources = {source for source, _ in op.inputs}
        found.append(frozenset(sources.union(*(found[source] for source in sources))))
    return found


def _variable(workload: Workload) -> frozenset[int]:
    """The operators that depend on an input; what the others make is a constant of the file."""
    found: set[int] = set()
    for index, op in enumerate(workload.ops):
        if op.kind == "input" or any(source in found for source, _ in op.inputs):
            found.add(index)
    return frozenset(found)
