"""Workloads that tests share: one of every operator, blocks, and whole networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.ops import AttrValue

NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Edge operations of NAS-Bench-201, in its own order."""

MIXED_CELL = (3, 2, 4, 0, 1, 3)
"""One operation an edge, (0->1, 0->2, 1->2, 0->3, 1->3, 2->3): every operation is there, and none is dead."""


def operators() -> dict[str, Workload]:
    """One workload for every operator kind and for the forms of it that lowerings treat apart."""
    made: dict[str, Workload] = {}

    def image(name: str, make: Callable[[WorkloadBuilder, Ref], Ref], shape: tuple[int, ...] = (1, 8, 12, 12)) -> None:
        b = WorkloadBuilder(name)
        made[name] = b.build(make(b, b.input(shape)))

    for form, options in _CONVS.items():
        image(f"conv {form}", lambda b, x, options=options: b.conv2d(x, **options))  # type: ignore[misc]
    image("batch_norm", lambda b, x: b.batch_norm(x))
    image("conv batch_norm", lambda b, x: b.batch_norm(b.conv2d(x, 16, 3)))
    for kind in ("relu", "relu6", "hswish", "hsigmoid", "sigmoid", "identity"):
        image(kind, lambda b, x, kind=kind: getattr(b, kind)(x))  # type: ignore[misc]
        image(f"conv {kind}", lambda b, x, kind=kind: getattr(b, kind)(b.conv2d(x, 8, 3, bias=True)))  # type: ignore[misc]
    image("softmax", lambda b, x: b.softmax(b.flatten(b.global_avg_pool(x))))
    image("add", lambda b, x: b.add(x, b.relu(x)))
    image("add broadcast", lambda b, x: b.add(x, b.global_avg_pool(x)))
    image("mul", lambda b, x: b.mul(x, b.sigmoid(x)))
    image("mul broadcast", lambda b, x: b.mul(x, b.sigmoid(b.global_avg_pool(x))))
    image("concat", lambda b, x: b.concat(x, b.relu(x), b.conv2d(x, 4)))
    image("split", lambda b, x: b.concat(*reversed(b.split(x, (2, 1, 5)))))
    image("avg_pool", lambda b, x: b.avg_pool(x, 3, stride=1, padding=1))
    image("avg_pool padded", lambda b, x: b.avg_pool(x, 3, stride=2, padding=1, count_include_pad=True))
    image("avg_pool stride", lambda b, x: b.avg_pool(x, 2))
    image("avg_pool odd", lambda b, x: b.avg_pool(x, 3, stride=2), (1, 8, 11, 14))
    image("max_pool", lambda b, x: b.max_pool(x, 3, stride=2, padding=1))
    image("max_pool plain", lambda b, x: b.max_pool(x, 2))
    image("global_avg_pool", lambda b, x: b.global_avg_pool(x))
    image("flatten", lambda b, x: b.flatten(x), (2, 4, 3, 5))
    image("linear", lambda b, x: b.linear(b.flatten(x), 10), (2, 4, 3, 5))
    image("linear vector", lambda b, x: b.linear(x, 10, bias=False), (1, 32))
    image("linear batch_norm", lambda b, x: b.relu(b.batch_norm(b.linear(x, 24))), (2, 32))
    image("zero", lambda b, x: b.zero(x))
    image("zero add", lambda b, x: b.add(b.conv2d(x, 8), b.zero(x)))
    image("zero concat", lambda b, x: b.concat(b.relu(x), b.zero(x)))
    b = WorkloadBuilder("several inputs and outputs")
    first, second = b.input((1, 8, 12, 12)), b.input((1, 8, 1, 1))
    total = b.add(b.conv2d(first, 8, 3), second)
    made[b.name] = b.build(b.relu(total), b.global_avg_pool(b.mul(first, second)), total)
    return made


