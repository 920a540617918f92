from __future__ import annotations

import os

import pytest

from profiler.agent import lines
from profiler.agent.lines import Lines, LineTooLong


def test_lines_come_whole_however_they_arrive() -> None:
    ours, theirs = os.pipe()
    reader = Lines(ours)
    found: list[bytes | None] = []
    for part in (b"on", b"e\ntwo\nth", b"ree\n"):
        os.write(theirs, part)
        reader.feed()
        found.append(reader.pop())
    assert found == [None, b"one", b"two"]
    assert (reader.pop(), reader.pop()) == (b"three", None)
    os.close(theirs)
    reader.feed()
    assert reader.ended
    os.close(ours)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 1000)
    ours, theirs = os.pipe()
    os.write(theirs, b"x" * 1001)
    with pytest.raises(LineTooLong, match="1000 bytes"):
        Lines(ours).feed()
    os.close(ours)
    os.close(theirs)
