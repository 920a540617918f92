"""FBNet's layers as Workloads, and a target's own costs of them in the form of HW-NAS-Bench's table.

Of its nine operators those with grouped 1x1 convolutions are left out: blocks here are plain ones. A skipped layer
where sizes or channels change is a 1x1 convolution with batch norm and ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FBNET_OPERATORS, FbnetBlock, FbnetPlace, FbnetTable, fbnet_places
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from search.spaces.mixconv import MixConv
from search.spaces.network import BN_EPS, block_workload
from search.spaces.supernet import read_supernet

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["FBNET_SUPERNET", "fbnet_layers", "fbnet_table"]

FBNET_SUPERNET = "fbnet32"
"""The supernet whose stem and head are FBNet's for images of 32 x 32 pixels and 100 classes."""

NS_PER_MS = 1e6
_NAMED = 3


def fbnet_layers() -> tuple[Workload, ...]:
    """Everything that a table in this form needs measured: stem, head, layers and the skipped ones, each once."""
    found = [*_ends(), *(w for place in _places() for w in _at(place))]
    return tuple({workload.key: workload for workload in found}.values())


def fbnet_table(table: CostTable, target_id: str) -> FbnetTable:
    """A target's measured blocks as a table of FBNet's layers.

    As in the published one, layers where a skipped one is a convolution are relative to it, and the constant holds
    these convolutions, stem and head: sums over whole networks are what counts.

    Raises:
        ConfigError: where a layer was not measured on the target; it says by which command it is.
    """
    cost = {row.key: max(row.latency_ns, 0.0) / NS_PER_MS for row in table.rows(target_id, "block")}
    missing = [workload.name for workload in fbnet_layers() if workload.key not in cost]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ConfigError(
            f"{len(missing)} of FBNet's {len(fbnet_layers())} layers have no cost on {target_id}: "
            f"{'; '.join(missing[:_NAMED])}{more}; measure them with "
            f"`edgecost table build --format hwnasbench --target {target_id}`"
        )
    device = target_id.split("/", 1)[0]
    fixed_ms = sum(cost[workload.key] for workload in _ends())
    rows: list[FbnetBlock] = []
    for place in fbnet_places():
        if not place.residual:
            fixed_ms += cost[_skipped(place).key]
    for place in _places():
        reference_ms = 0.0 if place.residual else cost[_skipped(place).key]
        for kernel, expansion in _operators():
            latency_ms = cost[_layer(place, kernel, expansion).key] - reference_ms
            if place.residual and latency_ms <= 0.0:
                raise ConfigError(
                    f"the layer k{kernel} e{expansion} at {place} takes less on {target_id} than could be resolved; "
                    "measure it again with `--effort record`"
                )
            rows.append(
                FbnetBlock(
                    device, place.in_channels, place.out_channels, place.size, place.stride, kernel, expansion,
                    latency_ms, place.residual,
                )
            )  # fmt: skip
    return FbnetTable(tuple(rows), {device: fixed_ms}, f"measured on {target_id}")


def _places() -> Iterator[FbnetPlace]:
    """Each once, in order."""
    return iter(dict.fromkeys(fbnet_places()))


def _operators() -> list[tuple[int, int]]:
    return [(op[0], op[1]) for op in FBNET_OPERATORS if op is not None and op[2] == 1]


def _ends() -> tuple[Workload, ...]:
    """Stem and head."""
    return MixConv(read_supernet(FBNET_SUPERNET)).fixed_workloads()


def _at(place: FbnetPlace) -> Iterator[Workload]:
    if not place.residual:
        yield _skipped(place)
    for kernel, expansion in _operators():
        yield _layer(place, kernel, expansion)


def _layer(place: FbnetPlace, kernel: int, expansion: int) -> Workload:
    return block_workload(place.in_channels, place.out_channels, place.size, place.stride, ((kernel, expansion),))


def _skipped(place: FbnetPlace) -> Workload:
    b = WorkloadBuilder(f"skip {place}")
    x = b.input((1, place.in_channels, place.size, place.size))
    conv = b.conv2d(x, place.out_channels, stride=place.stride)
    return b.build(b.relu(b.batch_norm(conv, eps=BN_EPS)))