def tensor_operators() -> dict[str, Workload]:
    """The same of the kinds that take tensors of any rank; full int8 has kernels for some of them only."""
    made: dict[str, Workload] = {}

    def sample(name: str, shape: tuple[int, ...], *kinds: tuple[str, dict[str, AttrValue]]) -> None:
        b = WorkloadBuilder(name)
        x = b.input(shape)
        for kind, attrs in kinds:
            x = b.op(kind, x, **attrs)
        made[name] = b.build(x)

    for shape in (_TOKENS, _IMAGE):
        at = f"{len(shape)} axes"
        for kind in ("gelu", "tanh", "exp", "elu"):
            sample(f"{kind}, {at}", shape, (kind, {}))
        sample(f"gelu by tanh, {at}", shape, ("gelu", {"approximate": "tanh"}))
        sample(f"sqrt, {at}", shape, ("sigmoid", {}), ("sqrt", {}))
        sample(f"leaky_relu, {at}", shape, ("leaky_relu", {"slope": 0.1}))
        sample(f"clip, {at}", shape, ("clip", {"low": -0.5, "high": 0.25}))
        sample(f"clip below, {at}", shape, ("clip", {"low": -0.5}))
        sample(f"layer_norm, {at}", shape, ("layer_norm", {"eps": 1e-5}))
        sample(f"layer_norm of two axes, {at}", shape, ("layer_norm", {"eps": 1e-5, "axis": len(shape) - 2}))
        sample(f"mean, {at}", shape, ("mean", {"axes": (1,)}))
        sample(f"slice, {at}", shape, ("slice", {"axis": 2, "start": 1, "end": 6, "step": 2}))
        sample(f"gather, {at}", shape, ("gather", {"axis": 1, "indices": (2, 0, 0)}))
        sample(f"gather of one, {at}", shape, ("gather", {"axis": 1, "indices": (2,), "squeeze": True}))
        sample(f"pad, {at}", shape, ("pad", {"pads": (0, 1, 2, 0)[: len(shape)] + (0, 0, 1, 3)[: len(shape)]}))
        sample(f"softmax, {at}", shape, ("softmax", {"axis": len(shape) - 1}))
        sample(f"linear, {at}", shape, ("linear", {"out_features": 5, "bias": True}))
        sample(f"linear without bias, {at}", shape, ("linear", {"out_features": 5, "bias": False}))
        for kind in ("sub", "div"):
            b = WorkloadBuilder(f"{kind}, {at}")
            x = b.input(shape)
            made[b.name] = b.build(b.op(kind, x, b.op("constant", shape=(1, shape[1], *(1,) * (len(shape) - 2)))))
        b = WorkloadBuilder(f"concat and split, {at}")
        x = b.input(shape)
        first = b.op("split", x, sizes=(2, shape[2] - 2), axis=2)
        made[b.name] = b.build(b.op("concat", (first[0], 1), b.relu(first), axis=2))
    sample("erf", _TOKENS, ("erf", {}))
    sample("reshape of an image", _IMAGE, ("reshape", {"shape": (1, 4, 64)}), ("reshape", {"shape": (1, 2, 16, 8)}))
    sample("transpose of tokens", _TOKENS, ("transpose", {"perm": (0, 2, 1)}))
    sample("an image with channels last", _IMAGE, ("transpose", {"perm": (0, 2, 3, 1)}), ("layer_norm", {"eps": 1e-5}),
           ("transpose", {"perm": (0, 3, 1, 2)}))  # fmt: skip
    sample("an image turned", _IMAGE, ("transpose", {"perm": (0, 1, 3, 2)}), ("relu", {}))
    for mode in ("nearest", "linear"):
        sample(f"resize {mode}", _IMAGE, ("resize", {"size": (16, 24), "mode": mode}))
    sample("resize corners", _IMAGE, ("resize", {"size": (11, 13), "mode": "linear", "align_corners": True}))
    b = WorkloadBuilder("matmul")
    x = b.op("reshape", b.input((1, 6, 24)), shape=(1, 6, 3, 8))
    query, key = b.op("transpose", x, perm=(0, 2, 1, 3)), b.op("transpose", x, perm=(0, 2, 3, 1))
    weights = b.op("softmax", b.op("matmul", query, key), axis=3)
    mixed = b.op("transpose", b.op("matmul", weights, query), perm=(0, 2, 1, 3))
    made[b.name] = b.build(b.op("reshape", mixed, shape=(1, 6, 24)))
    return made


_TOKENS, _IMAGE = (2, 6, 8), (1, 4, 8, 8)

