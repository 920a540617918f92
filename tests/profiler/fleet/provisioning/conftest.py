from __future__ import annotations

import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
from fake_wheels import DIES, make_wheel, stands_in

from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.targets import Device, LeaseTerms, Target

GOOD = str(onnxruntime.__version__)
"""The version of the stand-in that works: that of the runtime which it stands in for."""

BAD = "99.1.0"


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in which nothing can be imported that is not its own."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def bare_board(board: Device, bare_python: Path, tmp_path: Path) -> Device:
    """A board without runtimes, in whose home a workdir two folders deep is to be made."""
    return replace(
        board,
        python=str(bare_python),
        workdir=f"~/{tmp_path.name}/deep/workdir",
        machine=str(tmp_path),
        shared=False,
        targets=(Target(board.id, "onnxruntime", "fp32"),),
        lease=LeaseTerms(wait_s=0.3),
    )


@pytest.fixture
def home(board: Device, fleet: object) -> Path:
    return Path(fleet.root) / "boards" / board.id / "home"  # type: ignore[attr-defined]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that the host's pip knows; it has numpy."""
    folder = tmp_path / "index"
    make_wheel(folder, "numpy", "2.0", {"numpy/__init__.py": stands_in("numpy")})
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def good(index: Path) -> Path:
    """A wheel of an onnxruntime that works."""
    return make_wheel(index, "onnxruntime", GOOD, {"onnxruntime/__init__.py": stands_in("onnxruntime")})


@pytest.fixture
def bad(index: Path) -> Path:
    """A wheel of a newer onnxruntime, which dies on this board."""
    return make_wheel(index, "onnxruntime", BAD, {"onnxruntime/__init__.py": DIES})


@pytest.fixture(scope="session")
def pretend_python() -> Callable[..., BoardPython]:
    """Makes a board's Python as that of another machine would describe itself."""

    def make(version: str = "3.11", machine: str = "aarch64", glibc: str = "glibc 2.36", **more: object) -> BoardPython:
        markers = {
            "implementation_name": "cpython",
            "implementation_version": f"{version}.2",
            "os_name": "posix",
            "platform_machine": machine,
            "platform_release": "6.1",
            "platform_system": "Linux",
            "platform_version": "#1",
            "platform_python_implementation": "CPython",
            "python_full_version": f"{version}.2",
            "python_version": version,
            "sys_platform": "linux",
        }
        for name in list(more):
            if name in markers:
                markers[name] = str(more.pop(name))
        return BoardPython.of(markers, machine=machine, glibc=glibc, **more)  # type: ignore[arg-type]

    return make
