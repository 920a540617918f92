"""S3NAS's folders of latencies as costs of our blocks: stem, blocks and head as Workloads, each with its figure.

Their head is three files, a 1x1 convolution, a pooling and a classifier, and ours is one block: it costs their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from profiler.errors import ConfigError
from profiler.tables.formats.s3nas import S3nasLayer
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from search.spaces.blocks import Activation, Network
from search.spaces.network import BN_EPS, SE_REDUCTION, block_workload, stem_workload
from search.spaces.supernet import Head, Stem

__all__ = ["FolderBlocks", "blocks_of_folder"]

_ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "hsw": "hswish"}


class FolderBlocks(NamedTuple):
    """What a folder's files are here.

    Attributes:
        workloads: stems, blocks and heads, each once.
        latencies_ns: as many.
        names: the files that each is of, joined by " + ".
        others: names of files that are nothing of ours, and why.
    """

    workloads: tuple[Workload, ...]
    latencies_ns: tuple[float, ...]
    names: tuple[str, ...]
    others: tuple[str, ...]


def blocks_of_folder(layers: Sequence[S3nasLayer]) -> FolderBlocks:
    """The blocks that the files of a folder describe.

    Raises:
        ConfigError: where none of them is a stem, block or head of ours.
    """
    found: list[tuple[Workload, float, str]] = []
    others: list[str] = []
    for layer in layers:
        if layer.kind in ("MBConvBlock", "MixConvBlock"):
            why = _refused(layer)
            if why:
                others.append(f"{layer.name}: {why}")
                continue
            kernels = tuple(sorted(zip(layer.kernels, layer.expansions, strict=True)))
            workload = block_workload(
                layer.in_channels, layer.out_channels, layer.size, layer.stride, kernels, layer.se_ratio > 0.0,
                _ACTIVATIONS[layer.activation],
            )  # fmt: skip
            found.append((workload, layer.latency_ns, layer.name))
        elif layer.kind == "Conv2D" and layer.kernels != (1,):
            stem = Stem(layer.out_channels, layer.kernels[0], layer.stride)
            workload = stem_workload(Network("", layer.size, 1, stem, (), Head(1)))
            found.append((workload, layer.latency_ns, layer.name))
    heads, alone = _heads(layers)
    found += heads
    others += [f"{name}: no head of one convolution, pooling and classifier holds it" for name in alone]
    if not found:
        raise ConfigError(f"none of the {len(layers)} files is a stem, block or head of ours: {'; '.join(others[:3])}")
    workloads, latencies_ns, names = zip(*found, strict=True)
    return FolderBlocks(workloads, latencies_ns, names, tuple(others))


def _refused(layer: S3nasLayer) -> str:
    """Why a block is none of ours; "" where it is one."""
    if layer.activation not in _ACTIVATIONS:
        return f"its activation is {layer.activation}, and ours are {', '.join(_ACTIVATIONS)}"
    if layer.se_ratio not in (0.0, SE_REDUCTION):
        return f"its squeeze-and-excitation has the ratio {layer.se_ratio:g}, and ours {SE_REDUCTION:g}"
    if not layer.skip and layer.stride == 1 and layer.in_channels == layer.out_channels:
        return "its input is not added although it could be, and ours add it"
    return ""


def _heads(layers: Sequence[S3nasLayer]) -> tuple[list[tuple[Workload, float, str]], list[str]]:
    """The heads that files make up, and the names of head files that make up none."""
    convs = [layer for layer in layers if layer.kind == "Conv2D" and layer.kernels == (1,)]
    pools, dense = _of_kind(layers, "GlobalAvgPool"), _of_kind(layers, "Dense")
    used: set[str] = set()
    found = []
    for conv in convs:
        pool = next((p for p in pools if (p.in_channels, p.size) == (conv.out_channels, conv.size)), None)
        for last in dense:
            if pool is not None and last.in_channels == conv.out_channels and conv.stride == 1:
                parts = (conv, pool, last)
                used |= {part.name for part in parts}
                total = sum(part.latency_ns for part in parts)
                found.append((_head(conv, last.out_channels), total, " + ".join(part.name for part in parts)))
    return found, [layer.name for layer in (*convs, *pools, *dense) if layer.name not in used]


def _of_kind(layers: Iterable[S3nasLayer], kind: str) -> list[S3nasLayer]:
    return [layer for layer in layers if layer.kind == kind]


def _head(conv: S3nasLayer, num_classes: int) -> Workload:
    b = WorkloadBuilder(f"head {conv.in_channels}x{conv.size}x{conv.size} -> {conv.out_channels} -> {num_classes} relu")
    x = b.input((1, conv.in_channels, conv.size, conv.size))
    features = b.relu(b.batch_norm(b.conv2d(x, conv.out_channels), eps=BN_EPS))
    return b.build(b.linear(b.flatten(b.global_avg_pool(features)), num_classes))
