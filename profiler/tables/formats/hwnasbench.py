"""The per-layer latencies of FBNet's search space on four devices that HW-NAS-Bench measured or simulated.

The file holds one row a device and layer, recovered by least squares from sums over whole networks: on raspi4 and
pixel3 (measured), eyeriss (simulated) and fpga (estimated), for images of 32 x 32 pixels and 100 classes. Such sums
fix a table only up to constants:

- Every place of the network has a row `Skip_*`, zero by construction, and one row `CONST_stem_head_fc` a device holds
  the rest. Where a skipped layer is an identity (stride 1, as many channels out as in) the figures of that place are
  *absolute*. Elsewhere a skipped layer is a convolution of its own: the figures are *relative* to its unknown cost,
  which the constant contains.
- So a whole network's latency is exact: the constant and one row a layer, each relative place taken exactly once.
  A single relative figure says nothing but by how much it differs from others of its place.
- The constant of fpga is zero: that table leaves out stem, head and classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError

__all__ = [
    "CONSTANT_KEY",
    "FBNET_OPERATORS",
    "FILE_NAME",
    "FbnetBlock",
    "FbnetPlace",
    "FbnetTable",
    "fbnet_places",
    "read_hwnasbench",
]

FILE_NAME = "hwnasbench_fbnet_lut_cifar100_recovered.parquet"

FBNET_OPERATORS: tuple[tuple[int, int, int] | None, ...] = (
    (3, 1, 1),
    (3, 1, 2),
    (3, 3, 1),
    (3, 6, 1),
    (5, 1, 1),
    (5, 1, 2),
    (5, 3, 1),
    (5, 6, 1),
    None,
)
"""(kernel, expansion, groups of the 1x1 convolutions) by the codes of FBNet architectures; None skips."""

_STAGES = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
_COLUMNS = (
    "device", "key", "latency_ms", "block", "h", "w", "cin", "cout", "expand", "kernel", "stride", "group", "absolute",
)  # fmt: skip
CONSTANT_KEY = "CONST_stem_head_fc"
"""The key of what every network takes besides its layers."""
_MOST_ROWS = 100_000
_ROUNDING_MS = 1e-9
"""What the recovery leaves of a zero."""


@dataclass(frozen=True, slots=True, order=True)
class FbnetPlace:
    """Where a layer stands: channels in and out, height and width of its input in pixels, stride."""

    in_channels: int
    out_channels: int
    size: int
    stride: int

    @property
    def residual(self) -> bool:
        """Whether a skipped layer is an identity here, so that figures are absolute."""
        return self.stride == 1 and self.in_channels == self.out_channels

    def __str__(self) -> str:
        return f"{self.in_channels}x{self.size}x{self.size} -> {self.out_channels} /{self.stride}"


@dataclass(frozen=True, slots=True)
class FbnetBlock:
    """One layer of FBNet's space on one device: 1x1 convolution to in_channels * expansion, depthwise convolution,
    1x1 convolution, each with batch norm, ReLU behind the first two; the input added where it can be.

    Attributes:
        device: raspi4, pixel3, eyeriss or fpga.
        in_channels, out_channels, size, stride: see `FbnetPlace`.
        kernel, expansion: of its depthwise convolution.
        groups: of its 1x1 convolutions (1 or 2).
        latency_ms: for one image; where not `absolute`, what it takes more than a skipped layer at its place.
        absolute: whether latency_ms stands on its own.
    """

    device: str
    in_channels: int
    out_channels: int
    size: int
    stride: int
    kernel: int
    expansion: int
    latency_ms: float
    absolute: bool
    groups: int = 1

    @property
    def place(self) -> FbnetPlace:
        """Where it stands."""
        return FbnetPlace(self.in_channels, self.out_channels, self.size, self.stride)


@dataclass(frozen=True)
class FbnetTable:
    """The whole file.

    Attributes:
        rows: every layer of every device, also those with grouped 1x1 convolutions.
        fixed_ms: by device, what every whole network takes besides its layers.
        source: the file, for messages.
    """

    rows: tuple[FbnetBlock, ...]
    fixed_ms: Mapping[str, float]
    source: str = ""
    _figures: Mapping[tuple[str, FbnetPlace, int, int, int], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        figures = {(r.device, r.place, r.kernel, r.expansion, r.groups): r.latency_ms for r in self.rows}
        object.__setattr__(self, "_figures", figures)

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices in the order of the file."""
        return tuple(self.fixed_ms)

    def of(self, device: str, groups: int = 1) -> tuple[FbnetBlock, ...]:
        """The layers of one device whose 1x1 convolutions have so many groups.

        Raises:
            ConfigError: where the table lacks the device.
        """
        self.check_device(device)
        return tuple(row for row in self.rows if row.device == device and row.groups == groups)

    def network_ms(self, device: str, codes: Sequence[int]) -> float:
        """The latency of a whole FBNet architecture, written as one code of `FBNET_OPERATORS` a layer.

        Raises:
            ConfigError: where the table lacks the device or a layer, or the codes are no architecture.
        """
        self.check_device(device)
        places = tuple(fbnet_places())
        if len(codes) != len(places) or not all(0 <= code < len(FBNET_OPERATORS) for code in codes):
            raise ConfigError(
                f"an FBNet architecture has {len(places)} codes from 0 to {len(FBNET_OPERATORS) - 1}, not {list(codes)}"
            )
        total = self.fixed_ms[device]
        for place, code in zip(places, codes, strict=True):
            operator = FBNET_OPERATORS[code]
            if operator is not None:
                total += self._figure(device, place, *operator)
        return total

    def check_device(self, device: str) -> None:
        """Raise ConfigError unless the table has the device."""
        if device not in self.fixed_ms:
            raise ConfigError(f"{self.source} has no device {device!r}; it has {', '.join(self.fixed_ms)}")

    def _figure(self, device: str, place: FbnetPlace, kernel: int, expansion: int, groups: int) -> float:
        found = self._figures.get((device, place, kernel, expansion, groups))
        if found is None:
            label = f"k{kernel} e{expansion} g{groups} at {place}"
            raise ConfigError(f"{self.source} has no figure of {device} for {label}; give the whole file")
        return found


