from __future__ import annotations

from collections.abc import Callable

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, sys_tags

from profiler.fleet.provisioning.platform_tags import BoardPython, Unsupported

Make = Callable[..., BoardPython]


def test_every_manylinux_up_to_the_boards_glibc_is_named(pretend_python: Make) -> None:
    platforms = pretend_python(glibc="glibc 2.28").platforms
    assert platforms[0] == "manylinux_2_28_aarch64"
    assert platforms[-3:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64")
    assert "manylinux_2_29_aarch64" not in platforms


def test_old_names_of_tags_are_those_of_the_architecture(pretend_python: Make) -> None:
    assert {"manylinux1_x86_64", "manylinux2010_x86_64"} <= set(pretend_python(machine="x86_64").platforms)
    assert not {"manylinux1_armv7l", "manylinux2010_armv7l"} & set(pretend_python(machine="armv7l").platforms)


def test_abi3_wheels_of_older_pythons_and_pure_ones_suit(pretend_python: Make) -> None:
    tags = pretend_python().tags
    assert Tag("cp39", "abi3", "manylinux_2_28_aarch64") in tags
    assert Tag("py3", "none", "any") in tags
    assert Tag("cp310", "cp310", "manylinux_2_28_aarch64") not in tags
    assert Tag("cp311", "cp311", "musllinux_1_2_aarch64") not in tags


def test_it_agrees_with_packaging_about_this_machine() -> None:
    """packaging's own idea of this interpreter, and ours by what a board would say."""
    from profiler.fleet.provisioning.far_end.look import look

    seen = look({"root": "/"})
    board = BoardPython.of(
        seen["markers"], machine=seen["machine"], abiflags=seen["abiflags"], glibc=seen["glibc"], android=False
    )
    assert set(sys_tags()) == board.tags


@pytest.mark.parametrize(
    ("version", "flags", "abi"), [("3.7", "m", "cp37m"), ("3.13", "t", "cp313t"), ("3.11", "d", "cp311")]
)
def test_abi(pretend_python: Make, version: str, flags: str, abi: str) -> None:
    assert pretend_python(version=version, abiflags=flags).abi == abi


def test_markers_are_the_boards(pretend_python: Make) -> None:
    cuda = Requirement('nvidia-x; platform_machine == "x86_64"')
    assert not pretend_python(machine="aarch64").wants(cuda)
    assert pretend_python(machine="x86_64").wants(cuda)
    old = Requirement('backport; python_version < "3.8"')
    assert pretend_python(version="3.7").wants(old)
    assert not pretend_python().wants(old)
    extra = Requirement('more; extra == "all"')
    assert not pretend_python().wants(extra)
    assert pretend_python().wants(extra, frozenset({"", "all"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "3.6"}, "too old"),
        ({"version": "2.7"}, "too old"),
        ({"implementation_name": "pypy"}, "not CPython"),
        ({"android": True, "glibc": ""}, "Termux"),
        ({"glibc": ""}, "musl"),
        ({"glibc": "musl 1.2"}, "musl"),
        ({"sys_platform": "darwin"}, "not Linux"),
        ({"machine": "armv7l", "hard_float": False}, "armhf"),
    ],
)
def test_what_has_no_wheels_is_refused_by_name(pretend_python: Make, change: dict[str, object], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        pretend_python(**change)
