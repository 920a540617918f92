"""What we leave on a board is for its user alone, and what others plant there is not followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.agent.daemon.holdings import Survey
from tests.faults.arena import Bench, wait_until
from tests.faults.campaigns import Running, records
from tests.faults.chaos_runtime import Task

TASKS = [Task(number) for number in range(3)]


def modes(folder: Path) -> dict[str, int]:
    """Of a folder and all that is in it."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}


def test_nobody_else_can_read_or_enter_anything(bench: Bench, tmp_path: Path) -> None:
    """Looked at while a job runs, so that sockets, logs and journals of a living session are among it."""
    with Running(bench, TASKS, tmp_path):
        bench.wait_for_job()
        found = modes(bench.workdir)
    sessions = [name for name in found if name.startswith("sessions/") and name.count("/") == 1]
    assert sessions
    assert {found[name] for name in ("agent", "artefacts", "sessions", *sessions)} == {0o700}
    assert not [name for name, mode in found.items() if mode & 0o077], found


def test_a_workdir_that_was_open_to_all_does_not_open_what_is_in_it(bench: Bench, tmp_path: Path) -> None:
    bench.workdir.mkdir(mode=0o777)
    bench.workdir.chmod(0o777)
    with Running(bench, TASKS[:1], tmp_path) as running:
        pass
    assert running.error is None, running.error
    found = modes(bench.workdir)
    assert not [name for name, mode in found.items() if mode & 0o077 and name != "."], found


def _link(artefact: Path, treasure: Path) -> None:
    artefact.symlink_to(treasure)


def _pipe(artefact: Path, treasure: Path) -> None:
    os.mkfifo(artefact)


@pytest.mark.parametrize("plant", [_link, _pipe])
def test_what_lies_in_the_place_of_an_artefact_is_replaced_and_not_followed(
    plant: Callable[[Path, Path], None], bench: Bench, tmp_path: Path
) -> None:
    """A pipe that nobody writes to does not hang the board, and what a link leads to stays as it is."""
    with Running(bench, TASKS[:1], tmp_path):
        pass
    wait_until(lambda: not bench.agents(), "the agent to end")
    (artefact,) = bench.workdir.glob("artefacts/*")
    treasure = bench.home / f"treasure of {tmp_path.name}"
    treasure.write_bytes(artefact.read_bytes())
    artefact.unlink()
    plant(artefact, treasure)
    with Running(bench, TASKS, tmp_path / "second") as running:
        pass
    assert running.error is None, running.error
    assert [record.status for record in records(tmp_path / "second", bench.device.id)] == ["ok"] * 3
    assert treasure.read_bytes()
    assert stat.S_ISREG(artefact.lstat().st_mode)


def test_what_never_ends_is_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to("/dev/zero")
    survey = Survey([(str(tmp_path / "model.onnx"), "00" * 32), ("/dev/zero", "00" * 32)])
    steps = 0
    while survey.step():
        steps += 1
        assert steps < 10
    assert survey.missing == [0, 1]
