"""Once-for-all's latency tables (DEVICE/RESOLUTION_lookup_table.yaml, or .json): one file an input resolution.

Layers by key, mean and standard deviation in ms, count of measurements. `expand` is the number of channels of the
depthwise convolution, not a ratio; `se` and `hs` say whether squeeze-and-excitation and h-swish are in the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.tables.formats.layerkeys import LayerRow, LayerShape, key_text, parse_key, read_pairs, rows_by

__all__ = ["is_ofa", "key_of", "read_ofa", "rows_of_pairs"]


def is_ofa(pairs: Sequence[tuple[str, Any]]) -> bool:
    """Whether what `read_pairs` gave is once-for-all's: its blocks, or its last layers, tell."""
    return any("-se:" in key or key.startswith("Conv_2-") for key, _ in pairs)


def read_ofa(path: Path) -> tuple[LayerRow, ...]:
    """Read one resolution's table.

    A key that stands there twice gives two rows.

    Raises:
        ConfigError: where the file is missing, cannot be read, or holds a row that is none; the message names it.
    """
    return rows_of_pairs(read_pairs(path), path)


def rows_of_pairs(pairs: Sequence[tuple[str, Any]], path: Path) -> tuple[LayerRow, ...]:
    """The rows of what `read_pairs` gave; `path` is for complaints. ConfigError as `read_ofa`."""
    return rows_by(_shape, pairs, path)


def key_of(shape: LayerShape) -> str:
    """A layer's key; ValueError, with the end of a sentence, where it lacks what a block's key says."""
    if shape.kind != "expanded_conv":
        return key_text(shape, {})
    if shape.middle is None or shape.kernel is None or shape.stride is None:
        raise ValueError("is a block without middle channels, kernel or stride, which its key has to say")
    numbers = {"expand": shape.middle, "kernel": shape.kernel, "stride": shape.stride, "idskip": int(shape.skip)}
    return key_text(shape, {**numbers, "se": int(shape.se), "hs": int(shape.hs)})


def _shape(key: str) -> LayerShape:
    kind, given, made, numbers = parse_key(key)
    if kind != "expanded_conv":
        return LayerShape(kind, given, made)
    lacking = [name for name in ("expand", "kernel", "stride", "idskip", "se", "hs") if name not in numbers]
    if lacking:
        raise ValueError(f"is a block without {', '.join(lacking)}")
    flags = [bool(numbers[name]) for name in ("idskip", "se", "hs")]
    return LayerShape(kind, given, made, numbers["expand"], numbers["kernel"], numbers["stride"], *flags)
