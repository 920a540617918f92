from __future__ import annotations

import subprocess

import pytest

from profiler.errors import AgentCrashed
from profiler.fleet.transport.base import LineBuffer, quote


def test_lines_are_cut_wherever_the_stream_is_cut() -> None:
    stream = b"one\ntwo\n\nthree"
    for size in range(1, len(stream) + 1):
        buffer = LineBuffer()
        for start in range(0, len(stream), size):
            buffer.feed(stream[start : start + size])
        assert [buffer.pop() for _ in range(4)] == [b"one", b"two", b"", None]


def test_a_line_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    buffer = LineBuffer(limit=8)
    buffer.feed(b"1234")
    buffer.feed(b"5678\n")
    assert buffer.pop() == b"12345678"
    buffer.feed(b"12345678")
    with pytest.raises(AgentCrashed, match="longer than 8 bytes"):
        buffer.feed(b"9")


def test_quoted_words_reach_the_command_as_they_are() -> None:
    words = ["a b", "$HOME", "'", '"', "`id`", "; rm -rf x", "*", "\n", "", "ünï"]
    out = subprocess.run(["sh", "-c", quote(["printf", r"%s\0", *words])], capture_output=True, check=True).stdout
    assert out.decode().split("\0")[:-1] == words


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote(["echo", "a\0b"])
