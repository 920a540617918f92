"""ProxylessNAS's latency table (mobile_trim.yaml): layers by key, mean in ms, variance in ms^2, count of measurements.

`expand` is the ratio of the depthwise convolution's channels to the block's input channels. Keys of blocks end with
`idskip`; squeeze-and-excitation and h-swish do not occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.tables.formats.layerkeys import LayerRow, LayerShape, key_text, parse_key, read_pairs, rows_by

__all__ = ["key_of", "read_proxylessnas", "rows_of_pairs"]


def read_proxylessnas(path: Path) -> tuple[LayerRow, ...]:
    """Read the table.

    A key that stands there twice gives two rows.

    Raises:
        ConfigError: where the file is missing, cannot be read, or holds a row that is none; the message names it.
    """
    return rows_of_pairs(read_pairs(path), path)


def rows_of_pairs(pairs: Sequence[tuple[str, Any]], path: Path) -> tuple[LayerRow, ...]:
    """The rows of what `read_pairs` gave; `path` is for complaints. ConfigError as `read_proxylessnas`."""
    return rows_by(_shape, pairs, path)


def key_of(shape: LayerShape) -> str:
    """A layer's key; ValueError, with the end of a sentence, for a layer that this form cannot name."""
    if shape.se or shape.hs:
        raise ValueError("has squeeze-and-excitation or h-swish, which ProxylessNAS's form has no words for")
    if shape.kind != "expanded_conv":
        return key_text(shape, {})
    if shape.middle is None or shape.kernel is None or shape.stride is None:
        raise ValueError("is a block without middle channels, kernel or stride, which its key has to say")
    expand, rest = divmod(shape.middle, shape.input[-1])
    if rest or not expand:
        raise ValueError(
            f"has {shape.middle} middle channels on {shape.input[-1]}, and ProxylessNAS's form holds whole ratios only"
        )
    return key_text(
        shape, {"expand": expand, "kernel": shape.kernel, "stride": shape.stride, "idskip": int(shape.skip)}
    )


def _shape(key: str) -> LayerShape:
    kind, given, made, numbers = parse_key(key)
    if "se" in numbers or "hs" in numbers:
        raise ValueError("names 'se' or 'hs', which are once-for-all's: there `expand` counts channels")
    if kind != "expanded_conv":
        return LayerShape(kind, given, made)
    lacking = [name for name in ("expand", "kernel", "stride", "idskip") if name not in numbers]
    if lacking:
        raise ValueError(f"is a block without {', '.join(lacking)}")
    middle = numbers["expand"] * given[-1]
    return LayerShape(kind, given, made, middle, numbers["kernel"], numbers["stride"], bool(numbers["idskip"]))
