"""Describing: what a network, a supernet or an ONNX model is, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.workloads.graph import Workload
    from search.spaces.network import Network, Places
    from search.spaces.supernet import Supernet

__all__ = ["describe", "describe_network", "describe_supernet"]

_YAML = (".yaml", ".yml")


def describe(source: str) -> dict[str, Any]:
    """What a file or a bundled supernet's name holds, as plain values; "kind" says which of the three it is.

    Args:
        source: a network's or supernet's YAML file, the name of a bundled supernet, or an ONNX file.

    Raises:
        ConfigError: where it is none of these, or a malformed one.
        UnsupportedOperator: for an ONNX file of which no operator is known.
    """
    from search.spaces.supernet import bundled_supernets, read_supernet

    path = Path(source)
    if source in bundled_supernets():
        return describe_supernet(read_supernet(source))
    if not path.is_file():
        raise ConfigError(
            f"there is no file {source}; name a network's or supernet's YAML file, an ONNX file, or one of the "
            f"supernets {', '.join(bundled_supernets())}"
        )
    if path.suffix.lower() not in _YAML:
        return _describe_onnx(path)
    if "branches" in _keys(path):
        return describe_supernet(read_supernet(path))
    from search.spaces.network import read_network

    return {"file": source, **describe_network(read_network(path))}


def _keys(path: Path) -> set[str]:
    """The keys of a YAML file."""
    from search.spaces.yaml_files import read_yaml_text, yaml_mapping

    expected = ("supernet, resolution, stem, stages and head of a network", "branches of a supernet")
    try:
        found = {str(key) for key in yaml_mapping(read_yaml_text(path), str(path), expected)}
    except ConfigError as error:
        reason = str(error)
        raise ConfigError(reason if str(path) in reason else f"{path} cannot be read: {reason}") from None
    if "stages" not in found:
        raise ConfigError(f"{path} is neither a network nor a supernet: it has no stages")
    return found


# -------------------------------------------------------------------- networks


def describe_network(network: Network) -> dict[str, Any]:
    """A network: sizes, key, and its layers by part (stem, every block, head)."""
    from search.spaces.network import assemble, places_of

    workload, places = assemble(network)
    blocks = [
        f"{stage + 1}.{index + 1} {block.text}"
        for stage, limits in enumerate(network.stages)
        for index, block in enumerate(limits.blocks)
    ]
    spans = _spans(workload, places)
    parts = [_part(workload, name, span) for name, span in zip(("stem", *blocks, "head"), spans, strict=True)]
    return {
        "kind": "network",
        "supernet": network.supernet,
        "resolution": network.resolution,
        "num_classes": network.num_classes,
        "activation": network.activation,
        "blocks": len(places_of(network)),
        **_sizes(workload),
        "params_se": sum(_se_params(workload, places)),
        "parts": parts,
    }


def _spans(workload: Workload, places: Places) -> list[tuple[int, int]]:
    """The ops of stem, blocks and head: (first, past the last)."""
    inside = places.blocks
    first = next(iter(workload.compute_ops))
    return [(first, inside[0][0]), *inside, (inside[-1][1], len(workload.ops))]


def _se_params(workload: Workload, places: Places) -> list[int]:
    """Parameters of every block's squeeze-and-excitation: of the two convolutions that lead to its gate."""
    found = []
    for gate in places.gates:
        wide = None if gate is None else workload.ops[gate].inputs[0][0]
        if wide is None:
            continue
        relu = workload.ops[wide].inputs[0][0]
        narrow = workload.ops[relu].inputs[0][0]
        found.append(workload.op_params(wide) + workload.op_params(narrow))
    return found


def _part(workload: Workload, name: str, span: tuple[int, int]) -> dict[str, Any]:
    layers = [_layer(workload, index) for index in range(*span)]
    return {
        "name": name,
        "in": layers[0]["in"],
        "out": layers[-1]["out"],
        "params": sum(layer["params"] for layer in layers),
        "macs": sum(layer["macs"] for layer in layers),
        "layers": layers,
    }


def _sizes(workload: Workload) -> dict[str, Any]:
    norms = [i for i in workload.compute_ops if workload.ops[i].kind == "batch_norm"]
    return {
        "params": workload.params,
        "params_without_bn": workload.params - sum(workload.op_params(i) for i in norms),
        "macs": workload.macs,
        "peak_activation_bytes": workload.peak_activation_bytes,
        "key": workload.key,
    }


def _layer(workload: Workload, index: int) -> dict[str, Any]:
    op, ins, outs = workload.ops[index], workload.input_shapes_of(index), workload.shapes[index]
    return {
        "op": op.kind,
        "detail": _detail(dict(op.attrs)),
        "in": [list(shape) for shape in ins],
        "out": [list(shape) for shape in outs],
        "params": workload.op_params(index),
        "macs": workload.op_macs(index),
    }


def _detail(attrs: Mapping[str, Any]) -> str:
    """Window, stride and groups where there are any: "3x3 /2 groups 64"."""
    kernel, stride, groups = (attrs.get(name) for name in ("kernel", "stride", "groups"))
    words = [
        "x".join(str(k) for k in (kernel if isinstance(kernel, tuple) else (kernel, kernel))) if kernel else "",
        f"/{max(stride) if isinstance(stride, tuple) else stride}" if stride not in (None, 1, (1, 1)) else "",
        f"groups {groups}" if groups not in (None, 1) else "",
    ]
    return " ".join(word for word in words if word)


# -------------------------------------------------------------------- supernets


def describe_supernet(supernet: Supernet) -> dict[str, Any]:
    """A supernet: its choices, and the smallest and the largest of its networks."""
    from search.spaces.mixconv import MixConv

    space = MixConv(supernet)
    ends = {"minimal": space.minimal, "maximal": space.maximal}
    return {
        "kind": "supernet",
        "name": supernet.name,
        "description": supernet.description,
        "resolution": supernet.resolution,
        "num_classes": supernet.num_classes,
        "blocks": space.n_edges,
        "branches": [{"kernel": b.kernel, "expansion": b.expansion} for b in supernet.branches],
        "stages": [
            {
                "filters": limits.filters,
                "stride": limits.stride,
                "blocks": limits.blocks,
                "choices": [len(b.choices) for b, s in zip(space.superblocks, space.stage_of, strict=True) if s == i],
                "combinations": [len(b.raw) for b, s in zip(space.superblocks, space.stage_of, strict=True) if s == i],
            }
            for i, limits in enumerate(supernet.stages)
        ],
        "architectures_log10": sum(log10(len(block.choices)) for block in space.superblocks),
        "parts_to_measure": len(space.block_workloads()),
        **{name: {"text": space.describe(arch), **_sizes(space.workload(arch))} for name, arch in ends.items()},
    }


# -------------------------------------------------------------------- ONNX


def _describe_onnx(path: Path) -> dict[str, Any]:
    from profiler.workloads.importer import read_onnx

    read = read_onnx(path)
    work = read.workload
    return {
        "kind": "onnx",
        "file": str(path),
        "inputs": [list(work.shapes[i][0]) for i in work.inputs],
        "resolution": _resolution([work.shapes[i][0] for i in work.inputs]),
        "complete": not read.unsupported,
        **_sizes(work),
        "layers": [_layer(work, i) for i in work.compute_ops],
        "unsupported": [{"name": u.name, "op_type": u.op_type, "reason": u.reason} for u in read.unsupported],
    }


def _resolution(shapes: Sequence[Sequence[int]]) -> int | None:
    """Height of the first image among the inputs; None where none is square."""
    return next((shape[2] for shape in shapes if len(shape) == 4 and shape[2] == shape[3]), None)
