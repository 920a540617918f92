"""Workload -> torch.nn.Module (trained and scored by the searches) and TorchScript file (measured on boards).

This module imports torch; import it only where torch is wanted.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from profiler.errors import ArtefactError, ConfigError, UnsupportedOperator
from profiler.workloads.builders.torch_tensors import TENSOR_PARTS
from profiler.workloads.graph import Workload
from profiler.workloads.op import Op, Ref
from profiler.workloads.ops import Shape
from profiler.workloads.transform import simplify
from profiler.workloads.weights import Weights, check_weights, seeded_inputs, seeded_weights

__all__ = ["WorkloadModule", "build_module", "build_torchscript", "module_weights", "reset"]

Output = Tensor | tuple[Tensor, ...]


def build_module(workload: Workload, weights: Weights | None = None, taps: Sequence[Ref] = ()) -> WorkloadModule:
    """A trainable module that computes the workload, for any batch size.

    Args:
        workload: what to compute; ops that neither an output nor a tap depends on are not run.
        weights: its weights; by default the seeded ones. For training from scratch call `reset` on the module.
        taps: further tensors to return, see `WorkloadModule.forward`.

    Raises:
        ArtefactError: where the weights do not fit the workload.
        ConfigError: for a tap that does not exist.
        UnsupportedOperator: for a kind without a handler here.
    """
    arrays = seeded_weights(workload) if weights is None else weights
    check_weights(workload, arrays)
    for index, port in taps:
        if not (0 <= index < len(workload.ops) and 0 <= port < len(workload.shapes[index])):
            raise ConfigError(f"workload {workload.name!r} has no tensor ({index}, {port}) to tap")
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own first, from the global state
        module = WorkloadModule(workload, taps)
    _load(module, arrays)
    return module


def build_torchscript(workload: Workload, weights: Weights | None = None) -> bytes:
    """A TorchScript file of the simplified workload, traced and frozen: torch alone loads it.

    The shapes, the batch included, are those of the workload.

    Raises:
        ArtefactError: where the weights do not fit or tracing fails.
        UnsupportedOperator: for a kind without a handler here.
    """
    simple, arrays = simplify(workload, seeded_weights(workload) if weights is None else weights)
    module = build_module(simple, arrays).eval()
    module.fixed_batch = True
    examples = tuple(torch.from_numpy(array) for array in seeded_inputs(simple))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # boards load what torch.jit writes without our code; its deprecation in favour of torch.export is known
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        try:
            traced = torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(torch.jit.freeze(traced), buffer)
        except RuntimeError as error:
            raise ArtefactError(f"{workload.name or workload.key} cannot be written as TorchScript: {error}") from error
    return buffer.getvalue()


def module_weights(module: WorkloadModule) -> Weights:
    """The module's present weights, as the other lowerings take them."""
    weights: dict[int, dict[str, NDArray[np.float32]]] = {}
    for index in module.workload.compute_ops:
        names = module.workload.param_shapes(index)
        if names:
            tensors = module.parts[str(index)].state_dict()
            weights[index] = {name: tensors[name].detach().cpu().numpy().astype(np.float32) for name in names}
    return weights


def reset(module: WorkloadModule, generator: torch.Generator) -> None:
    """Give the module fresh weights to train from.

    Convolutions are Kaiming normal over the outputs (He et al. 2015, as ResNets are trained), linear layers torch's
    own default, batch norms the identity with forgotten statistics.
    """
    for part in module.parts.values():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            bound = 1.0 / math.sqrt(part.in_features)
            nn.init.uniform_(part.weight, -bound, bound, generator=generator)
            if part.bias is not None:
                nn.init.uniform_(part.bias, -bound, bound, generator=generator)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.reset_parameters()


class WorkloadModule(nn.Module):
    """Runs the ops of a workload one after another.

    Attributes:
        workload: what it computes.
        taps: the further tensors that `forward` returns.
        parts: a module for every op that runs, by str(op index).
        fixed_batch: the batch is the workload's own, so that zeros can be constants (for tracing).
    """

    def __init__(self, workload: Workload, taps: Sequence[Ref] = ()) -> None:
        super().__init__()
        self.workload = workload
        self.taps = tuple(taps)
        self.fixed_batch = False
        self.parts = nn.ModuleDict()
        wanted = Workload(workload.ops, (*workload.outputs, *self.taps), dtype=workload.dtype)
        self._order = tuple(index for index in wanted.live_ops if workload.ops[index].kind != "input")
        for index in workload.compute_ops:
            op = workload.ops[index]
            make = _PARTS.get(op.kind)
            if make is None:
                raise UnsupportedOperator(f"the torch lowering has no handler for {op.kind!r}", (op.kind,))
            self.parts[str(index)] = make(op, (*workload.input_shapes_of(index), *workload.shapes[index]))
        self._last_reads = self._find_last_reads()

    def forward(self, *inputs: Tensor) -> Output | tuple[Output, tuple[Tensor, ...]]:
        """Compute the workload.

        Args:
            inputs: one tensor a graph input, channel-first; the batch may differ from the workload's.

        Returns:
            the output, or the tuple of outputs where there are several; with taps (output, tuple of tapped tensors).
        """
        values: dict[Ref, Tensor] = {
            (index, 0): tensor for index, tensor in zip(self.workload.inputs, inputs, strict=True)
        }
        for index in self._order:
            op, part = self.workload.ops[index], self.parts[str(index)]
            if op.kind == "zero":
                result = part() if self.fixed_batch or not inputs else part(inputs[0].shape[0])
            else:
                result = part(*(values[ref] for ref in op.inputs))
            results = result if isinstance(result, tuple) else (result,)
            values.update(((index, port), tensor) for port, tensor in enumerate(results))
            for ref in self._last_reads.get(index, ()):
                del values[ref]
        # a tracer cannot return a buffer itself
        outputs = tuple(
            values[ref].clone() if self.workload.ops[ref[0]].kind == "zero" else values[ref]
            for ref in self.workload.outputs
        )
        output = outputs[0] if len(outputs) == 1 else outputs
        return (output, tuple(values[ref] for ref in self.taps)) if self.taps else output

    def _find_last_reads(self) -> dict[int, list[Ref]]:
        """After which op each tensor can be let go."""
        last = {ref: index for index in self._order for ref in self.workload.ops[index].inputs}
        released: dict[int, list[Ref]] = {}
        for ref, index in last.items():
            if ref not in self.workload.outputs and ref not in self.taps:
                released.setdefault(index, []).append(ref)
        return released


