"""A board's Python as pip and packaging know it: which wheels it loads, and what environment markers mean there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags

__all__ = ["BoardPython", "Unsupported"]

OLDEST_PYTHON = (3, 7)

_LOWEST_GLIBC = {"x86_64": 5, "i686": 5}
"""The first minor version of glibc 2 that has a manylinux tag; 17 for the architectures that came later."""

_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""What the tags of PEP 600 were called before it; indexes still have them."""


class Unsupported(Exception):
    """No wheels are made for such a Python; the text says why, and what to do instead."""


@dataclass(frozen=True)
class BoardPython:
    """The interpreter of a board.

    Attributes:
        version: (3, 11).
        abi: such as "cp311".
        machine: what it was compiled for; on a 64-bit kernel that may be a 32-bit one.
        glibc: (2, 36).
        markers: PEP 508's environment markers there, all of them.
    """

    version: tuple[int, int]
    abi: str
    machine: str
    glibc: tuple[int, int]
    markers: Mapping[str, str]

    @classmethod
    def of(
        cls,
        markers: Mapping[str, str],
        *,
        machine: str,
        abiflags: str = "",
        glibc: str = "",
        android: bool = False,
        hard_float: bool = True,
    ) -> BoardPython:
        """From what a board says about itself.

        Raises:
            Unsupported: it is too old, not CPython, or its system is not Linux with glibc.
        """
        found = re.fullmatch(r"(\d{1,2})\.(\d{1,3})", markers["python_version"])
        version = (int(found[1]), int(found[2])) if found else (0, 0)
        name = f"{markers['platform_python_implementation']} {markers['python_version']}"
        if version < OLDEST_PYTHON:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            raise Unsupported(f"{name} is too old: set `python` to one of version {oldest} or later")
        if markers["implementation_name"] != "cpython":
            raise Unsupported(f"{name} is not CPython, which the runtimes need: set `python` to a CPython")
        if android or markers["sys_platform"] == "android":
            raise Unsupported(
                "Android's libc is not glibc, and the runtimes have no wheels for it: install Termux's own packages "
                "(python-onnxruntime), or use a Debian inside proot"
            )
        if markers["sys_platform"] != "linux":
            raise Unsupported(f"{markers['sys_platform']} is not Linux, which provisioning is for")
        libc = re.fullmatch(r"glibc (\d{1,2})\.(\d{1,3})(\..*)?", glibc)
        if libc is None:
            raise Unsupported(
                "its libc is not glibc (musl, as in Alpine?), and the runtimes have no wheels for it: use an image "
                "with glibc, such as Debian"
            )
        if machine.startswith("arm") and not hard_float:
            raise Unsupported("its Python is of the soft-float kind (armel), for which there are no wheels: use armhf")
        flags = "".join(flag for flag in abiflags if flag in "mut")  # a debug build loads what others load
        abi = f"cp{version[0]}{version[1]}{flags}"
        return cls(version, abi, machine, (int(libc[1]), int(libc[2])), dict(markers))

    @property
    def name(self) -> str:
        """Such as "cp311 on aarch64 (glibc 2.36)"."""
        return f"{self.abi} on {self.machine} (glibc {self.glibc[0]}.{self.glibc[1]})"

    @cached_property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags it accepts, the best first.

        pip does not widen what `--platform` says, so every one of them has to be named.
        """
        return tuple(self._platforms())

    def _platforms(self) -> Iterator[str]:
        if self.glibc[0] == 2:
            for minor in range(self.glibc[1], _LOWEST_GLIBC.get(self.machine, 17) - 1, -1):
                yield f"manylinux_2_{minor}_{self.machine}"
                alias = _ALIASES.get(minor)
                if alias == "manylinux2014" or (alias and self.machine in _LOWEST_GLIBC):
                    yield f"{alias}_{self.machine}"
        yield f"linux_{self.machine}"  # of vendors' indexes

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Every tag of a wheel that it loads."""
        interpreter = f"cp{self.version[0]}{self.version[1]}"
        return frozenset(
            [
                *cpython_tags(self.version, [self.abi], self.platforms),
                *compatible_tags(self.version, interpreter, self.platforms),
            ]
        )

    @property
    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for this Python rather than for the one that runs it."""
        options = ["--only-binary=:all:", "--implementation", "cp", "--abi", self.abi]
        options += ["--python-version", self.markers["python_version"]]
        for platform in self.platforms:
            options += ["--platform", platform]
        return options

    def wants(self, requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
        """Whether a requirement holds on this board, for one of these extras of the package that has it."""
        marker: Marker | None = requirement.marker
        # the markers given replace those of the Python that runs this, all of them
        return marker is None or any(marker.evaluate({**self.markers, "extra": extra}) for extra in extras or {""})
