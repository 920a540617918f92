"""Several candidates trained together: operators of one kind and shape run as one, whichever networks they are of.

Networks of a space differ in their operators, but take each from a few. Their graphs are walked together: among the
operators that are ready, those of one signature (kind, attributes, input shapes) that are furthest from the output
run as one operator on concatenated channels, convolutions as a grouped one. The networks share nothing: summed
losses give each its own gradient, and SGD works element by element, so that each is trained as if alone, to rounding.

Dynamic batching after Neubig, Goldberg and Dyer, "On-the-fly Operation Batching in Dynamic Computation Graphs"
(NeurIPS 2017); its use here is ours.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from profiler.errors import ConfigError
from profiler.workloads.builders.torch import WorkloadModule
from profiler.workloads.graph import Workload
from profiler.workloads.op import Op, Ref
from profiler.workloads.ops import Shape
from search.evrsnas.course import Course, Point, optimiser_of
from search.evrsnas.presets import ScorePreset
from search.evrsnas.rmi import CONSTANT_BELOW

__all__ = ["Lockstep", "train_together"]

_CHANNELWISE = frozenset(("relu", "relu6", "hswish", "hsigmoid", "sigmoid")) | {
    "add",
    "mul",
    "avg_pool",
    "max_pool",
    "global_avg_pool",
    "flatten",
    "identity",
}
"""Kinds that treat channels alike and apart from each other, so that networks may stand side by side in them."""
_LEARNED = frozenset(("conv2d", "batch_norm", "linear"))


@dataclass(frozen=True, slots=True)
class _Member:
    network: int
    op: int


@dataclass(frozen=True, slots=True)
class _Value:
    """A network's tensor: `slot` of `slots` equal shares of the channels of `whole`."""

    whole: Tensor
    slot: int = 0
    slots: int = 1

    def alone(self) -> Tensor:
        return self.whole if self.slots == 1 else self.whole.chunk(self.slots, dim=1)[self.slot]


class Lockstep(nn.Module):
    """Several networks as one module.

    Args:
        modules: networks with taps whose weights it takes over; batch norms use the batch's statistics.
    """

    def __init__(self, modules: Sequence[WorkloadModule]) -> None:
        super().__init__()
        self.networks = len(modules)
        self._workloads = [m.workload for m in modules]
        self._taps = [m.taps for m in modules]
        self._plan = _plan(modules)
        self.groups = nn.ModuleList(self._group(members, modules) for members in self._plan)

    def _group(self, members: Sequence[_Member], modules: Sequence[WorkloadModule]) -> nn.Module:
        parts = [modules[m.network].parts[str(m.op)] for m in members]
        op = self._op(members[0])
        if op.kind not in _LEARNED or len(members) == 1:
            return parts[0]
        joined = nn.ParameterDict()
        join = torch.stack if op.kind == "linear" else torch.cat
        for name, _ in parts[0].named_parameters():
            joined[name] = nn.Parameter(join([p.get_parameter(name).detach() for p in parts]))
        return joined

    def _op(self, member: _Member) -> Op:
        return self._workloads[member.network].ops[member.op]

    def forward(self, x: Tensor) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
        """Logits and tapped tensors of every network on the same images (n, 3, h, h)."""
        values: list[dict[Ref, _Value]] = [{(w.inputs[0], 0): _Value(x)} for w in self._workloads]
        for members, group in zip(self._plan, self.groups, strict=True):
            first = self._op(members[0])
            if len(members) == 1:
                self._run_alone(members[0], first, group, values, len(x))
                continue
            arguments = [
                _gather([values[m.network][self._op(m).inputs[i]] for m in members]) for i in range(len(first.inputs))
            ]
            if isinstance(group, nn.ParameterDict):
                whole = _learned(first, group, arguments[0], len(members))
            else:
                whole = group(*arguments)
            for slot, member in enumerate(members):
                values[member.network][(member.op, 0)] = _Value(whole, slot, len(members))
        return [
            (values[b][w.outputs[0]].alone(), tuple(values[b][ref].alone() for ref in taps))
            for b, (w, taps) in enumerate(zip(self._workloads, self._taps, strict=True))
        ]

    def _run_alone(
        self, member: _Member, op: Op, part: nn.Module, values: list[dict[Ref, _Value]], images: int
    ) -> None:
        mine = values[member.network]
        result = part(images) if op.kind == "zero" else part(*(mine[ref].alone() for ref in op.inputs))
        for port, tensor in enumerate(result if isinstance(result, tuple) else (result,)):
            mine[(member.op, port)] = _Value(tensor)


def _gather(values: Sequence[_Value]) -> Tensor:
    """Tensors of several networks side by side; without a copy where they already stand so."""
    whole = values[0].whole
    if values[0].slots == len(values) and all(v.whole is whole and v.slot == i for i, v in enumerate(values)):
        return whole
    return torch.cat([v.alone() for v in values], dim=1)


def _learned(op: Op, weights: nn.ParameterDict, x: Tensor, networks: int) -> Tensor:
    weight: Tensor = weights["weight"]
    bias: Tensor | None = weights.get("bias")
    if op.kind == "batch_norm":
        return functional.batch_norm(x, None, None, weight, bias, training=True, eps=op.float("eps"))
    if op.kind == "linear":
        columns = torch.stack(x.chunk(networks, dim=1))
        rows = columns @ weight.transpose(1, 2)
        rows = rows if bias is None else rows + bias[:, None]
        return torch.cat(list(rows), dim=1)
    top, left, bottom, right = op.ints("padding")
    even = (top, left) == (bottom, right)
    x = x if even else functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(
        x,
        weight,
        bias,
        op.ints("stride"),
        (top, left) if even else 0,
        op.ints("dilation"),
        networks * op.int("groups"),
    )


