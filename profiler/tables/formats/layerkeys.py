"""Latency tables of single layers, as ProxylessNAS began them and once-for-all went on: a mapping from keys to figures.

    expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:3-stride:1-idskip:1:
      count: 154      how many measurements
      mean: 5.26      ms
      var: 0.19       ms^2; once-for-all writes std, in ms

Shapes are height x width x channels. What ``expand`` means is where the two differ: see `ofa` and `proxylessnas`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError

__all__ = ["LayerRow", "LayerShape", "key_text", "parse_key", "read_pairs", "rows_by"]

_MOST_BYTES = 64 * 2**20
_NUMBERS = ("expand", "kernel", "stride", "idskip", "se", "hs")
_SHAPE = re.compile(r"\d{1,6}(x\d{1,6}){0,2}")


@dataclass(frozen=True, slots=True)
class LayerShape:
    """A layer as its key names it.

    Attributes:
        kind: "Conv" (the first), "expanded_conv" (an inverted residual block), "Conv_1", "Conv_2", "AvgPool2D" or
            "Logits".
        input, output: (height, width, channels), or (channels,) behind the pooling.
        middle: of expanded_conv: channels of its depthwise convolution; None elsewhere.
        kernel, stride: of expanded_conv; None elsewhere.
        skip, se, hs: whether the input is added, and whether squeeze-and-excitation and h-swish are in it.
    """

    kind: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    middle: int | None = None
    kernel: int | None = None
    stride: int | None = None
    skip: bool = False
    se: bool = False
    hs: bool = False

    @property
    def macs(self) -> int | None:
        """Multiply-adds; None for kinds whose kernel the key does not tell."""
        area = self.output[0] * self.output[1] if len(self.output) == 3 else 1
        if self.kind == "expanded_conv" and self.middle is not None and self.kernel is not None:
            area_in = self.input[0] * self.input[1]
            expand = self.input[-1] * self.middle * area_in if self.middle != self.input[-1] else 0
            return expand + self.middle * (self.kernel**2 + self.output[-1]) * area
        if self.kind == "Conv" and len(self.output) == 3:
            return 9 * self.input[-1] * self.output[-1] * area
        if self.kind in ("Conv_1", "Conv_2", "Logits"):
            return self.input[-1] * self.output[-1] * area
        return None


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer's figure.

    Attributes:
        key: as the file names it.
        shape: what the key says.
        latency_ms: the mean.
        deviation_ms: its standard deviation; NaN where the file does not say.
        count: how many measurements; None where it does not say.
    """

    key: str
    shape: LayerShape
    latency_ms: float
    deviation_ms: float = nan
    count: int | None = None


def read_pairs(path: Path) -> list[tuple[str, Any]]:
    """The file, .yaml, .yml or .json, as keys with whatever stands there; a key that stands there twice comes twice.

    Raises:
        ConfigError: a missing file, one that cannot be read, or another document.
    """
    import yaml

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(
                f"{path} has {path.stat().st_size} bytes, but tables of layers have a few millions at most"
            )
        text = path.read_text(encoding="utf-8")
        pairs = _json_pairs(text) if path.suffix.lower() == ".json" else _yaml_pairs(text)
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} cannot be read as a latency table of layers ({reason})") from None
    if not pairs or not all(isinstance(key, str) for key, _ in pairs):
        raise ConfigError(f"{path} is not a latency table of layers: a mapping from 'Conv-input:...' to figures")
    return pairs


def _json_pairs(text: str) -> list[tuple[Any, Any]]:
    """The outermost object's pairs; none where the document is another."""
    outermost: list[list[tuple[Any, Any]]] = []

    def keep(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        outermost[:] = [pairs]  # objects are told from the inside out
        return dict(pairs)

    return outermost[0] if isinstance(json.loads(text, object_pairs_hook=keep), dict) else []


def _yaml_pairs(text: str) -> list[tuple[Any, Any]]:
    """As `_json_pairs`."""
    import yaml

    # the loader in C reads the same and is ten times as fast; not every build has it
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            return []
        return [(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value]
    finally:
        loader.dispose()


def parse_key(key: str) -> tuple[str, tuple[int, ...], tuple[int, ...], dict[str, int]]:
    """A key's kind, input, output and numbers; ValueError with the end of a sentence where it is none."""
    kind, *parts = key.split("-")
    fields = dict(part.split(":", 1) for part in parts if ":" in part)
    if len(fields) != len(parts) or "input" not in fields or "output" not in fields:
        raise ValueError("is not of the form 'kind-input:HxWxC-output:HxWxC-...'")
    shapes = []
    for name in ("input", "output"):
        text = fields.pop(name)
        if not _SHAPE.fullmatch(text) or "0" in text.split("x"):
            raise ValueError(f"has the {name} {text[:40]!r}, which is no shape HxWxC")
        shapes.append(tuple(int(size) for size in text.split("x")))
    unknown = [name for name in fields if name not in _NUMBERS]
    if unknown:
        raise ValueError(f"has the field {unknown[0][:40]!r}; known are {', '.join(_NUMBERS)}")
    if not all(re.fullmatch(r"\d{1,6}", value) for value in fields.values()):
        raise ValueError("has a field that is no whole number")
    return kind, shapes[0], shapes[1], {name: int(value) for name, value in fields.items()}


def key_text(shape: LayerShape, numbers: Mapping[str, int]) -> str:
    """The key that `parse_key` reads: kind, input, output, and the numbers in their order."""
    parts = [shape.kind, f"input:{'x'.join(map(str, shape.input))}", f"output:{'x'.join(map(str, shape.output))}"]
    return "-".join([*parts, *(f"{name}:{numbers[name]:d}" for name in _NUMBERS if name in numbers)])


def rows_by(
    shape_of: Callable[[str], LayerShape], pairs: Sequence[tuple[str, Any]], path: Path
) -> tuple[LayerRow, ...]:
    """The rows of what `read_pairs` gave, in the form whose keys `shape_of` reads.

    Raises:
        ConfigError: for a row that is none; the message names it, and the file at `path`.
    """
    rows = []
    for key, figures in pairs:
        try:
            rows.append(_row_of(key, shape_of(key), figures))
        except ValueError as error:
            raise ConfigError(f"{path}: {key[:120]!r} {error}") from None
    return tuple(rows)


def _row_of(key: str, shape: LayerShape, figures: Any) -> LayerRow:
    """A row from what stands under its key; ValueError with the end of a sentence where that is no figure."""
    if not isinstance(figures, Mapping):
        figures = {"mean": figures}
    mean = _number(figures.get("mean"), "mean")
    if mean is None:
        raise ValueError("has no 'mean'")
    deviation = _number(figures.get("std"), "std")
    variance = _number(figures.get("var"), "var")
    if deviation is None and variance is not None:
        deviation = sqrt(variance) if variance >= 0 else variance
    count = _number(figures.get("count"), "count")
    return LayerRow(key, shape, mean, nan if deviation is None else deviation, None if count is None else int(count))


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"has the {name} {str(value)[:40]!r}, which is no finite number")
    return float(value)
