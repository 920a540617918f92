"""The ways in which a network can be cut into what a table has costs of.

exported    every operator of the file apart
fused       the kernels of our rules
optimised   the nodes of the runtime's own graph, where it gives one
blocks      parts that are no kernels: whatever blocks were measured, between tensors that everything passes through
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from profiler.fleet.targets import Precision, Runtime
from profiler.workloads.fusion import Kernel, cut, cut_apart
from profiler.workloads.graph import Op, Ref, Workload
from profiler.workloads.ops import Shape
from profiler.workloads.optimised_graph import optimised_cut

__all__ = ["CUTS", "Cut", "cut_as", "cuts_of", "into_blocks", "kernels_of_cuts"]

Cut = Literal["exported", "fused", "optimised", "blocks"]
CUTS: tuple[Cut, ...] = get_args(Cut)


def cuts_of(runtime: Runtime, accelerator: str = "") -> tuple[Cut, ...]:
    """The cuts into kernels that a runtime allows."""
    return ("exported", "fused", "optimised") if runtime == "onnxruntime" and not accelerator else ("exported", "fused")


def cut_as(workload: Workload, how: Cut, runtime: Runtime, precision: Precision) -> tuple[Kernel, ...]:
    """The kernels of a workload under one cut.

    Raises:
        ArtefactError: the runtime's own graph cannot be read.
        ConfigError: there are no rules for runtime and precision.
        ValueError: for "blocks", which are none; see `into_blocks`.
    """
    if how == "exported":
        return cut_apart(workload)
    if how == "fused":
        return cut(workload, runtime, precision)
    if how == "optimised":
        return optimised_cut(workload, precision)
    raise ValueError("blocks are no kernels; see into_blocks")


def kernels_of_cuts(
    workloads: Iterable[Workload], runtime: Runtime, precision: Precision, accelerator: str = ""
) -> tuple[Kernel, ...]:
    """The distinct kernels of workloads under all cuts: what has to be measured so that the cuts can be compared."""
    found: dict[str, Kernel] = {}
    for workload in workloads:
        for how in cuts_of(runtime, accelerator):
            found.update({k.key: k for k in cut_as(workload, how, runtime, precision) if k.key not in found})
    return tuple(found.values())


def into_blocks(workload: Workload, blocks: Mapping[str, Workload]) -> tuple[str, ...] | None:
    """The keys of measured blocks of which a network is a sequence, each as often as it occurs; None where it is none.

    Of several ways to cover a network the one with the fewest blocks is taken.

    Args:
        workload: of one input and one output.
        blocks: measured ones by key.
    """
    whole = workload.pruned()
    if len(whole.inputs) != 1 or len(whole.outputs) != 1:
        return None
    forms = {_form(block) for block in blocks.values() if len(block.inputs) == 1 and len(block.outputs) == 1}
    waists = _waists(whole)
    best: dict[int, tuple[str, ...]] = {0: ()}
    for end in range(1, len(waists)):
        found: list[tuple[str, ...]] = []
        for start in range(end):
            if start not in best:
                continue
            first, last = waists[start], waists[end]
            if (last[0] - first[0], whole.shape(first), whole.shape(last)) in forms:
                key = _segment(whole, first, last).key
                if key in blocks:
                    found.append((*best[start], key))
        if found:
            best[end] = max(found, key=len)
    return best.get(len(waists) - 1)


_Form = tuple[int, Shape, Shape]


def _form(block: Workload) -> _Form:
    lean = block.pruned()
    return len(lean.compute_ops), lean.shapes[lean.inputs[0]][0], lean.shape(lean.outputs[0])


def _waists(workload: Workload) -> list[Ref]:
    """The tensors through which everything passes, from the input to the output."""
    last_use: dict[Ref, int] = {}
    for index, op in enumerate(workload.ops):
        last_use.update(dict.fromkeys(op.inputs, index))
    last_use[workload.outputs[0]] = len(workload.ops)
    found: list[Ref] = []
    alive: set[Ref] = set()
    for index in range(len(workload.ops)):
        alive.update((index, port) for port in range(len(workload.shapes[index])) if (index, port) in last_use)
        alive = {ref for ref in alive if last_use[ref] > index}
        if alive == {(index, 0)}:
            found.append((index, 0))
    return found


def _segment(workload: Workload, first: Ref, last: Ref) -> Workload:
    """What lies behind one waist up to another, as a workload of its own."""
    head = Op("input", (), (("position", 0), ("shape", workload.shape(first))))
    start = first[0]
    ops = [
        Op(op.kind, tuple((source - start, port) for source, port in op.inputs), op.attrs)
        for op in workload.ops[start + 1 : last[0] + 1]
    ]
    return Workload((head, *ops), ((last[0] - start, 0),))