def _plan(modules: Sequence[WorkloadModule]) -> list[list[_Member]]:
    """In which order operators run, and which of them together."""
    waiting: dict[_Member, int] = {}
    readers: dict[tuple[int, int], list[_Member]] = defaultdict(list)
    heights: dict[_Member, int] = {}
    signatures: dict[_Member, Hashable] = {}
    for b, module in enumerate(modules):
        workload = module.workload
        wanted = Workload(workload.ops, (*workload.outputs, *module.taps), dtype=workload.dtype)
        live = [index for index in wanted.live_ops if workload.ops[index].kind != "input"]
        if len(workload.inputs) != 1 or len(workload.outputs) != 1:
            raise ConfigError("networks are trained together where each has one input and one output")
        for index in live:
            op, member = workload.ops[index], _Member(b, index)
            sources = {ref[0] for ref in op.inputs} - set(workload.inputs)
            waiting[member] = len(sources)
            for source in sources:
                readers[b, source].append(member)
            shapes = (*workload.input_shapes_of(index), *workload.shapes[index])
            signatures[member] = (op.kind, op.attrs, shapes) if _groups(op, shapes) else (b, index)
        for index in reversed(live):
            heights[_Member(b, index)] = 1 + max((heights[r] for r in readers[b, index]), default=0)
    ready: dict[Hashable, list[_Member]] = defaultdict(list)
    for member, count in waiting.items():
        if count == 0:
            ready[signatures[member]].append(member)
    plan: list[list[_Member]] = []
    while ready:
        # the group furthest from the output on average: networks that are behind catch up with the others
        chosen = max(ready, key=lambda s: sum(heights[m] for m in ready[s]) / len(ready[s]))
        members = ready.pop(chosen)
        plan.append(members)
        for done in members:
            for reader in readers[done.network, done.op]:
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    ready[signatures[reader]].append(reader)
    return plan


def _groups(op: Op, shapes: Sequence[Shape]) -> bool:
    """Whether networks may stand side by side in an operator."""
    if op.kind == "linear":
        return len(shapes[0]) == 2
    same_width = len({shape[1] for shape in shapes[: len(op.inputs)]}) == 1
    return op.kind in _LEARNED or (op.kind in _CHANNELWISE and same_width)


def train_together(
    modules: Sequence[WorkloadModule],
    x: Tensor,
    y: Tensor,
    targets: Sequence[Tensor],
    how: ScorePreset,
    at: Sequence[int],
) -> list[Course]:
    """`train_course` of several networks at once, on the device of `x`; a network that diverges troubles no other."""
    started = time.perf_counter()
    together = Lockstep(modules).to(x.device)
    optimiser = optimiser_of(together.parameters(), how)
    diverged = torch.full((len(modules),), -1, device=x.device)
    points: list[list[Point]] = [[] for _ in modules]
    for step in range(at[-1] + 1):
        last = step == at[-1]
        with torch.set_grad_enabled(not last):
            rmis, entropies = _measure(together(x), y, targets)
            losses = how.rmi_weight * (len(targets) - rmis.sum(1)) + (1 - how.rmi_weight) * entropies
        bad = ~torch.isfinite(losses.detach())
        diverged = torch.where((diverged < 0) & bad, step, diverged)
        if step in at:  # the only places where the host waits for the device
            gone, rows, costs = diverged.tolist(), rmis.detach().tolist(), entropies.detach().tolist()
            share = (time.perf_counter() - started) / len(modules)
            for b in range(len(modules)):
                if gone[b] < 0:
                    points[b].append(Point(step, tuple(min(1.0, max(0.0, v)) for v in rows[b]), costs[b], share))
        if not last:
            optimiser.zero_grad()
            losses.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    ends = diverged.tolist()
    return [Course(tuple(p), None if end < 0 else int(end)) for p, end in zip(points, ends, strict=True)]


def _measure(
    answers: Sequence[tuple[Tensor, tuple[Tensor, ...]]], y: Tensor, targets: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """RMIs (networks, stages) in float64 and cross-entropies (networks,)."""
    n = len(y)
    stages = []
    for i, target in enumerate(targets):
        maps = [taps[i].expand(n, *taps[i].shape[1:]).flatten(1) for _, taps in answers]
        if len({m.shape for m in maps}) == 1:
            stages.append((_alignments(torch.stack(maps)) * target).sum((1, 2)))
        else:
            stages.append(torch.cat([(_alignments(m[None]) * target).sum((1, 2)) for m in maps]))
    logits = torch.stack([answer.expand(n, -1) for answer, _ in answers])
    each = functional.cross_entropy(logits.flatten(0, 1), y.repeat(len(answers)), reduction="none")
    return torch.stack(stages, dim=1), each.view(len(answers), n).mean(1)


def _alignments(maps: Tensor) -> Tensor:
    """`torch_alignment` of several features at once: (b, n, p) to (b, n, n)."""
    flat = maps.double()
    centred = flat - flat.mean(1, keepdim=True)
    constant = centred.detach().square().sum((1, 2)) <= CONSTANT_BELOW * flat.detach().square().sum((1, 2))
    kernel = centred @ centred.transpose(1, 2)
    # a constant's norm is replaced before the root, whose gradient at 0 is no number
    squares = torch.where(constant, 1.0, kernel.square().sum((1, 2)))
    return torch.where(constant[:, None, None], 0.0, kernel / squares.sqrt()[:, None, None])
