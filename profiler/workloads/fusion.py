"""Workload -> the kernels that a runtime really executes: what a table of costs has to be keyed by.

Runtimes do not run the operators of a model file one by one. They fold batch norms into the convolution before
them and append additions and activations to it; a table that prices these apart cannot add up to the whole. Which
operators go together is data, see `fusion_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.fusion_rules import FUSIONS, Fusions, Tail, fusions_for
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.op import Op
from profiler.workloads.ops import Attrs, AttrValue, Shape
from profiler.workloads.transform import drop_noops, foldable_norms

__all__ = [
    "FUSIONS",
    "FUSION_VERSION",
    "Fusions",
    "Kernel",
    "absorbs",
    "cut",
    "cut_apart",
    "cut_by",
    "kernels_of",
    "kernels_of_groups",
    "single",
]

FUSION_VERSION = 3
"""Raised whenever `cut` gives other kernels for the same workload: caches of counts are keyed by it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A group of operators that a runtime executes as one.

    Attributes:
        workload: the group alone, normalised (batch norm folded, no names), so that equal kernels share a key.
        ops: the operators of the workload that was cut which this kernel stands for, in order.
        kind: such as "conv2d 3x3+add+relu"; holds no shapes, so that regressors can be grouped by it.
    """

    workload: Workload
    ops: tuple[int, ...]
    kind: str

    @property
    def key(self) -> str:
        """The canonical key of the kernel's workload."""
        return self.workload.key

    @property
    def label(self) -> str:
        """The kind with the shapes, for people: "conv2d 3x3 16x32x32 -> 16x32x32"."""
        shapes = self.workload.shapes
        read = ", ".join(_sizes(shapes[index][0]) for index in self.workload.inputs)
        written = ", ".join(_sizes(self.workload.shape(ref)) for ref in self.workload.outputs)
        return f"{self.kind} {read} -> {written}"


def absorbs(kernel: Kernel, kind: str, runtime: Runtime, precision: Precision) -> bool:
    """Whether an operator of `kind` directly behind a kernel would become part of it."""
    work = kernel.workload
    first, *rest = work.compute_ops
    tails = fusions_for(runtime, precision).tails.get(_head(work, first), frozenset())
    return (*(work.ops[i].kind for i in rest), kind) in tails


def cut(workload: Workload, runtime: Runtime, precision: Precision) -> tuple[Kernel, ...]:
    """The kernels that a runtime executes for a workload, in topological order.

    Every operator that computes belongs to exactly one kernel. The others belong to none: what no output depends
    on, identities, additions of zero, and what the runtime merges or computes when it loads the model (`Fusions`).
    An operator joins the kernel before it only where nothing else reads the tensor between.

    Raises:
        ConfigError: where there are no rules for runtime and precision.
    """
    return cut_by(workload, fusions_for(runtime, precision))


def cut_by(workload: Workload, rules: Fusions) -> tuple[Kernel, ...]:
    """`cut` by rules that are given."""
    lean, origin = _lean(workload)
    inputs = _executed(lean, rules)
    folds = foldable_norms(lean)
    return _kernels(lean, origin, inputs, _groups(lean, inputs, folds, rules), folds)


def cut_apart(workload: Workload) -> tuple[Kernel, ...]:
    """Every operator of the file as a kernel of its own: what a table of exported nodes is keyed by.

    Batch norms behind convolutions are in no file, since every lowering folds them first.
    """
    return cut_by(workload, Fusions({}))


def kernels_of_groups(
    workload: Workload, groups: Iterable[Iterable[int]], merged: Mapping[int, int]
) -> tuple[Kernel, ...]:
    """Kernels where somebody else says what runs as one.

    Args:
        workload: what is cut.
        groups: operators by their index, each in one group at most; those in none are not executed.
        merged: operators that are not executed because an equal one is, and which.
    """
    lean, origin = _lean(workload)
    new = {old: index for index, old in enumerate(origin)}
    alias = {new[a]: new[b] for a, b in merged.items() if a in new and b in new}
    inputs = {
        index: tuple((alias.get(source, source), port) for source, port in op.inputs)
        for index, op in enumerate(lean.ops)
        if op.kind != "input"
    }
    found = [sorted(new[i] for i in group if i in new) for group in groups]
    return _kernels(lean, origin, inputs, [group for group in found if group], foldable_norms(lean))


