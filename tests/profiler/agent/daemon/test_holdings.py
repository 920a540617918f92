from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from profiler.agent.daemon import holdings
from profiler.agent.daemon.holdings import Survey


def test_files_are_hashed_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "CHUNK_BYTES", 10)
    whole, other = tmp_path / "whole", tmp_path / "other"
    whole.write_bytes(b"a" * 95)
    other.write_bytes(b"a" * 94)
    sha256 = hashlib.sha256(whole.read_bytes()).hexdigest()
    survey = Survey([(str(whole), sha256), (str(other), sha256), (str(tmp_path / "gone"), sha256)])
    steps = 0
    while survey.step():
        steps += 1
    assert steps >= 20
    assert survey.missing == [1, 2]


def test_nothing_to_look_for_is_found_at_once() -> None:
    survey = Survey([])
    assert not survey.step()
    assert survey.missing == []
