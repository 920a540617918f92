"""S3NAS's latency folders: one file a block, its name saying what the block is, its content a JSON object.

    FOLDER/MixConvBlock/r1_k3,5_s22_e2,4_i32_o32_c100_noskip_relu_imgsize112      {"latency": 364425}
    FOLDER/MBConvBlock/...   FOLDER/Conv2D/k7_s22_i3_o32_imgsize224
    FOLDER/GlobalAvgPool/i1280_imgsize7   FOLDER/Dense/i1280_o1000_imgsize1

Of a block: k its kernels, s its stride twice, e their expansions, i and o its channels, c its class, se the ratio of
its squeeze-and-excitation; "noskip" that its input is not added, then the activation; imgsize is that of its input.
Figures are in ns (their code divides them by 10^6 and compares the sum with ms).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from profiler.errors import ConfigError

__all__ = ["S3NAS_FIGURES", "S3nasLayer", "read_s3nas"]

S3NAS_FIGURES = ("latency", "total_true_latencies")
"""Under which names a file's figure stands; the first that is there counts."""

_KINDS = ("MixConvBlock", "MBConvBlock", "Conv2D", "GlobalAvgPool", "Dense")
_FIELD = re.compile(r"(imgsize|se|[rkseioc])(\d[\d,.]*)")
_ACTIVATIONS = ("relu", "relu6", "hsw", "sw")
_NEEDED = {
    "MixConvBlock": ("k", "s", "e", "i", "o"),
    "MBConvBlock": ("k", "s", "e", "i", "o"),
    "Conv2D": ("k", "s", "i", "o"),
    "GlobalAvgPool": ("i",),
    "Dense": ("i", "o"),
}
_MOST_FILES = 100_000
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class S3nasLayer:
    """One file.

    Attributes:
        name: folder and file, such as "Conv2D/k7_s22_i3_o32_imgsize224".
        kind: "MixConvBlock", "MBConvBlock", "Conv2D", "GlobalAvgPool" or "Dense".
        size: height and width of its input in pixels.
        in_channels, out_channels: as named; a pooling has as many of both.
        kernels, expansions: of its branches; () where it has none.
        stride: of its convolution; 1 elsewhere.
        skip: whether the input may be added, which is done where stride and channels allow it.
        se_ratio: of squeeze-and-excitation; 0.0 for none.
        activation: "relu", "relu6", "hsw" or "sw"; ReLU where the name says nothing.
        latency_ns: the figure.
    """

    name: str
    kind: str
    size: int
    in_channels: int
    out_channels: int
    kernels: tuple[int, ...] = ()
    expansions: tuple[int, ...] = ()
    stride: int = 1
    skip: bool = True
    se_ratio: float = 0.0
    activation: str = "relu"
    latency_ns: float = 0.0


def read_s3nas(folder: Path, figure: str = "") -> tuple[S3nasLayer, ...]:
    """Every file of a folder, by folder and name.

    Args:
        folder: the one that holds MixConvBlock, MBConvBlock, Conv2D, GlobalAvgPool and Dense, as far as there are any.
        figure: the name of the figure in the files; by default one of `S3NAS_FIGURES`.

    Raises:
        ConfigError: no such folder, nothing in it, or a file that is none of this layout; the message names it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; S3NAS's layout is FOLDER/{'|'.join(_KINDS)}/one file a block")
    paths = [p for kind in _KINDS for p in sorted((folder / kind).glob("*")) if p.is_file()]
    if not paths:
        raise ConfigError(
            f"{folder} holds none of S3NAS's folders ({', '.join(_KINDS)}) with files in them; name the folder above"
        )
    if len(paths) > _MOST_FILES:
        raise ConfigError(f"{folder} holds {len(paths)} files; up to {_MOST_FILES} are read")
    found = []
    for path in paths:
        try:
            found.append(_layer(path, figure))
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None
    return tuple(found)


def _layer(path: Path, figure: str) -> S3nasLayer:
    kind = path.parent.name
    fields, words = _fields(path.name)
    lacking = [name for name in (*_NEEDED[kind], "imgsize") if name not in fields]
    if lacking:
        raise ValueError(f"the name lacks {', '.join(lacking)}; such as 'k3_s22_e6_i32_o64_c0_relu_imgsize112'")
    strides = fields.get("s", "11")
    if len(strides) != 2 or strides[0] != strides[1]:
        raise ValueError(f"the name has the strides {strides!r}, and both are to be the same digit")
    activations = [word for word in words if word != "noskip"]
    unknown = [word for word in activations if word not in _ACTIVATIONS]
    if unknown or len(activations) > 1:
        raise ValueError(
            f"the name has {' '.join(activations)!r}, and one activation is known of {', '.join(_ACTIVATIONS)}"
        )
    if fields.get("r", "1") != "1":
        raise ValueError(f"the name repeats its block {fields['r']} times, and figures are read of single blocks")
    kernels = _numbers(fields.get("k", ""))
    expansions = _numbers(fields.get("e", ""))
    if expansions and len(expansions) != len(kernels):
        raise ValueError(f"the name has {len(kernels)} kernels and {len(expansions)} expansions; give one each")
    given = int(fields["i"])
    return S3nasLayer(
        f"{kind}/{path.name}", kind, int(fields["imgsize"]), given, int(fields.get("o", given)), kernels, expansions,
        int(strides[0]), "noskip" not in words, float(fields.get("se", 0.0)), (activations or ["relu"])[0],
        _figure(path, figure),
    )  # fmt: skip


def _fields(name: str) -> tuple[dict[str, str], list[str]]:
    """The name's parts: values by letter, and words."""
    fields: dict[str, str] = {}
    words: list[str] = []
    for part in name.split("_"):
        match = _FIELD.fullmatch(part)
        if match is None:
            words.append(part)
        elif match[1] in fields:
            raise ValueError(f"the name says {match[1]!r} twice")
        else:
            fields[match[1]] = match[2]
    for letter, value in fields.items():
        if letter not in ("k", "e", "se") and not value.isdigit():
            raise ValueError(f"the name has {letter}{value}, which is no whole number")
    return fields, words


def _numbers(text: str) -> tuple[int, ...]:
    """Of "3,5"; ValueError where one is no whole number above zero."""
    values = tuple(float(part) for part in text.split(",")) if text else ()
    if any(value != int(value) or value < 1 for value in values):
        raise ValueError(f"the name has {text!r}, and kernels and expansions are whole numbers above zero")
    return tuple(int(value) for value in values)


def _figure(path: Path, name: str) -> float:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes, and one figure is wanted")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError('is not JSON; a file holds such as {"latency": 364425}') from None
    wanted = (name,) if name else S3NAS_FIGURES
    found = next((data[n] for n in wanted if n in data), None) if isinstance(data, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not isfinite(found) or found <= 0:
        raise ValueError(f"has no figure above zero under {' or '.join(map(repr, wanted))}")
    return float(found)
