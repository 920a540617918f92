"""A MixConv or MBConv network as data: what a search finds, what scaling and post-processing change, and its Workload.

One YAML file, readable by people:

    supernet: graded
    resolution: 224
    num_classes: 1000
    activation: relu
    stem: {filters: 32, kernel: 7, stride: 2}
    stages:
      - {filters: 32, stride: 2, blocks: ["k3,5 e2,2", "k3 e6", "k3 e6 se"]}
    head: {filters: 1280}

A block [V]: 1x1 convolution from Cin to Cin * sum(e), BN, activation; split; a depthwise convolution a kernel, BN,
activation; concatenated; optionally squeeze-and-excitation (reduction 0.25 of the block's input filters, ReLU inside,
sigmoid gate); 1x1 convolution to Cout, BN; the input added where stride is 1 and Cin = Cout. Batch norm and activation
of the depthwise part are written before the concatenation, branch by branch: they work channel by channel, so this
is the same function as behind it, and runtimes can fold them into the convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from search.spaces.blocks import Activation, Block, Network, Stage, without_se
from search.spaces.network_files import network_of_text, parse_network, read_network, write_network
from search.spaces.superblocks import Kernels
from search.spaces.supernet import Stem

__all__ = [
    "BN_EPS",
    "Activation",
    "Block",
    "BlockPlace",
    "Network",
    "Places",
    "Stage",
    "assemble",
    "block_workload",
    "head_workload",
    "network_of_text",
    "network_workload",
    "parse_network",
    "parts_of",
    "places_of",
    "read_network",
    "stem_workload",
    "without_se",
    "write_network",
]

BN_EPS = 1e-3
SE_REDUCTION = 0.25


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A block where it stands: everything that its cost depends on."""

    in_channels: int
    out_channels: int
    size: int
    stride: int
    block: Block
    activation: Activation = "relu"

    @property
    def residual(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels

    @property
    def workload(self) -> Workload:
        """The block alone."""
        return block_workload(
            self.in_channels, self.out_channels, self.size, self.stride, self.block.kernels, self.block.se,
            self.activation,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where in a network's Workload its parts are.

    Attributes:
        blocks: for every block its part of the ops (first, past the last).
        outputs: the output of every block.
        depthwise: for every block the indices of its depthwise convolutions, in the order of its kernels.
        gates: for every block its sigmoid op (squeeze-and-excitation), or None.
        additions: for every block the op that adds the input, or None; its first input is the block's body.
        features: the last activation before pooling.
        classifier: the linear op.
    """

    blocks: tuple[tuple[int, int], ...]
    outputs: tuple[Ref, ...]
    depthwise: tuple[tuple[int, ...], ...]
    gates: tuple[int | None, ...]
    additions: tuple[int | None, ...]
    features: Ref
    classifier: int


def places_of(network: Network) -> tuple[BlockPlace, ...]:
    """Every block with its surroundings, in order."""
    found: list[BlockPlace] = []
    channels, size = network.stem.filters, _down(network.resolution, network.stem.stride)
    for stage in network.stages:
        for index, block in enumerate(stage.blocks):
            stride = stage.stride if index == 0 else 1
            found.append(BlockPlace(channels, stage.filters, size, stride, block, network.activation))
            channels, size = stage.filters, _down(size, stride)
    return tuple(found)


def network_workload(network: Network) -> Workload:
    """The whole network for one image (1, 3, resolution, resolution), logits as output."""
    return assemble(network)[0]


def assemble(network: Network) -> tuple[Workload, Places]:
    """The whole network, and where its parts are."""
    b = WorkloadBuilder(network.text)
    writer = _Writer(b, network.activation)
    x = writer.stem(b.input((1, 3, network.resolution, network.resolution)), network.stem)
    for place in places_of(network):
        x = writer.block(x, place)
    features, logits = writer.head(x, network.head.filters, network.num_classes)
    places = Places(
        tuple(writer.spans), tuple(writer.outputs), tuple(writer.depthwise), tuple(writer.gates),
        tuple(writer.additions), features, logits[0],
    )  # fmt: skip
    return b.build(logits), places


def block_workload(
    in_channels: int,
    out_channels: int,
    size: int,
    stride: int,
    kernels: Kernels,
    se: bool = False,
    activation: Activation = "relu",
) -> Workload:
    """One block alone, on an input (1, in_channels, size, size).

    Raises:
        ConfigError: for a skipped block, which is no workload.
    """
    block = Block(kernels, se)
    if not kernels:
        raise ConfigError("a skipped block computes nothing, so there is nothing to measure")
    shape = f"{in_channels}x{size}x{size} -> {out_channels}"
    b = WorkloadBuilder(f"block {block.text} {shape}{' /' + str(stride) if stride > 1 else ''} {activation}")
    writer = _Writer(b, activation)
    x = b.input((1, in_channels, size, size))
    return b.build(writer.block(x, BlockPlace(in_channels, out_channels, size, stride, block, activation)))


def stem_workload(network: Network) -> Workload:
    """The stem alone."""
    b = WorkloadBuilder(f"stem {network.stem.filters} {network.resolution}x{network.resolution} {network.activation}")
    x = b.input((1, 3, network.resolution, network.resolution))
    return b.build(_Writer(b, network.activation).stem(x, network.stem))


def head_workload(network: Network) -> Workload:
    """Everything behind the last block alone."""
    last = places_of(network)[-1]
    size = _down(last.size, last.stride)
    b = WorkloadBuilder(
        f"head {last.out_channels}x{size}x{size} -> {network.head.filters} -> {network.num_classes} "
        f"{network.activation}"
    )
    x = b.input((1, last.out_channels, size, size))
    _, logits = _Writer(b, network.activation).head(x, network.head.filters, network.num_classes)
    return b.build(logits)


def parts_of(network: Network) -> tuple[Workload, ...]:
    """The network in parts, in order: stem, every block, head. Together they hold all its operators, each once."""
    blocks = (place.workload for place in places_of(network))
    return (stem_workload(network), *blocks, head_workload(network))


def _down(size: int, stride: int) -> int:
    """What is left of a size by a convolution that keeps it at stride 1."""
    return -(-size // stride)


class _Writer:
    """Writes the parts of a network into a builder and remembers where they are."""

    def __init__(self, b: WorkloadBuilder, activation: Activation) -> None:
        self.b, self.activation = b, activation
        self.spans: list[tuple[int, int]] = []
        self.outputs: list[Ref] = []
        self.depthwise: list[tuple[int, ...]] = []
        self.gates: list[int | None] = []
        self.additions: list[int | None] = []

    def stem(self, x: Ref, stem: Stem) -> Ref:
        return self._act(self._norm(self.b.conv2d(x, stem.filters, stem.kernel, stem.stride)))

    def head(self, x: Ref, filters: int, num_classes: int) -> tuple[Ref, Ref]:
        features = self._act(self._norm(self.b.conv2d(x, filters)))
        return features, self.b.linear(self.b.flatten(self.b.global_avg_pool(features)), num_classes)

    def block(self, x: Ref, place: BlockPlace) -> Ref:
        b, kernels, cin = self.b, place.block.kernels, place.in_channels
        wide = self._act(self._norm(b.conv2d(x, cin * sum(e for _, e in kernels))))
        first = wide[0] - 2
        widths = tuple(cin * e for _, e in kernels)
        parts = b.split(wide, widths) if len(kernels) > 1 else (wide,)
        convs = []
        outs = []
        for part, width, (kernel, _) in zip(parts, widths, kernels, strict=True):
            conv = b.conv2d(part, width, kernel, place.stride, groups=width)
            convs.append(conv[0])
            outs.append(self._act(self._norm(conv)))
        y = b.concat(*outs) if len(outs) > 1 else outs[0]
        gate = None
        if place.block.se:
            y, gate = self._excite(y, max(1, int(cin * SE_REDUCTION)), sum(widths))
        y = self._norm(b.conv2d(y, place.out_channels))
        addition = None
        if place.residual:
            y = b.add(y, x)
            addition = y[0]
        self.spans.append((first, y[0] + 1))
        self.outputs.append(y)
        self.depthwise.append(tuple(convs))
        self.gates.append(gate)
        self.additions.append(addition)
        return y

    def _excite(self, y: Ref, narrow: int, wide: int) -> tuple[Ref, int]:
        b = self.b
        inner = b.relu(b.conv2d(b.global_avg_pool(y), narrow, bias=True))
        gate = b.sigmoid(b.conv2d(inner, wide, bias=True))
        return b.mul(y, gate), gate[0]

    def _norm(self, x: Ref) -> Ref:
        return self.b.batch_norm(x, eps=BN_EPS)

    def _act(self, x: Ref) -> Ref:
        return self.b.relu(x) if self.activation == "relu" else self.b.hswish(x)
