"""Opening an ONNX file: its weights, also those beside it, its functions written out, its nodes in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.errors import ConfigError
from profiler.workloads.ops import Shape

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

__all__ = ["ONNX_DOMAINS", "fed", "load_model", "opset_of"]

ONNX_DOMAINS = ("", "ai.onnx")
"""Names of ONNX's own operators' domain."""


def load_model(path: Path, input_shapes: Mapping[str, Shape]) -> tuple[ModelProto, bool]:
    """The file with all weights in memory and the given shapes set; and whether some of the weights lie beside it.

    Raises:
        ConfigError: where it is missing, is not ONNX, or the shapes do not fit.
    """
    model, outside = _load(path)
    if input_shapes:
        _set_shapes(model, fed(model.graph), input_shapes, path)
    return model, outside


def fed(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are no weights."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _load(path: Path) -> tuple[ModelProto, bool]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give the path of an ONNX model")
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        outside = _files_beside(model)
        lacking = [name for name in outside if not (path.parent / name).is_file()]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise ConfigError(
                f"{path}: its external data are missing: it keeps {outside[lacking[0]]!r} in {lacking[0]}{more}, which "
                f"has to lie in {path.parent}; copy it there too, or export the model as one file"
            )
        if outside:
            onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError:
        raise ConfigError(f"{path}: not an ONNX model, or cut off; export or copy it again") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: its external data cannot be read ({reason}); copy or export them again") from None
    if len(model.functions):
        model = onnx.inliner.inline_local_functions(model)
    if not model.graph.node or not model.graph.output:
        raise ConfigError(f"{path}: not an ONNX model (it holds no nodes or no outputs); export or copy it again")
    _put_in_order(model.graph)
    return model, bool(outside)


def _files_beside(model: ModelProto) -> dict[str, str]:
    """The names of the files that hold weights, as the model has them, and the last weight in each."""
    from onnx import external_data_helper

    tensors = (t for t in model.graph.initializer if external_data_helper.uses_external_data(t))
    return {entry.value: t.name for t in tensors for entry in t.external_data if entry.key == "location"}


def _put_in_order(graph: GraphProto) -> None:
    """Sort the nodes so that each comes behind those that it reads, as files have to have them and some converters do
    not; what is in order stays as it is, and what is in a circle or reads what nothing makes comes last."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needed = [
        {makers[name] for name in _read_by(node) if makers.get(name, place) != place}
        for place, node in enumerate(graph.node)
    ]
    if all(max(before, default=-1) < place for place, before in enumerate(needed)):
        return
    order: list[int] = []
    placed: set[int] = set()
    waiting = list(range(len(needed)))
    while waiting:
        # places taken up in this round serve those behind them at once
        left = []
        for place in waiting:
            if needed[place] <= placed:
                order.append(place)
                placed.add(place)
            else:
                left.append(place)
        if len(left) == len(waiting):
            order += left
            break
        waiting = left
    nodes = [graph.node[place] for place in order]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _read_by(node: NodeProto) -> list[str]:
    """What a node reads, in graphs of its own too."""
    inner = [g for a in node.attribute for g in ([a.g] if a.HasField("g") else list(a.graphs))]
    return [*node.input, *(name for graph in inner for nested in graph.node for name in _read_by(nested))]


def opset_of(model: ModelProto, path: Path) -> int:
    """The version of ONNX's own operators.

    Raises:
        ConfigError: where the onnx package here is older.
    """
    import onnx

    opset = max((o.version for o in model.opset_import if o.domain in ONNX_DOMAINS), default=1)
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ConfigError(
            f"{path}: opset {opset} is not one of 1 to {newest}, which the installed onnx {onnx.__version__} knows; "
            "export the model with an older opset, or install a newer onnx"
        )
    return int(opset)


def _set_shapes(model: ModelProto, values: list[ValueInfoProto], shapes: Mapping[str, Shape], path: Path) -> None:
    """Write the given shapes into the inputs, and forget all that was derived from the file's own.

    Raises:
        ConfigError: for an input that there is not, or a rank that is not the input's.
    """
    by_name = {value.name: value for value in values}
    names = ", ".join(by_name)
    for given, shape in shapes.items():
        if not given and len(values) != 1:
            raise ConfigError(
                f"{path}: it has {len(values)} inputs ({names}); say whose shape {shape} is, as NAME=1,3,.."
            )
        value = values[0] if not given else by_name.get(given)
        if value is None:
            raise ConfigError(f"{path}: it has no input {given!r}; its inputs are {names}")
        tensor = value.type.tensor_type
        declared = [dim.dim_value for dim in tensor.shape.dim]
        fits = len(declared) == len(shape) and all(d < 1 or d == s for d, s in zip(declared, shape, strict=True))
        if min(shape, default=0) < 1 or (tensor.HasField("shape") and not fits):
            own = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in tensor.shape.dim)
            raise ConfigError(f"{path}: the shape {shape} does not fit input {value.name!r}, which is ({own})")
        del tensor.shape.dim[:]
        for size in shape:
            tensor.shape.dim.add().dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
