"""Operators on tensors of any rank as torch modules. Imports torch.

Reshaping that leaves the first axis as it is takes any batch; any other goes by the workload's own shape, so a module
that reshapes across images takes the workload's batch and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from profiler.workloads.op import Op
from profiler.workloads.ops import Shape

__all__ = ["TENSOR_PARTS"]

_Make = Callable[[Op, Sequence[Shape]], nn.Module]


class _Constant(nn.Module):
    """A value of its own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        return self.value


class _Of(nn.Module):
    """A function of one or two tensors."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)


def _plain(function: Callable[..., Tensor]) -> _Make:
    return lambda op, shapes: _Of(function)


def _reshape(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    shape = op.ints("shape")
    if shapes[0][0] != shape[0]:
        return _Of(lambda x: x.reshape(shape))
    # what is traced has the workload's batch, and constants for its shapes
    tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]
    return _Of(lambda x: x.reshape(shape if tracing() else (x.shape[0], *shape[1:])))


def _layer_norm(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    axis = op.int("axis")
    return nn.LayerNorm(shapes[0][axis:], eps=op.float("eps"))


def _slice(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    part = slice(op.int("start"), op.int("end"), op.int("step"))
    return _Of(lambda x: x[(slice(None),) * op.int("axis") + (part,)])


class _Gather(nn.Module):
    """Some places of one axis; a single one without that axis is a view."""

    indices: Tensor

    def __init__(self, op: Op) -> None:
        super().__init__()
        self._axis, self._squeeze = op.int("axis"), bool(op.attr("squeeze"))
        self._first = op.ints("indices")[0]
        self.register_buffer("indices", torch.tensor(op.ints("indices")), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.select(self._axis, self._first) if self._squeeze else x.index_select(self._axis, self.indices)


def _pad(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    pads, rank = op.ints("pads"), len(shapes[0])
    pairs = [side for axis in range(rank - 1, -1, -1) for side in (pads[axis], pads[axis + rank])]
    return _Of(lambda x: functional.pad(x, pairs, value=op.float("value")))


def _resize(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    size = list(op.ints("size"))
    if op.attr("mode") == "nearest":
        return _Of(lambda x: functional.interpolate(x, size, mode="nearest"))
    corners = bool(op.attr("align_corners"))
    return _Of(lambda x: functional.interpolate(x, size, mode="bilinear", align_corners=corners))


TENSOR_PARTS: Mapping[str, _Make] = {
    "constant": lambda op, shapes: _Constant(op.ints("shape")),
    "sub": _plain(torch.sub),
    "div": _plain(torch.div),
    "matmul": _plain(torch.matmul),
    "layer_norm": _layer_norm,
    "gelu": lambda op, shapes: nn.GELU(str(op.attr("approximate"))),
    "tanh": _plain(torch.tanh),
    "erf": _plain(torch.erf),
    "exp": _plain(torch.exp),
    "sqrt": _plain(torch.sqrt),
    "elu": _plain(functional.elu),
    "leaky_relu": lambda op, shapes: nn.LeakyReLU(op.float("slope")),
    "clip": lambda op, shapes: _Of(lambda x: torch.clamp(x, op.float("low"), op.float("high"))),
    "mean": lambda op, shapes: _Of(lambda x: torch.mean(x, op.ints("axes"), keepdim=True)),
    "reshape": _reshape,
    "transpose": lambda op, shapes: _Of(lambda x: x.permute(op.ints("perm"))),
    "slice": _slice,
    "gather": lambda op, shapes: _Gather(op),
    "pad": _pad,
    "resize": _resize,
}
"""Operator kind -> (op, shapes that it reads and then those that it makes) -> the module that runs it."""
