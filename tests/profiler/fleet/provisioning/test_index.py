from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_wheels import make_wheel
from packaging.requirements import Requirement

from profiler.errors import ConfigError, StorageError
from profiler.fleet.provisioning.index import Index, NoWheel
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.wheels import WheelCache, digest_of

Make = Callable[..., BoardPython]


@pytest.fixture
def aarch64(pretend_python: Make) -> Index:
    return Index(pretend_python(glibc="glibc 2.31"))


def asked(*texts: str) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def test_wheels_are_chosen_for_the_board_and_not_for_this_host(index: Path, aarch64: Index) -> None:
    for version, platform in (("1", "manylinux2014_aarch64"), ("2", "manylinux_2_34_aarch64"), ("3", "linux_x86_64")):
        make_wheel(index, "toy", version, tag=f"cp311-cp311-{platform}", requires=['x; platform_machine == "y"'])
    (found,) = aarch64.look_up(asked("toy"))
    assert (found.name, found.version) == ("toy", "1")
    assert found.requires == ('x; platform_machine == "y"',)
    assert found.sha256 == hashlib.sha256((index / found.filename).read_bytes()).hexdigest()


def test_of_several_requirements_the_one_without_a_wheel_is_named(index: Path, aarch64: Index) -> None:
    make_wheel(index, "toy", "1")
    with pytest.raises(NoWheel, match=r"no wheel of toy>=2 for cp311 on aarch64 \(glibc 2.31\)"):
        aarch64.look_up(asked("numpy", "toy>=2"))


def test_an_index_that_cannot_be_reached_is_not_one_without_wheels(
    aarch64: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ConfigError, match="pip cannot reach its index for toy"):
        aarch64.look_up(asked("toy"))


def test_versions_are_those_with_a_wheel_for_the_board(index: Path, aarch64: Index) -> None:
    make_wheel(index, "toy", "1.0+cpu")
    make_wheel(index, "toy", "2.0", tag="cp311-cp311-win_amd64")
    assert [str(version) for version in aarch64.versions("toy")] == ["1.0+cpu"]
    assert aarch64.versions("nothing") == []


def test_a_wheel_is_downloaded_once_and_lies_under_its_hash(index: Path, aarch64: Index, tmp_path: Path) -> None:
    wheel = make_wheel(index, "toy", "1.0")
    found = aarch64.look_up(asked("toy", "numpy"))
    cache = WheelCache(tmp_path / "cache")
    first = cache.fetch(found, aarch64)
    toy = next(one for one in first if one.name == "toy")
    assert toy.path == tmp_path / "cache" / hashlib.sha256(wheel.read_bytes()).hexdigest() / wheel.name
    assert toy.packed_bytes == wheel.stat().st_size
    for gone in index.iterdir():
        gone.unlink()
    assert cache.fetch(found, aarch64) == first
    assert digest_of(first) == digest_of(reversed(first))


def test_a_wheel_that_is_not_the_announced_one_is_refused(index: Path, aarch64: Index, tmp_path: Path) -> None:
    make_wheel(index, "toy", "1.0")
    (found,) = aarch64.look_up(asked("toy"))
    make_wheel(index, "toy", "1.0", {"toy/__init__.py": "evil = True\n"})
    with pytest.raises(StorageError, match="not the file that its index announced"):
        WheelCache(tmp_path / "cache").fetch([found], aarch64)
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_choice_is_remembered_for_boards_of_the_same_kind(
    index: Path, aarch64: Index, tmp_path: Path, pretend_python: Make
) -> None:
    make_wheel(index, "toy", "1.0")
    cache = WheelCache(tmp_path / "cache")
    board = pretend_python(glibc="glibc 2.31")
    wheels = cache.fetch(aarch64.look_up(asked("toy")), aarch64)
    cache.remember(board, ["toy"], wheels)
    twin = pretend_python(glibc="glibc 2.31", platform_release="another kernel")
    assert [one.sha256 for one in cache.remembered(twin, ["toy"]) or ()] == [wheels[0].sha256]
    assert cache.remembered(pretend_python(glibc="glibc 2.36"), ["toy"]) is None
    assert cache.remembered(board, ["toy<1"]) is None
    wheels[0].path.unlink()
    assert cache.remembered(board, ["toy"]) is None


def test_a_cache_that_cannot_be_written_is_named(index: Path, aarch64: Index, tmp_path: Path) -> None:
    make_wheel(index, "toy", "1.0")
    tmp_path.joinpath("file").touch()
    with pytest.raises(StorageError, match="--cache"):
        WheelCache(tmp_path / "file" / "cache").fetch(aarch64.look_up(asked("toy")), aarch64)