def _load(module: WorkloadModule, weights: Weights) -> None:
    with torch.no_grad():
        for index, arrays in weights.items():
            targets = module.parts[str(index)].state_dict()  # tensors that share the module's memory
            for name, array in arrays.items():
                targets[name].copy_(torch.from_numpy(np.array(array, np.float32)))


class _Function(nn.Module):
    """An op without weights."""

    def __init__(self, function: Callable[..., Output]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Output:
        return self._function(*inputs)


class _PaddedConv(nn.Conv2d):
    """A convolution with padding of its own on every side."""

    def __init__(self, op: Op, in_channels: int) -> None:
        top, left, bottom, right = op.ints("padding")
        even = (top, left) == (bottom, right)
        kernel, stride, dilation = _pair(op, "kernel"), _pair(op, "stride"), _pair(op, "dilation")
        super().__init__(
            in_channels,
            op.int("out_channels"),
            kernel,
            stride,
            (top, left) if even else 0,
            dilation,
            op.int("groups"),
            bool(op.attr("bias")),
        )
        self._uneven = None if even else (left, right, top, bottom)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # nn.Conv2d names it so
        return super().forward(input if self._uneven is None else functional.pad(input, self._uneven))


class _Pool(nn.Module):
    """Average or maximum pooling with any padding."""

    correction: Tensor | None

    def __init__(self, op: Op, shape: Shape) -> None:
        super().__init__()
        top, left, bottom, right = op.ints("padding")
        self._kernel, self._stride = _pair(op, "kernel"), _pair(op, "stride")
        # torch pools with the same padding on both sides, at most half a window
        plain = (top, left) == (bottom, right) and 2 * top <= self._kernel[0] and 2 * left <= self._kernel[1]
        self._inner = (top, left) if plain else (0, 0)
        self._outer = None if plain else (left, right, top, bottom)
        self._average = op.kind == "avg_pool"
        self._counted = self._average and bool(op.attr("count_include_pad"))
        self.register_buffer("correction", None, persistent=False)
        if self._average and self._outer is not None and not self._counted:
            ones = functional.pad(torch.ones(1, 1, *shape[2:]), self._outer)
            self.register_buffer(
                "correction", 1.0 / functional.avg_pool2d(ones, self._kernel, self._stride), persistent=False
            )

    def forward(self, x: Tensor) -> Tensor:
        if self._outer is not None:
            x = functional.pad(x, self._outer, value=0.0 if self._average else -math.inf)
        if not self._average:
            return functional.max_pool2d(x, self._kernel, self._stride, self._inner)
        y = functional.avg_pool2d(x, self._kernel, self._stride, self._inner, count_include_pad=self._counted)
        return y if self.correction is None else y * self.correction


class _Zero(nn.Module):
    """Zeros, of the batch that is asked for."""

    zeros: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(shape), persistent=False)

    def forward(self, batch: int | None = None) -> Tensor:
        return self.zeros if batch is None else self.zeros[:1].expand(batch, *self.zeros.shape[1:])


def _pair(op: Op, name: str) -> tuple[int, int]:
    first, second = op.ints(name)
    return first, second


def _batch_norm(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    make = nn.BatchNorm2d if len(shapes[0]) == 4 else nn.BatchNorm1d
    return make(shapes[0][1], eps=op.float("eps"))


def _linear(op: Op, shapes: Sequence[Shape]) -> nn.Module:
    return nn.Linear(shapes[0][-1], op.int("out_features"), bool(op.attr("bias")))


def _plain(function: Callable[..., Output]) -> Callable[[Op, Sequence[Shape]], nn.Module]:
    return lambda op, shapes: _Function(function)


_PARTS: dict[str, Callable[[Op, Sequence[Shape]], nn.Module]] = {
    **TENSOR_PARTS,
    "conv2d": lambda op, shapes: _PaddedConv(op, shapes[0][1]),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": _plain(functional.relu),
    "relu6": _plain(functional.relu6),
    "hswish": _plain(functional.hardswish),
    "hsigmoid": _plain(functional.hardsigmoid),
    "sigmoid": _plain(torch.sigmoid),
    "softmax": lambda op, shapes: _Function(lambda x: torch.softmax(x, op.int("axis"))),
    "add": _plain(torch.add),
    "mul": _plain(torch.mul),
    "concat": lambda op, shapes: _Function(lambda *xs: torch.cat(xs, op.int("axis"))),
    "split": lambda op, shapes: _Function(lambda x: tuple(torch.split(x, list(op.ints("sizes")), op.int("axis")))),
    "avg_pool": lambda op, shapes: _Pool(op, shapes[0]),
    "max_pool": lambda op, shapes: _Pool(op, shapes[0]),
    "global_avg_pool": _plain(lambda x: functional.adaptive_avg_pool2d(x, 1)),
    "flatten": _plain(lambda x: torch.flatten(x, 1)),
    "identity": _plain(lambda x: x),
    "zero": lambda op, shapes: _Zero(shapes[0]),
}
