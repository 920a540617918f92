"""NAS-Bench-201 (Dong and Yang, ICLR 2020) as Workloads: 6 edges x 5 operators, 15,625 architectures.

A cell has 4 nodes; node j is the sum over i < j of an operator applied to node i. Fifteen cells of one shape stand
in three stages of widths C, 2C, 4C (`cells_per_stage` each) behind a 3x3 stem, with a residual reduction block
before the second and third stage, and BN-ReLU, global average pooling and a linear classifier at the end.

What is counted, against the published table: `Workload.params` equals its parameters exactly (convolutions, both
trained vectors of every batch norm, the classifier with its bias). `Workload.macs` counts the multiply-adds of
convolutions and of the classifier, also of those that never reach the output, and nothing for batch norm, pooling,
additions or biases; the published count is larger by one and the same constant for every architecture, see
`published_multiply_adds`.
"""

from __future__ import annotations

import re
from functools import cached_property

from profiler.errors import ConfigError
from profiler.workloads.graph import Op, Ref, Workload
from profiler.workloads.ops import AttrValue, Shape
from profiler.workloads.transform import drop_noops
from search.spaces.base import Architecture, SearchSpace, Taps

__all__ = ["NB201_OPS", "NasBench201", "published_multiply_adds"]

NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Operator names by choice, in the order in which the benchmark lists them."""

_NONE, _SKIP, _CONV1, _CONV3, _POOL = range(5)
_SOURCES = (0, 0, 1, 0, 1, 2)
"""The node each edge reads; edges 0 | 1 2 | 3 4 5 end in nodes 1, 2, 3."""
_NODE_EDGES = ((0,), (1, 2), (3, 4, 5))
_ARCH_STR = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")

Attrs = tuple[tuple[str, AttrValue], ...]


def published_multiply_adds(workload: Workload) -> float:
    """The count that the NAS-Bench-201 table publishes for a network: its MACs plus 10 per 32 x 32 input pixels.

    The table's figure exceeds the multiply-adds of convolutions and classifier by 10 on CIFAR-10 and CIFAR-100 and
    by 2.5 on ImageNet16-120, for all of its architectures and whatever the number of classes. It is a constant of
    its counter (it is not the classifier's bias, which differs between the data sets), without effect on any
    ranking.
    """
    _, _, height, width = workload.shapes[workload.inputs[0]][0]
    return workload.macs + 10 * height * width / 1024


class NasBench201(SearchSpace):
    """The space, with its macro network.

    Macro parameters of `workload`, `taps` and `assemble`: `cells_per_stage` (N, 5), `channels` (C, 16),
    `num_classes` (10), `image_size` (32).

    How a cell is written down: "skip_connect" is the value itself and no operator; "none" is left out of its sum,
    and a node whose edges are all "none" is one constant `zero`. A convolution edge is ReLU-conv-BN; where
    several of them read one tensor they share one ReLU, which computes the same with fewer operators than the
    benchmark's own code runs. Operators that do not reach the output are kept: what drops them is the runtime, not
    the space.
    """

    name = "nasbench201"
    n_edges = 6
    n_ops = 5

    def parse(self, text: str) -> Architecture:
        """Read an architecture string such as "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|".

        Raises:
            ConfigError: where the text is not of this form or names an unknown operator.
        """
        match = _ARCH_STR.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"not a NAS-Bench-201 architecture string: {text[:200]!r}")
        unknown = [op for op in match.groups() if op not in NB201_OPS]
        if unknown:
            raise ConfigError(f"unknown operator {unknown[0]!r} in {text[:200]!r}; known are {', '.join(NB201_OPS)}")
        return Architecture(self.name, tuple(NB201_OPS.index(op) for op in match.groups()))

    def describe(self, arch: Architecture) -> str:
        """The architecture string of the benchmark."""
        ops = [f"{NB201_OPS[c]}~{_SOURCES[e]}" for e, c in enumerate(arch.choices)]
        return "+".join("|" + "|".join(ops[e] for e in edges) + "|" for edges in _NODE_EDGES)

    def canonical(self, arch: Architecture) -> str:
        """The class of architectures that are the same function: 6,466 of them, named as the benchmark names them.

        Every node is written as the sorted sum of what reaches it; "skip_connect" passes a node's own text on, and
        "#" stands for nothing. As in the benchmark a convolution of nothing stays distinct from nothing, for its
        batch norm may learn a constant.
        """
        nodes = ["0"]
        for edges in _NODE_EDGES:
            terms: list[str] = []
            for edge in edges:
                choice, source = arch.choices[edge], nodes[_SOURCES[edge]]
                if choice == _NONE or source == "#":
                    terms.append("#")
                elif choice == _SKIP:
                    terms.append(source)
                else:
                    terms.append(f"({source})@{NB201_OPS[choice]}")
            nodes.append("+".join(sorted(terms)))
        return nodes[3]

    def representative(self, arch: Architecture) -> Architecture:
        """The first architecture of `all()` in the same isomorphism class."""
        return self._representatives[self.canonical(arch)]

    @cached_property
    def _representatives(self) -> dict[str, Architecture]:
        first: dict[str, Architecture] = {}
        for arch in self.all():
            first.setdefault(self.canonical(arch), arch)
        return first

    def essential(self, arch: Architecture) -> Architecture:
        """With "none" on every edge that nothing of the input reaches, or that leads nowhere.

        A convolution of nothing is left out too, though its batch norm may learn a constant.
        """
        self.check(arch)
        while True:
            # the representative of what is left may again hold edges that carry nothing
            found = self.representative(self._trimmed(arch))
            if found == arch:
                return found
            arch = found

    def _trimmed(self, arch: Architecture) -> Architecture:
        ahead, back = [True, False, False, False], [False, False, False, True]
        for node in (1, 2, 3):
            edges = _NODE_EDGES[node - 1]
            ahead[node] = any(ahead[_SOURCES[e]] and arch.choices[e] != _NONE for e in edges)
        for node in (3, 2, 1):
            for edge in _NODE_EDGES[node - 1]:
                back[_SOURCES[edge]] |= back[node] and arch.choices[edge] != _NONE
        kept = list(arch.choices)
        for node in (1, 2, 3):
            for edge in _NODE_EDGES[node - 1]:
                if not (ahead[_SOURCES[edge]] and back[node]):
                    kept[edge] = _NONE
        return Architecture(self.name, tuple(kept))

    @property
    def edge_groups(self) -> tuple[int, ...]:
        """All edges of a cell are alike."""
        return (0,) * self.n_edges

    def compact(self, arch: Architecture) -> Workload:
        """Two cells a stage: the first and all others."""
        return self.workload(arch, cells_per_stage=2)

    def lean_cell(self, arch: Architecture) -> Workload:
        """One cell without what nothing reads and what adds nothing: architectures of equal ones make networks of the
        very same operators in the same order, 9,418 of them, so that whatever a runtime makes of one it makes of all.

        `canonical` says less: isomorphic architectures compute the same function, but may compute a value twice or
        add up in another order, which decides what is fused.
        """
        self.check(arch)
        cell, shape = _Writer(), (1, 16, 32, 32)
        x = cell.put("input", (), (("position", 0), ("shape", shape)))
        out = cell.cell(x, arch.choices, shape)
        return drop_noops(Workload(tuple(cell.ops), (out,)))[0]

    def connected(self, arch: Architecture) -> bool:
        """Whether anything of the cell's input reaches its output."""
        reached = [True]
        for edges in _NODE_EDGES:
            reached.append(any(reached[_SOURCES[e]] and arch.choices[e] != _NONE for e in edges))
        return reached[3]

    def workload(
        self,
        arch: Architecture,
        cells_per_stage: int = 5,
        channels: int = 16,
        num_classes: int = 10,
        image_size: int = 32,
        **unknown: int,
    ) -> Workload:
        """The network of an architecture for one image (1, 3, image_size, image_size); see the class."""
        return self.assemble(arch, cells_per_stage, channels, num_classes, image_size, **unknown)[0]

    def assemble(
        self,
        arch: Architecture,
        cells_per_stage: int = 5,
        channels: int = 16,
        num_classes: int = 10,
        image_size: int = 32,
        **unknown: int,
    ) -> tuple[Workload, Taps]:
        """The network and its taps; see the class for the macro parameters."""
        self.check(arch)
        if unknown:
            raise ConfigError(
                f"{self.name} has no macro parameter {sorted(unknown)[0]!r}; "
                "it knows cells_per_stage, channels, num_classes, image_size"
            )
        if cells_per_stage < 1 or channels < 1 or num_classes < 1 or image_size < 4 or image_size % 4:
            raise ConfigError(
                f"{self.name} needs at least one cell, channel and class and an image size that is a multiple of 4, "
                f"not cells_per_stage={cells_per_stage}, channels={channels}, num_classes={num_classes}, "
                f"image_size={image_size}"
            )
        net = _Writer()
        x = net.put("input", (), (("position", 0), ("shape", (1, 3, image_size, image_size))))
        x = net.norm(net.conv(x, channels, 3))
        taps: list[Ref] = []
        for stage in range(3):
            width = channels << stage
            if stage:
                x = net.reduction(x, width)
            for _ in range(cells_per_stage):
                x = net.cell(x, arch.choices, (1, width, image_size >> stage, image_size >> stage))
            taps.append(x)
        x = net.relu(net.norm(x))
        taps[2] = x
        x = net.put("flatten", (net.put("global_avg_pool", (x,)),))
        x = net.put("linear", (x,), (("bias", True), ("out_features", num_classes)))
        return Workload(tuple(net.ops), (x,), f"{self.name} {self.describe(arch)}"), tuple(taps)

    def repeat_law(self, cells_per_stage: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """How anything that is additive over kernels extrapolates to N cells a stage: ((2, w2), (3, w3)) with
        value(N) = w2 * value(2) + w3 * value(3).

        From the second cell of a stage on every further one adds the same operators in the same surroundings, so
        counts of operators, MACs, parameters and sums of table rows are exactly linear in N for N >= 2, also after
        dead operators are dropped and for architectures whose output is not connected to their input.
        """
        if cells_per_stage < 2:
            raise ConfigError(f"the law holds from 2 cells a stage on, not for {cells_per_stage}")
        return ((2, 3 - cells_per_stage), (3, cells_per_stage - 2))


class _Writer:
    """Appends ops directly: a population of 15,625 networks is built, so the attribute tuples are shared."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._relus: dict[Ref, Ref] = {}

    def put(self, kind: str, inputs: tuple[Ref, ...], attrs: Attrs = ()) -> Ref:
        self.ops.append(Op(kind, inputs, attrs))
        return (len(self.ops) - 1, 0)

    def conv(self, x: Ref, channels: int, kernel: int, stride: int = 1) -> Ref:
        return self.put("conv2d", (x,), _conv_attrs(channels, kernel, stride))

    def norm(self, x: Ref) -> Ref:
        return self.put("batch_norm", (x,), _NORM)

    def relu(self, x: Ref) -> Ref:
        """ReLU of a tensor, made once for all that read it."""
        found = self._relus.get(x)
        if found is None:
            found = self._relus[x] = self.put("relu", (x,))
        return found

    def cell(self, x: Ref, choices: tuple[int, ...], shape: Shape) -> Ref:
        nodes = [x]
        for edges in _NODE_EDGES:
            terms: list[Ref] = []
            for edge in edges:
                source, choice = nodes[_SOURCES[edge]], choices[edge]
                if choice == _SKIP:
                    terms.append(source)
                elif choice == _POOL:
                    terms.append(self.put("avg_pool", (source,), _POOL_ATTRS))
                elif choice != _NONE:
                    terms.append(self.norm(self.conv(self.relu(source), shape[1], 1 if choice == _CONV1 else 3)))
            total = terms[0] if terms else self.put("zero", (), (("shape", shape),))
            for term in terms[1:]:
                total = self.put("add", (total, term))
            nodes.append(total)
        return nodes[3]

    def reduction(self, x: Ref, channels: int) -> Ref:
        """The benchmark's residual block of stride 2, its shortcut a 2x2 average pooling and a 1x1 convolution."""
        body = self.norm(self.conv(self.relu(x), channels, 3, stride=2))
        body = self.norm(self.conv(self.relu(body), channels, 3))
        return self.put("add", (self.conv(self.put("avg_pool", (x,), _HALVE), channels, 1), body))


_NORM: Attrs = (("eps", 1e-5),)


def _pool_attrs(kernel: int, stride: int, pad: int) -> Attrs:
    return (
        ("count_include_pad", False),
        ("kernel", (kernel, kernel)),
        ("padding", (pad,) * 4),
        ("stride", (stride, stride)),
    )


_POOL_ATTRS = _pool_attrs(3, 1, 1)
_HALVE = _pool_attrs(2, 2, 0)


def _conv_attrs(channels: int, kernel: int, stride: int) -> Attrs:
    return (
        ("bias", False),
        ("dilation", (1, 1)),
        ("groups", 1),
        ("kernel", (kernel, kernel)),
        ("out_channels", channels),
        ("padding", (kernel // 2,) * 4),
        ("stride", (stride, stride)),
    )
