"""Writing a Workload down: a builder with one method an operator, each returning the tensor it makes."""

from __future__ import annotations

from profiler.workloads.graph import Workload
from profiler.workloads.op import Op, Ref, infer_shapes
from profiler.workloads.ops import AttrValue, Shape

__all__ = ["WorkloadBuilder"]

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _padding(
    padding: int | tuple[int, int] | tuple[int, int, int, int] | None,
    kernel: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, ...]:
    """(top, left, bottom, right); None keeps the size at stride 1, as k // 2 on every side does for odd k."""
    if padding is None:
        half = (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
        return half + half
    if isinstance(padding, int):
        return (padding,) * 4
    return padding if len(padding) == 4 else padding + padding


class WorkloadBuilder:
    """Collects ops and ends in a frozen `Workload`.

        b = WorkloadBuilder("example")
        x = b.input((1, 3, 32, 32))
        x = b.relu(b.batch_norm(b.conv2d(x, 16, kernel=3)))
        workload = b.build(x)

    Every method takes and returns tensor references; shapes are checked when the workload is built.
    """

    def __init__(self, name: str = "", seed: int = 0) -> None:
        self.name = name
        self.seed = seed
        self._ops: list[Op] = []
        self._inputs = 0
        self._shapes: list[tuple[Shape, ...]] = []

    def op(self, kind: str, *inputs: Ref, name: str = "", **attrs: AttrValue) -> Ref:
        """Append an operator of any kind with all its attributes; returns its first output."""
        self._ops.append(Op(kind, inputs, tuple(sorted(attrs.items())), name))
        return (len(self._ops) - 1, 0)

    def append(self, workload: Workload, *inputs: Ref) -> tuple[Ref, ...]:
        """Splice a whole workload in, its graph inputs replaced by `inputs`; returns its outputs."""
        new: dict[Ref, Ref] = {(index, 0): ref for index, ref in zip(workload.inputs, inputs, strict=True)}
        for index in workload.compute_ops:
            op = workload.ops[index]
            at, _ = self.op(op.kind, *(new[r] for r in op.inputs), name=op.name, **dict(op.attrs))
            for port in range(len(workload.shapes[index])):
                new[(index, port)] = (at, port)
        return tuple(new[r] for r in workload.outputs)

    def build(self, *outputs: Ref) -> Workload:
        """Freeze what was collected.

        Raises:
            ConfigError: where shapes or references do not fit.
        """
        return Workload(tuple(self._ops), outputs, self.name, seed=self.seed)

    def input(self, shape: Shape, name: str = "") -> Ref:
        """A graph input, channel-first."""
        self._inputs += 1
        return self.op("input", shape=tuple(shape), position=self._inputs - 1, name=name)

    def conv2d(
        self,
        x: Ref,
        out_channels: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        padding: int | tuple[int, int] | tuple[int, int, int, int] | None = None,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = False,
        name: str = "",
    ) -> Ref:
        """Convolution; padding None keeps the size at stride 1. Four values are (top, left, bottom, right)."""
        k, d = _pair(kernel), _pair(dilation)
        return self.op(
            "conv2d",
            x,
            name=name,
            out_channels=out_channels,
            kernel=k,
            stride=_pair(stride),
            padding=_padding(padding, k, d),
            dilation=d,
            groups=groups,
            bias=bias,
        )

    def linear(self, x: Ref, out_features: int, bias: bool = True, name: str = "") -> Ref:
        """Fully connected layer on (N, F)."""
        return self.op("linear", x, out_features=out_features, bias=bias, name=name)

    def batch_norm(self, x: Ref, eps: float = 1e-5, name: str = "") -> Ref:
        """Batch normalisation with its inference-time statistics."""
        return self.op("batch_norm", x, eps=eps, name=name)

    def relu(self, x: Ref, name: str = "") -> Ref:
        """max(x, 0)."""
        return self.op("relu", x, name=name)

    def relu6(self, x: Ref, name: str = "") -> Ref:
        """min(max(x, 0), 6)."""
        return self.op("relu6", x, name=name)

    def hswish(self, x: Ref, name: str = "") -> Ref:
        """x * relu6(x + 3) / 6."""
        return self.op("hswish", x, name=name)

    def hsigmoid(self, x: Ref, name: str = "") -> Ref:
        """relu6(x + 3) / 6."""
        return self.op("hsigmoid", x, name=name)

    def sigmoid(self, x: Ref, name: str = "") -> Ref:
        """1 / (1 + exp(-x))."""
        return self.op("sigmoid", x, name=name)

    def softmax(self, x: Ref, name: str = "") -> Ref:
        """Softmax over axis 1 of (N, F)."""
        return self.op("softmax", x, name=name)

    def add(self, a: Ref, b: Ref, name: str = "") -> Ref:
        """Sum, with broadcasting of axes of size 1."""
        return self.op("add", a, b, name=name)

    def mul(self, a: Ref, b: Ref, name: str = "") -> Ref:
        """Product, with broadcasting of axes of size 1."""
        return self.op("mul", a, b, name=name)

    def concat(self, *xs: Ref, name: str = "") -> Ref:
        """Join along the channels."""
        return self.op("concat", *xs, name=name)

    def split(self, x: Ref, sizes: tuple[int, ...], name: str = "") -> tuple[Ref, ...]:
        """Cut the channels into consecutive groups; returns one tensor a group."""
        index, _ = self.op("split", x, sizes=tuple(sizes), name=name)
        return tuple((index, port) for port in range(len(sizes)))

    def avg_pool(
        self,
        x: Ref,
        kernel: Pair,
        stride: Pair | None = None,
        padding: int = 0,
        count_include_pad: bool = False,
        name: str = "",
    ) -> Ref:
        """Average pooling; by default padding does not enter the mean (as in NAS-Bench-201)."""
        k = _pair(kernel)
        s = _pair(kernel if stride is None else stride)
        pad = (padding,) * 4
        return self.op("avg_pool", x, kernel=k, stride=s, padding=pad, count_include_pad=count_include_pad, name=name)

    def max_pool(self, x: Ref, kernel: Pair, stride: Pair | None = None, padding: int = 0, name: str = "") -> Ref:
        """Maximum pooling."""
        s = _pair(kernel if stride is None else stride)
        return self.op("max_pool", x, kernel=_pair(kernel), stride=s, padding=(padding,) * 4, name=name)

    def global_avg_pool(self, x: Ref, name: str = "") -> Ref:
        """Mean over H and W; the shape stays (N, C, 1, 1)."""
        return self.op("global_avg_pool", x, name=name)

    def flatten(self, x: Ref, name: str = "") -> Ref:
        """(N, C, H, W) -> (N, C*H*W), in channel-first order."""
        return self.op("flatten", x, name=name)

    def identity(self, x: Ref, name: str = "") -> Ref:
        """The value itself."""
        return self.op("identity", x, name=name)

    def zero(self, x: Ref, name: str = "") -> Ref:
        """Zeros of the shape of x; they do not depend on x.

        Raises:
            ConfigError: where the ops so far do not fit together, since the shape of x is needed now.
        """
        return self.op("zero", shape=self._shape(x), name=name)

    def _shape(self, ref: Ref) -> Shape:
        for index in range(len(self._shapes), len(self._ops)):
            self._shapes.append(infer_shapes(self._ops[index], index, self._shapes))
        return self._shapes[ref[0]][ref[1]]
