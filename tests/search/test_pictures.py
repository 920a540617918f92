"""Single image files: modes, cutting out, and everything that can be wrong with a file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import ConfigError
from search.pictures import check_pillow, decode, size_of

Image = pytest.importorskip("PIL.Image")


def gradient(width: int, height: int) -> np.ndarray:
    """(height, width, 3): red grows to the right, green downwards, blue is 100."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 100)], axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_an_image_of_the_size_is_used_as_it_is(tmp_path: Path, suffix: str):
    pixels = gradient(16, 16)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    assert size_of(path) == (16, 16)
    assert np.array_equal(decode(path, 16, resized=False), pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str):
    grey = np.full((8, 8), 255, np.uint8)
    grey[:4] = 0
    picture = Image.fromarray(grey).convert("RGB").convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture.save(path)
    assert np.array_equal(decode(path, 8, resized=False), np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_of_grey_become_the_upper_eight(tmp_path: Path, suffix: str):
    grey = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF], [0x80FF, 0x7FFF, 1]], np.uint16)
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(decode(tmp_path / f"a.{suffix}", 3, resized=False)[..., 1], grey >> 8)


def test_a_palette_with_transparency_becomes_rgb_without_a_warning(tmp_path: Path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert (decode(tmp_path / "a.png", 4, resized=False) == [10, 20, 30]).all()


@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (20, 20), (41, 300), (10, 15)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_resizing_cuts_out_the_centre_square(tmp_path: Path, width: int, height: int, suffix: str):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient(width, height)).save(path, **({"quality": 95} if suffix == "jpg" else {}))
    result = decode(path, 20, resized=True).astype(float)
    assert result.shape == (20, 20, 3)
    # the centre stays in the centre, and a square sees its share of each gradient
    assert result[..., :2].mean(axis=(0, 1)) == pytest.approx(127.5, abs=3)
    side = min(width, height)
    for channel, axis, length in ((0, 1, width), (1, 0, height)):
        ends = result[..., channel].mean(axis=1 - axis)
        assert ends[-1] - ends[0] == pytest.approx(255 * side / length * 19 / 20, abs=14)
    assert result[..., 2] == pytest.approx(100, abs=12)


def test_a_large_jpeg_read_at_a_fraction_is_close_to_the_whole(tmp_path: Path):
    """The decoder leaves out frequencies that scaling would remove; a PNG of the same image has no such short cut."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (16, 24, 3), dtype=np.uint8))
    picture = coarse.resize((480, 320), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "a.jpg", quality=95)
    picture.save(tmp_path / "a.png")
    jpeg, png = (decode(tmp_path / name, 32, resized=True).astype(float) for name in ("a.jpg", "a.png"))
    assert np.abs(jpeg - png).mean() < 3


@pytest.mark.parametrize("resized", [False, True])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, resized: bool):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match=rf"a\.{suffix} cannot be read as an image \(.+\): replace or remove it"):
        decode(path, 64, resized)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for look in (size_of, lambda p: decode(p, 8, resized=True)):
        with pytest.raises(ConfigError, match=r"a\.png cannot be read as an image"):
            look(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of metadata that are of no use to us
def test_flipped_bytes_never_raise_anything_but_the_sentence(tmp_path: Path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    refused = 0
    for suffix in ("png", "jpg", "gif", "tiff", "webp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(noise).save(path)
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(60):
            broken = content.copy()
            where = rng.integers(0, min(len(broken), 400), 4)
            broken[where] = rng.integers(0, 256, 4)
            path.write_bytes(broken.tobytes())
            try:
                assert decode(path, 24, resized=True).shape == (24, 24, 3)
            except ConfigError:
                refused += 1
    assert refused > 50


def test_other_failures_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"gone\.png cannot be read as an image"):
        decode(tmp_path / "gone.png", 8, resized=True)
    Image.fromarray(gradient(9, 8)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"a\.png is 9x8 pixels now, no longer 8x8"):
        decode(tmp_path / "a.png", 8, resized=False)
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ConfigError, match=r"a\.tiff .*floating-point"):
        decode(tmp_path / "a.tiff", 8, resized=False)


def test_a_bomb_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(gradient(64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for look in (size_of, lambda p: decode(p, 8, resized=True)):
        with pytest.raises(ConfigError, match=r"a\.png cannot be read as an image .*decompression bomb"):
            look(tmp_path / "a.png")


def test_without_pillow_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch):
    check_pillow()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgecost\[images\]'"):
        check_pillow()
