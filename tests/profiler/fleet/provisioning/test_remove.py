from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import DeviceBusy, DeviceError
from profiler.fleet.provisioning import Removed, deprovision, provision
from profiler.fleet.provisioning.remove import _find
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult


def listing(home: Path) -> list[tuple[str, int, int]]:
    """Everything below a home with its mode and size."""
    found = [(str(path), path.lstat().st_mode, path.lstat().st_size) for path in home.rglob("*")]
    return sorted((path, mode, size if os.path.isfile(path) else 0) for path, mode, size in found)


@pytest.fixture
def workdir(bare_board: Device, home: Path) -> Path:
    return home / bare_board.workdir.removeprefix("~/")


def test_nothing_is_left_behind(bare_board: Device, good: Path, home: Path, tmp_path: Path) -> None:
    home.joinpath("theirs.txt").write_text("keep me")
    before = listing(home)
    provision(bare_board, cache=tmp_path / "cache")
    assert listing(home) != before
    removed = deprovision(bare_board)
    assert removed.kept == ()
    assert removed.folder.endswith("/deep/workdir")
    # the parents that were made for the workdir are gone too
    assert listing(home) == before
    assert deprovision(bare_board) == Removed("")


def test_parents_that_were_there_before_stay(bare_board: Device, workdir: Path) -> None:
    workdir.parent.parent.mkdir()
    with connect(bare_board) as session:  # made by somebody who kept no note of the parents
        session.facts()
    deprovision(bare_board)
    assert not workdir.exists()
    assert workdir.parent.parent.is_dir()


def test_files_that_are_not_ours_stay_and_are_told(
    bare_board: Device, good: Path, workdir: Path, tmp_path: Path
) -> None:
    provision(bare_board, cache=tmp_path / "cache")
    theirs = ["notes.txt", "env/notes.txt", "agent/tool.py", "artefacts/model.onnx", "sessions/x/y", "more/a/b"]
    for name in theirs:
        (workdir / name).parent.mkdir(parents=True, exist_ok=True)
        (workdir / name).write_text("theirs")
    workdir.joinpath("elsewhere").symlink_to(tmp_path)
    removed = deprovision(bare_board)
    assert list(removed.kept) == sorted([*theirs, "elsewhere"])
    found = {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}
    assert found == set(theirs)
    assert (tmp_path / "cache").is_dir()


def test_a_board_in_use_is_left_as_it_is(bare_board: Device, workdir: Path) -> None:
    with connect(bare_board) as session:
        session.facts()
        before = sorted(workdir.rglob("*"))
        with pytest.raises(DeviceBusy, match=f"{bare_board.id} is in use by"):
            deprovision(bare_board)
        assert sorted(workdir.rglob("*")) == before
        session.facts()
    deprovision(bare_board)
    assert not workdir.exists()


def test_a_lease_that_is_held_in_any_other_way_is_respected(
    bare_board: Device, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody takes the board between our letting go of the lease and the removal."""
    with connect(bare_board) as session:
        session.facts()
        monkeypatch.setattr("profiler.fleet.provisioning.remove._end_our_agent", lambda *_: None)
        with pytest.raises(DeviceBusy, match="in use by"):
            deprovision(bare_board)
        assert (workdir / "agent").is_dir()


def test_a_board_whose_agent_does_not_start_can_be_cleared_all_the_same(
    bare_board: Device, workdir: Path, tmp_path: Path
) -> None:
    with connect(bare_board) as session:
        session.facts()
    lines: list[str] = []
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *attach*) exit 9;; esac\nexec {bare_board.python} "$@"\n')
    wrapper.chmod(0o755)
    removed = deprovision(replace(bare_board, python=str(wrapper)), say=lines.append)
    assert removed.folder
    assert not workdir.exists()
    assert any("no agent can be started there" in line for line in lines)


def test_a_board_that_names_no_folder_is_not_believed(bare_board: Device, tmp_path: Path) -> None:
    class Liar:
        def run(self, *_: object, **__: object) -> CommandResult:
            return CommandResult(0, b"\nedgecost:/home\nedgecost:/home/\x1b[2J\nedgecost:python3\n", b"")

    with pytest.raises(DeviceError, match="nonsense") as caught:
        _find(Liar(), bare_board)  # type: ignore[arg-type]
    assert "\x1b" not in str(caught.value)


def test_a_board_without_python_is_named(bare_board: Device, workdir: Path) -> None:
    with connect(bare_board) as session:
        session.facts()
    with pytest.raises(DeviceError, match="cannot run"):
        deprovision(replace(bare_board, python="/nowhere/python"))
    assert workdir.is_dir()
    deprovision(bare_board)