def _kernels(
    lean: Workload, origin: tuple[int, ...], inputs: _Inputs, groups: Iterable[list[int]], folds: Mapping[int, int]
) -> tuple[Kernel, ...]:
    kernels: list[Kernel] = []
    for group in groups:
        normal, kind = _normalised(_signature(lean, inputs, group, folds))
        kernels.append(Kernel(normal, tuple(origin[i] for i in group), kind))
    return tuple(kernels)


def kernels_of(workloads: Iterable[Workload], runtime: Runtime, precision: Precision) -> tuple[Kernel, ...]:
    """The distinct kernels of several workloads, in order of first appearance (`ops` as in the first workload)."""
    found: dict[str, Kernel] = {}
    for workload in workloads:
        for kernel in cut(workload, runtime, precision):
            found.setdefault(kernel.key, kernel)
    return tuple(found.values())


def single(kind: str, shapes: tuple[Shape, ...], attrs: Attrs) -> Kernel:
    """The kernel of one operator on inputs of the given shapes."""
    sources = tuple(-1 - place for place in range(len(shapes)))
    normal, name = _normalised((shapes, ((kind, tuple(sorted(attrs.items())), sources, (0,) * len(shapes)),)))
    return Kernel(normal, (0,), name)


# -------------------------------------------------------------------- grouping

_Inputs = Mapping[int, tuple[Ref, ...]]
"""What each op that is executed reads, by op index."""


def _lean(workload: Workload) -> tuple[Workload, tuple[int, ...]]:
    """`drop_noops`, skipped where there is nothing to drop, since whole search spaces are cut."""
    if len(workload.live_ops) == len(workload.ops) and not any(op.kind in ("identity", "zero") for op in workload.ops):
        return workload, tuple(range(len(workload.ops)))
    return drop_noops(workload)


def _executed(workload: Workload, rules: Fusions) -> _Inputs:
    """The ops that the runtime executes, after it has merged equal ones and computed constants."""
    inputs: dict[int, tuple[Ref, ...]] = {}
    first: dict[tuple[str, tuple[tuple[str, AttrValue], ...], tuple[Ref, ...]], int] = {}
    merged: dict[int, int] = {}
    constant: set[int] = set()
    for index, op in enumerate(workload.ops):
        if op.kind in ("zero", "constant"):
            constant.add(index)
        if op.kind in ("input", "zero", "constant", "identity"):
            continue
        folds = rules.folds == "all" or (rules.folds == "weightless" and op.kind not in _WEIGHTED)
        if constant and folds and all(source in constant for source, _ in op.inputs):
            constant.add(index)
            continue
        refs = tuple((merged.get(source, source), port) for source, port in op.inputs) if merged else op.inputs
        if rules.merges_equal and op.kind not in _WEIGHTED:
            found = first.setdefault((op.kind, op.attrs, refs), index)
            if found != index:
                merged[index] = found
                continue
        inputs[index] = refs
    return inputs


def _groups(workload: Workload, inputs: _Inputs, folds: Mapping[int, int], rules: Fusions) -> list[list[int]]:
    """Ops that run as one; greedy in topological order, first input first, as the runtimes' own passes are."""
    readers: dict[int, int] = {}
    for refs in inputs.values():
        for source, _ in refs:
            readers[source] = readers.get(source, 0) + 1
    for source, _ in workload.outputs:
        readers[source] = readers.get(source, 0) + 1
    groups: dict[int, list[int]] = {}  # by the op that is last so far
    tails: dict[int, Tail] = {}
    for index, refs in inputs.items():
        kind, joined = workload.ops[index].kind, None
        if index in folds:
            joined = refs[0][0]
            tail = tails[joined]
        else:
            tail = ()
            for source, _ in refs:
                if source in groups and readers[source] == 1:
                    longer = (*tails[source], kind)
                    head = _head(workload, groups[source][0])
                    if longer in rules.tails.get(head, ()) and _elementwise(workload, index):
                        joined, tail = source, longer
                        break
        groups[index] = [index] if joined is None else [*groups.pop(joined), index]
        tails[index] = tail
    return list(groups.values())