def fbnet_places() -> Iterator[FbnetPlace]:
    """The 22 layers of FBNet for images of 32 x 32 pixels, in order."""
    channels, size = 16, 32
    for filters, layers, first_stride in _STAGES:
        for layer in range(layers):
            stride = first_stride if layer == 0 else 1
            yield FbnetPlace(channels, filters, size, stride)
            channels, size = filters, size // stride


def read_hwnasbench(path: Path) -> FbnetTable:
    """Read the table from its file, or from the folder that holds it.

    Raises:
        ConfigError: where the file is missing, or is not such a table.
    """
    path = path / FILE_NAME if path.is_dir() else path
    rows: dict[tuple[Any, ...], FbnetBlock] = {}
    fixed_ms: dict[str, float] = {}
    for index, raw in enumerate(_read(path)):
        try:
            row = _parse(raw, fixed_ms)
        except ValueError as error:
            raise ConfigError(f"{path}: row {index} ({str(raw['key'])[:80]!r}) {error}") from None
        if row is None:
            continue
        key = (row.device, row.place, row.kernel, row.expansion, row.groups)
        if key in rows:
            raise ConfigError(f"{path}: row {index} ({str(raw['key'])[:80]!r}) stands there twice")
        rows[key] = row
    devices = dict.fromkeys(row.device for row in rows.values())
    if not devices:
        raise ConfigError(f"{path} holds no row of block 'ConvBlock', so nothing can be read from it")
    for device in devices:
        if device not in fixed_ms:
            raise ConfigError(f"{path}: {device!r} has no row {CONSTANT_KEY!r}, so its sums would lack stem and head")
    return FbnetTable(tuple(rows.values()), {d: fixed_ms[d] for d in devices}, str(path))


def _read(path: Path) -> list[dict[str, Any]]:
    """The file's rows as plain mappings with all of `_COLUMNS`."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        file = pq.ParquetFile(pa.BufferReader(path.read_bytes()))
        lacking = [name for name in _COLUMNS if name not in file.schema_arrow.names]
        if lacking:
            raise ConfigError(f"{path} is not the table of FBNet's layers: it lacks the columns {', '.join(lacking)}")
        if file.metadata.num_rows > _MOST_ROWS:
            raise ConfigError(f"{path} has {file.metadata.num_rows} rows, but the table of FBNet's layers has hundreds")
        rows: list[dict[str, Any]] = file.read(list(_COLUMNS)).to_pylist()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}; name the file {FILE_NAME} or the folder that holds it (EDGECOST_DATA)"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} cannot be read as a parquet file ({reason}); fetch it again") from None
    return rows


def _parse(raw: Mapping[str, Any], fixed_ms: dict[str, float]) -> FbnetBlock | None:
    """One row; a constant goes into `fixed_ms`, skipped layers give nothing.

    Raises:
        ValueError: with the end of a sentence that begins by naming the row.
    """
    device, latency_ms = raw["device"], raw["latency_ms"]
    if not isinstance(device, str) or not device:
        raise ValueError("names no device")
    if not isinstance(latency_ms, float) or not isfinite(latency_ms):
        raise ValueError(f"has the latency {latency_ms!r}, which is no finite number of ms")
    if raw["key"] == CONSTANT_KEY:
        _take_constant(device, latency_ms, fixed_ms)
        return None
    if raw["block"] == "Skip":
        if latency_ms != 0.0:
            raise ValueError(f"is a skipped layer of {latency_ms} ms, but the others are relative to zero")
        return None
    if raw["block"] != "ConvBlock":
        raise ValueError(f"is of block {raw['block']!r}, neither 'ConvBlock' nor 'Skip'")
    return _block(raw, device, latency_ms)


def _take_constant(device: str, latency_ms: float, fixed_ms: dict[str, float]) -> None:
    if device in fixed_ms:
        raise ValueError(f"is the second constant of {device}")
    if latency_ms < -_ROUNDING_MS:
        raise ValueError(f"has a negative latency ({latency_ms} ms)")
    fixed_ms[device] = max(latency_ms, 0.0)


def _block(raw: Mapping[str, Any], device: str, latency_ms: float) -> FbnetBlock:
    numbers = {name: raw[name] for name in ("h", "w", "cin", "cout", "expand", "kernel", "stride", "group")}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"has {name} = {value!r}, but it must be an integer from 1")
    if numbers["h"] != numbers["w"]:
        raise ValueError(f"has an input of {numbers['h']} x {numbers['w']} pixels, but inputs are square")
    if numbers["kernel"] % 2 == 0:
        raise ValueError(f"has kernel = {numbers['kernel']}, but kernels are odd")
    place = FbnetPlace(numbers["cin"], numbers["cout"], numbers["h"], numbers["stride"])
    if not isinstance(raw["absolute"], bool) or raw["absolute"] != place.residual:
        raise ValueError(f"says absolute = {raw['absolute']!r}, but at {place} it must be {place.residual}")
    if place.residual and latency_ms <= 0.0:
        raise ValueError(f"has the latency {latency_ms} ms, but an absolute one is above zero")
    return FbnetBlock(
        device, place.in_channels, place.out_channels, place.size, place.stride,
        numbers["kernel"], numbers["expand"], latency_ms, place.residual, numbers["group"],
    )  # fmt: skip