_CONVS: dict[str, dict[str, object]] = {
    "3x3": {"out_channels": 16, "kernel": 3},
    "3x3 bias": {"out_channels": 16, "kernel": 3, "bias": True},
    "1x1": {"out_channels": 24, "kernel": 1},
    "3x3 stride 2": {"out_channels": 16, "kernel": 3, "stride": 2},
    "5x3 uneven": {"out_channels": 4, "kernel": (5, 3), "stride": (1, 2), "padding": (2, 0, 1, 2)},
    "3x3 valid": {"out_channels": 8, "kernel": 3, "padding": 0},
    "3x3 dilated": {"out_channels": 8, "kernel": 3, "dilation": 2},
    "3x3 grouped": {"out_channels": 16, "kernel": 3, "groups": 2},
    "3x3 depthwise": {"out_channels": 8, "kernel": 3, "groups": 8},
    "5x5 depthwise stride 2": {"out_channels": 8, "kernel": 5, "groups": 8, "stride": 2, "bias": True},
    "3x3 depthwise multiplier": {"out_channels": 16, "kernel": 3, "groups": 8},
}


def _conv_bn(b: WorkloadBuilder, x: Ref, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Ref:
    return b.batch_norm(b.conv2d(x, channels, kernel, stride, groups=groups))


def _inverted(
    b: WorkloadBuilder, x: Ref, channels: int, out: int, expand: int, kernel: int = 3, stride: int = 1
) -> Ref:
    """MobileNetV2's inverted residual."""
    y = x
    if expand > 1:
        y = b.relu6(_conv_bn(b, y, channels * expand))
    y = b.relu6(_conv_bn(b, y, channels * expand, kernel, stride, groups=channels * expand))
    y = _conv_bn(b, y, out)
    return b.add(x, y) if stride == 1 and channels == out else y


def mbconv(channels: int = 16, size: int = 14) -> Workload:
    """Inverted residual with squeeze-and-excitation and h-swish, as in MobileNetV3."""
    b = WorkloadBuilder("mbconv")
    x = b.input((1, channels, size, size))
    wide = channels * 4
    y = b.hswish(_conv_bn(b, x, wide))
    y = b.hswish(_conv_bn(b, y, wide, 5, groups=wide))
    gate = b.relu(b.conv2d(b.global_avg_pool(y), channels, bias=True))
    y = b.mul(y, b.hsigmoid(b.conv2d(gate, wide, bias=True)))
    return b.build(b.add(x, _conv_bn(b, y, channels)))


def mixconv(channels: int = 32, size: int = 14) -> Workload:
    """Channels split over depthwise kernels of two sizes and joined again."""
    b = WorkloadBuilder("mixconv")
    x = b.input((1, channels, size, size))
    half = channels // 2
    first, second = b.split(x, (half, half))
    mixed = b.concat(b.conv2d(first, half, 3, groups=half), b.conv2d(second, half, 5, groups=half))
    return b.build(_conv_bn(b, b.relu(b.batch_norm(mixed)), channels))


def _edge(b: WorkloadBuilder, operation: str, x: Ref, rectified: Callable[[Ref], Ref], channels: int) -> Ref:
    if operation == "none":
        return b.zero(x)
    if operation == "skip_connect":
        return b.identity(x)
    if operation == "avg_pool_3x3":
        return b.avg_pool(x, 3, stride=1, padding=1)
    return _conv_bn(b, rectified(x), channels, 1 if operation == "nor_conv_1x1" else 3)


def _cell(b: WorkloadBuilder, x: Ref, choices: Sequence[int], channels: int) -> Ref:
    nodes, made = [x], iter(choices)
    relus: dict[Ref, Ref] = {}

    def rectified(ref: Ref) -> Ref:
        if ref not in relus:
            relus[ref] = b.relu(ref)
        return relus[ref]

    for node in (1, 2, 3):
        arriving = [_edge(b, NB201_OPS[next(made)], nodes[source], rectified, channels) for source in range(node)]
        total = arriving[0]
        for other in arriving[1:]:
            total = b.add(total, other)
        nodes.append(total)
    return nodes[3]


def nb201_cell(choices: Sequence[int] = MIXED_CELL, channels: int = 16, size: int = 16) -> Workload:
    """One cell of NAS-Bench-201; `choices` index `NB201_OPS` in the order of `MIXED_CELL`."""
    b = WorkloadBuilder("nb201-cell")
    x = b.input((1, channels, size, size))
    return b.build(_cell(b, x, choices, channels))


def nb201_net(choices: Sequence[int] = MIXED_CELL, channels: int = 16, cells: int = 5, size: int = 32) -> Workload:
    """A whole NAS-Bench-201 network: stem, three stages of cells with residual blocks between, head."""
    b = WorkloadBuilder("nb201-net")
    x = _conv_bn(b, b.input((1, 3, size, size)), channels, 3)
    for stage in range(3):
        width = channels << stage
        if stage:
            y = _conv_bn(b, b.relu(x), width, 3, stride=2)
            y = _conv_bn(b, b.relu(y), width, 3)
            x = b.add(b.conv2d(b.avg_pool(x, 2), width), y)
        for _ in range(cells):
            x = _cell(b, x, choices, width)
    x = b.flatten(b.global_avg_pool(b.relu(b.batch_norm(x))))
    return b.build(b.linear(x, 10))


def mobilenet_v2(size: int = 64) -> Workload:
    """A net in the manner of MobileNetV2, at half width and a third of its depth."""
    b = WorkloadBuilder("mobilenet-v2-like")
    x = b.relu6(_conv_bn(b, b.input((1, 3, size, size)), 16, 3, stride=2))
    channels = 16
    for expand, out, stride in ((1, 8, 1), (6, 16, 2), (6, 16, 1), (6, 32, 2), (6, 32, 1), (6, 48, 1), (6, 80, 2)):
        x = _inverted(b, x, channels, out, expand, stride=stride)
        channels = out
    x = b.relu6(_conv_bn(b, x, 320))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 100))


