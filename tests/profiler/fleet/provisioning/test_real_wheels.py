"""With the wheels that indexes really have; skipped where pip reaches none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from profiler.errors import ConfigError
from profiler.fleet.provisioning import deprovision, provision
from profiler.fleet.provisioning.index import Index, NoWheel
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.requirements import packages
from profiler.fleet.provisioning.resolving import resolve
from profiler.fleet.targets import Device, Target

Make = Callable[..., BoardPython]


@pytest.fixture(scope="session")
def reachable(pretend_python: Make) -> None:
    try:
        Index(pretend_python()).look_up([Requirement("packaging")])
    except (ConfigError, NoWheel) as error:
        pytest.skip(f"pip reaches no index here: {error}")


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
def test_a_bare_board_is_provisioned_from_the_index_and_left_as_it_was(
    bare_board: Device, home: Path, tmp_path: Path
) -> None:
    precisions = ("fp32", "int8")
    targets = tuple(
        Target(bare_board.id, name, precision)  # type: ignore[arg-type]
        for name in ("onnxruntime", "litert")
        for precision in precisions
    )
    board = replace(bare_board, targets=targets)
    workdir = home / board.workdir.removeprefix("~/")
    lines: list[str] = []
    found = provision(board, cache=tmp_path / "cache", say=lines.append)
    assert [(one.runtime, one.state, one.package) for one in found] == [
        ("onnxruntime", "installed", "onnxruntime"),
        ("litert", "installed", "ai-edge-litert"),
    ]
    current = json.loads((workdir / "env" / "current.json").read_text())
    assert set(current) == {"onnxruntime", "litert"}
    assert all(Path(entry["site"]).is_dir() and "numpy" in entry["distributions"] for entry in current.values())

    trees = {path: path.stat().st_mtime_ns for path in (workdir / "env").rglob("*.so")}
    assert trees
    assert [one.state for one in provision(board, cache=tmp_path / "cache")] == ["kept", "kept"]
    assert {path: path.stat().st_mtime_ns for path in (workdir / "env").rglob("*.so")} == trees
    deprovision(board)
    assert not workdir.parent.parent.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
def test_tflite_runtime_works_with_an_old_numpy_in_a_tree_of_its_own(
    bare_board: Device, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens where no ai-edge-litert can be had."""
    targets = (Target(bare_board.id, "litert", "fp32"), Target(bare_board.id, "litert", "int8"))
    board = replace(bare_board, targets=targets)
    fall_back = packages("litert")[1]
    monkeypatch.setattr("profiler.fleet.provisioning.board.packages", lambda *_: (fall_back,))
    (found,) = provision(board, cache=tmp_path / "cache", via="host")
    if found.state == "failed" and "no wheel of tflite-runtime" in found.error:
        pytest.skip(found.error)
    assert (found.state, found.package) == ("installed", "tflite-runtime")
    current = json.loads((home / board.workdir.removeprefix("~/") / "env" / "current.json").read_text())
    assert current["litert"]["distributions"]["numpy"].startswith("1.")
    deprovision(board)


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_wheels_for_an_aarch64_board_are_found_from_this_host(pretend_python: Make, runtime: str) -> None:
    board = pretend_python(version="3.11", machine="aarch64", glibc="glibc 2.36")
    (package, *_) = packages(runtime)
    found = resolve(package.limited(""), board, Index(board).look_up, package.unwanted)
    assert {package.name, "numpy"} <= {one.name for one in found}
    for one in found:
        tags = parse_wheel_filename(one.filename)[3]
        assert all(tag.platform == "any" or tag.platform.endswith("_aarch64") for tag in tags)


@pytest.mark.usefixtures("reachable")
def test_a_wheel_that_no_index_has(pretend_python: Make) -> None:
    board = pretend_python(version="3.7", machine="armv7l", glibc="glibc 2.28")
    with pytest.raises(NoWheel, match=r"no wheel of onnxruntime for cp37 on armv7l \(glibc 2.28\)"):
        Index(board).look_up([Requirement("onnxruntime")])