_WEIGHTED = frozenset({"conv2d", "linear", "batch_norm", "layer_norm"})


def _head(workload: Workload, index: int) -> str:
    """Under which name `Fusions.tails` knows an op."""
    op = workload.ops[index]
    if op.kind == "conv2d" and 1 < op.int("groups") < workload.input_shapes_of(index)[0][1]:
        return "grouped"
    return op.kind


def _elementwise(workload: Workload, index: int) -> bool:
    """No broadcasting: all inputs have one shape."""
    shapes = workload.input_shapes_of(index)
    return all(shape == shapes[0] for shape in shapes)


# -------------------------------------------------------------------- normal form

_Wired = tuple[str, tuple[tuple[str, AttrValue], ...], tuple[int, ...], tuple[int, ...]]
"""One op of a group: kind, attributes, sources (negative: input -1 - i; else position in the group), ports."""

_Signature = tuple[tuple[Shape, ...], tuple[_Wired, ...]]


def _signature(workload: Workload, inputs: _Inputs, group: list[int], folds: Mapping[int, int]) -> _Signature:
    """The local structure of a group, hashable, so that repeated kernels cost one look-up."""
    shapes: list[Shape] = []
    place: dict[Ref, int] = {}
    wired: list[_Wired] = []
    for index in group:
        op = workload.ops[index]
        if index in folds:
            # the norm is gone: its readers read the layer, which now has a bias
            kind, attrs, sources, ports = wired[-1]
            wired[-1] = (kind, _with_bias(attrs), sources, ports)
            place[(index, 0)] = len(wired) - 1
            continue
        refs = inputs[index]
        for ref in refs:
            source = workload.ops[ref[0]]
            if ref not in place and source.kind == "constant":
                # in the file as the weights of a layer are, so part of the kernel and none of its inputs
                wired.append((source.kind, source.attrs, (), ()))
                place[ref] = len(wired) - 1
            elif ref not in place:
                shapes.append(workload.shape(ref))
                place[ref] = -len(shapes)
        wired.append((op.kind, op.attrs, tuple(place[ref] for ref in refs), tuple(port for _, port in refs)))
        place[(index, 0)] = len(wired) - 1
    return tuple(shapes), tuple(wired)


@lru_cache(maxsize=4096)
def _with_bias(attrs: tuple[tuple[str, AttrValue], ...]) -> tuple[tuple[str, AttrValue], ...]:
    return tuple((name, True if name == "bias" else value) for name, value in attrs)


@lru_cache(maxsize=65536)
def _normalised(signature: _Signature) -> tuple[Workload, str]:
    """The workload and the kind of a kernel."""
    shapes, wired = signature
    ops = [Op("input", (), (("position", i), ("shape", shape))) for i, shape in enumerate(shapes)]
    start = len(ops)
    for kind, attrs, sources, ports in wired:
        refs = tuple((-1 - s, 0) if s < 0 else (start + s, p) for s, p in zip(sources, ports, strict=True))
        ops.append(Op(kind, refs, attrs))
    draft = Workload(tuple(ops), ((len(ops) - 1, 0),))
    last = len(ops) - 1
    workload = Workload(draft.ops, tuple((last, port) for port in range(len(draft.shapes[last]))))
    named = [index for index in workload.compute_ops if workload.ops[index].kind != "constant"]
    return workload, "+".join(_kind(workload, index) for index in named)


def _kind(workload: Workload, index: int) -> str:
    op = workload.ops[index]
    if op.kind not in ("conv2d", "avg_pool", "max_pool"):
        return op.kind
    height, width = op.ints("kernel")
    size = f"{height}x{width}"
    if op.kind != "conv2d":
        return f"{op.kind} {size}"
    channels, groups = workload.input_shapes_of(index)[0][1], op.int("groups")
    name = "conv2d" if groups == 1 else "depthwise" if groups == channels else "grouped conv2d"
    dilation = op.ints("dilation")
    return f"{name} {size}" if dilation == (1, 1) else f"{name} {size} dilated {dilation[0]}x{dilation[1]}"


def _sizes(shape: Shape) -> str:
    return "x".join(str(size) for size in shape[1:])