def mixconv_block(
    kernels: Sequence[tuple[int, int]] = ((3, 2), (5, 2)),
    channels: int = 8,
    out: int = 8,
    size: int = 8,
    stride: int = 1,
    se: bool = False,
    activation: str = "relu",
) -> Workload:
    """A block of the S3NAS space: expanded, split over depthwise (kernel, expansion), joined, projected, added."""
    b = WorkloadBuilder(f"block {kernels} {channels}x{size}x{size} -> {out} /{stride} {'se ' * se}{activation}")
    act = b.relu if activation == "relu" else b.hswish
    x = b.input((1, channels, size, size))
    widths = tuple(channels * expansion for _, expansion in kernels)
    wide = act(_conv_bn(b, x, sum(widths)))
    parts = b.split(wide, widths) if len(widths) > 1 else (wide,)
    outs = [
        act(_conv_bn(b, part, width, kernel, stride, groups=width))
        for part, width, (kernel, _) in zip(parts, widths, kernels, strict=True)
    ]
    y = b.concat(*outs) if len(outs) > 1 else outs[0]
    if se:
        narrow = b.relu(b.conv2d(b.global_avg_pool(y), max(1, channels // 4), bias=True))
        y = b.mul(y, b.sigmoid(b.conv2d(narrow, sum(widths), bias=True)))
    y = _conv_bn(b, y, out)
    return b.build(b.add(y, x) if stride == 1 and channels == out else y)


def network_parts() -> dict[str, Workload]:
    """Parts of networks of the S3NAS space as they are measured: blocks of every form, a stem and a head."""
    made = {
        "mixconv residual": mixconv_block(),
        "mixconv uneven": mixconv_block(((3, 4), (5, 2)), size=9),
        "mixconv stride 2": mixconv_block(((3, 2), (5, 2), (7, 2)), out=16, stride=2),
        "mixconv uneven stride 2": mixconv_block(((3, 4), (7, 2)), out=12, size=7, stride=2),
        "mixconv se hswish": mixconv_block(((5, 4), (7, 2)), channels=16, out=16, se=True, activation="hswish"),
        "mixconv wide kernel": mixconv_block(((7, 6),), out=12, size=4),
        "mbconv stride 2 se": mixconv_block(((5, 4),), out=16, stride=2, se=True),
        "mbconv hswish": mixconv_block(((3, 6),), activation="hswish"),
    }
    b = WorkloadBuilder("stem")
    made["stem"] = b.build(b.relu(_conv_bn(b, b.input((1, 3, 16, 16)), 8, 3)))
    b = WorkloadBuilder("head")
    x = b.relu(_conv_bn(b, b.input((1, 16, 4, 4)), 64))
    made["head"] = b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))
    return made


def blocks() -> dict[str, Workload]:
    """The blocks of the three search spaces."""
    cells = {
        "nb201 cell": nb201_cell(),
        "nb201 cell convs": nb201_cell((3, 3, 3, 3, 3, 3)),
        "nb201 cell pools": nb201_cell((4, 4, 2, 1, 4, 4)),
        "nb201 cell cut off": nb201_cell((3, 0, 3, 0, 0, 0)),
    }
    return {"mbconv": mbconv(), "mixconv": mixconv(), **cells}


def networks() -> dict[str, Workload]:
    """Whole networks."""
    return {"nb201 net": nb201_net(), "mobilenet": mobilenet_v2()}
