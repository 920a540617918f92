"""A layer of a layer table as a Workload, and back.

What a key leaves unsaid is the form's: once-for-all's first convolution, head and mixing layer have h-swish, its
squeeze-and-excitation a quarter of the middle channels (a multiple of 8), ReLU inside and a hard sigmoid as gate;
ProxylessNAS has ReLU6 throughout, and its last layer pools before it classifies. A block of expansion 1 has no first
1x1 convolution. Convolutions are padded by half their kernel on every side.
"""

from __future__ import annotations

from profiler.errors import ConfigError
from profiler.tables.formats.layerkeys import LayerShape
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Ref, Workload
from profiler.workloads.zoo.layers import divisible

__all__ = ["layer_of", "layer_workload"]

_SE_SHARE = 4


def layer_workload(shape: LayerShape, form: str, name: str = "") -> Workload:
    """A layer on one image.

    Args:
        shape: as its key says.
        form: "ofa" or "proxylessnas".
        name: for people.

    Raises:
        ValueError: with the end of a sentence, for a layer that the form does not have or that does not fit together.
    """
    b = WorkloadBuilder(name)
    x = b.input((1, shape.input[-1], *(shape.input[:2] if len(shape.input) == 3 else (1, 1))))
    try:
        workload = b.build(_Writer(b, form).layer(x, shape))
    except ConfigError as error:
        raise ValueError(f"does not fit together: {error}") from None
    made = workload.shape(workload.outputs[0])
    if (*made[2:], made[1]) != shape.output:
        raise ValueError(f"gives {'x'.join(map(str, (*made[2:], made[1])))} and not what its key says")
    return workload


def layer_of(workload: Workload, form: str) -> LayerShape | None:
    """The layer that a workload is; None where the form has none like it.

    What the operators show is written down as a layer again, and counts only where that is the same workload.
    """
    shape = _guess(workload, form)
    try:
        same = shape is not None and layer_workload(shape, form).key == workload.key
    except ValueError:
        return None
    return shape if same else None


class _Writer:
    """Writes one layer into a builder."""

    def __init__(self, b: WorkloadBuilder, form: str) -> None:
        self.b = b
        self.proxylessnas = form == "proxylessnas"

    def layer(self, x: Ref, shape: LayerShape) -> Ref:
        """ValueError for kinds that the form does not have."""
        b, out = self.b, shape.output[-1]
        if shape.kind == "expanded_conv":
            return self._block(x, shape)
        if shape.kind == "Conv":
            return self._act(self._conv(x, out, 3, _stride(shape)))
        if shape.kind == "Conv_1":
            return self._act(self._conv(x, out))
        if shape.kind == "Logits":
            pooled = b.global_avg_pool(x) if self.proxylessnas else x
            return b.linear(b.flatten(pooled), out)
        if shape.kind == "AvgPool2D" and not self.proxylessnas:
            return b.global_avg_pool(x)
        if shape.kind == "Conv_2" and not self.proxylessnas:
            return b.hswish(b.conv2d(x, out))
        raise ValueError(f"is of kind {shape.kind[:40]!r}, of which it is not known what it computes")

    def _block(self, x: Ref, shape: LayerShape) -> Ref:
        b, given = self.b, shape.input[-1]
        if shape.middle is None or shape.kernel is None or shape.stride is None:
            raise ValueError("is a block without middle channels, kernel or stride")
        if not shape.kernel % 2:
            raise ValueError(f"has the kernel {shape.kernel}, and only odd ones are padded alike on all sides")
        y = x if shape.middle == given else self._act(self._conv(x, shape.middle), shape.hs)
        y = self._act(self._conv(y, shape.middle, shape.kernel, shape.stride, shape.middle), shape.hs)
        if shape.se:
            narrow = divisible(shape.middle // _SE_SHARE)
            inner = b.relu(b.conv2d(b.global_avg_pool(y), narrow, bias=True))
            y = b.mul(y, b.hsigmoid(b.conv2d(inner, shape.middle, bias=True)))
        y = self._conv(y, shape.output[-1])
        return b.add(y, x) if shape.skip else y

    def _conv(self, x: Ref, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Ref:
        return self.b.batch_norm(self.b.conv2d(x, out, kernel, stride, groups=groups))

    def _act(self, x: Ref, hswish: bool = True) -> Ref:
        if self.proxylessnas:
            return self.b.relu6(x)
        return self.b.hswish(x) if hswish else self.b.relu(x)


def _stride(shape: LayerShape) -> int:
    """Of the first convolution, whose key does not say it."""
    if len(shape.input) != 3 or len(shape.output) != 3:
        raise ValueError("is a convolution without height and width")
    return -(-shape.input[0] // shape.output[0])


def _guess(workload: Workload, form: str) -> LayerShape | None:
    ops = workload.ops
    kinds = [ops[i].kind for i in workload.compute_ops]
    if len(workload.inputs) != 1 or len(workload.outputs) != 1 or not kinds:
        return None
    read, made = workload.shapes[workload.inputs[0]][0], workload.shape(workload.outputs[0])
    if len(read) != 4 or read[0] != 1:
        return None
    given, result = (*read[2:], read[1]), (*made[2:], made[1])
    convs = [ops[i] for i in workload.compute_ops if ops[i].kind == "conv2d"]
    if "linear" in kinds:
        return LayerShape("Logits", given, result)
    if not convs:
        return LayerShape("AvgPool2D", given, result)
    depthwise = [op for op in convs if op.int("groups") > 1]
    if depthwise:
        op = depthwise[0]
        middle, kernel, stride = op.int("out_channels"), op.ints("kernel")[0], op.ints("stride")[0]
        flags = ("add" in kinds, "mul" in kinds, "hswish" in kinds)
        return LayerShape("expanded_conv", given, result, middle, kernel, stride, *flags)
    if convs[0].ints("kernel") == (1, 1):
        return LayerShape("Conv_1" if "batch_norm" in kinds else "Conv_2", given, result)
    return LayerShape("Conv", given, result)
