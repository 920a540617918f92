"""Old sessions and agents are removed, by count and never those in use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from profiler.agent.daemon.tidying import AGENTS_KEPT, SESSIONS_KEPT, tidy
from profiler.agent.place import Place


def make(path: Path, age: int) -> Path:
    """A file or folder that was changed so many seconds after 1970."""
    if path.suffix:
        path.write_text("x")
    else:
        path.mkdir()
        path.joinpath("journal.jsonl").write_text("x")
    os.utime(path, (age, age))
    return path


def test_the_oldest_go_and_what_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, agents = tmp_path / "sessions", tmp_path / "agent"
    for folder in (sessions, agents):
        folder.mkdir()
    ours = make(sessions / "ours", 1)
    old = [make(sessions / f"s{age:02}", age) for age in range(2, SESSIONS_KEPT + 5)]
    running = make(agents / "running.pyz", 1)
    versions = [make(agents / f"v{age}.pyz", age) for age in range(2, AGENTS_KEPT + 4)]
    other = make(agents / "other.txt", 1)
    monkeypatch.setattr(sys, "argv", [str(running)])
    assert tidy(Place.of(str(tmp_path), "ours")) == 3 + 2
    assert sorted(sessions.iterdir()) == sorted([ours, *old[3:]])
    assert sorted(agents.iterdir()) == sorted([running, other, *versions[2:]])


def test_where_there_is_nothing_nothing_is_done(tmp_path: Path) -> None:
    assert tidy(Place.of(str(tmp_path), "ours")) == 0
