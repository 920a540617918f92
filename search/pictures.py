"""One image file: its size and its pixels, by Pillow; whatever is wrong with it becomes one sentence that names it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Size", "check_pillow", "decode", "size_of"]

Size = tuple[int, int]
"""Width and height, pixels."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)
"""What Pillow's decoders raise at damaged files."""


def check_pillow() -> None:
    """Raise ConfigError with the command that installs Pillow where it is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise ConfigError("image folders are read by Pillow: pip install 'edgecost[images]'") from None


def size_of(path: Path) -> Size:
    """Width and height of an image from the header of its file.

    Raises:
        ConfigError: where the file cannot be read or is no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def decode(path: Path, size: int, resized: bool) -> NDArray[np.uint8]:
    """The pixels of an image file as RGB bytes (size, size, 3).

    Args:
        path: the file.
        size: height and width wanted.
        resized: True: the shorter side is scaled to `size` (bilinear, anti-aliased) and the centre cut out; False:
            the image has to have that size.

    Raises:
        ConfigError: where the file cannot be read, is damaged, or has another size than it should.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if not resized and picture.size != (size, size):
                wide, high = picture.size
                raise ConfigError(f"{path} is {wide}x{high} pixels now, no longer {size}x{size}: load the data again")
            if resized:
                # a JPEG decodes faster at a half, quarter or eighth: never below twice the size wanted
                picture.draft(None, (2 * size, 2 * size))
            rgb = _rgb(picture)
            if resized:
                # cutting the square out and scaling it is the same as scaling all and cutting out, and less work
                rgb = rgb.resize((size, size), Image.Resampling.BILINEAR, box=_centre(rgb.size))
            return np.asarray(rgb)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def _rgb(picture: Picture) -> Picture:
    """The picture in RGB: grey three times over, colours looked up in the palette, transparency dropped."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey: the upper eight
        return Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("it holds floating-point numbers, of which nobody says the range")
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def _centre(size: Size) -> tuple[float, float, float, float]:
    side = min(size)
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


def _unreadable(path: Path, error: BaseException) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read as an image ({str(error) or type(error).__name__}): replace or remove it"
    )
