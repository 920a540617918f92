from __future__ import annotations

from typing import Any

import pytest

from profiler.agent.worker.throttle import ThrottleWord, parse, spans, united

Board = Any

SECOND = 10**9
FILE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
HEAT = {
    "throttle_file": "/sys/devices/platform/soc*/soc*:firmware/get_throttled",
    "throttle_command": ["vcgencmd", "get_throttled"],
    "throttle_bits": [0, 1, 2, 3],
}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("throttled=0x50005", 0x50005),
        ("0x0", 0),
        ("50005", 0x50005),  # as Raspberry's kernel writes it
        ("4\n", 4),
        ("some lines\nthrottled=0x4", 4),
        ("", None),
        (None, None),
        ("error", None),
        ("throttled=maybe", None),
        ("0x" + "f" * 17, None),
    ],
)
def test_words(text: str | None, word: int | None) -> None:
    assert parse(text) == word


def test_the_file_goes_before_the_program(board: Board) -> None:
    board.files[FILE] = lambda s: "4" if s >= 1 else "0"
    word = ThrottleWord(board, HEAT)
    assert word.slows(0) is False
    board.sleep(1)
    assert word.slows(1) is True
    assert board.calls == []


def test_a_program_is_started_once_a_second_at_most(board: Board) -> None:
    board.programs["vcgencmd"] = lambda s: "throttled=0x0"
    word = ThrottleWord(board, HEAT)
    told = [word.slows(step * SECOND // 10) for step in range(31)]
    assert [step for step, slows in enumerate(told) if slows is not None] == [0, 10, 20, 30]
    assert len(board.calls) == 4


def test_a_clock_that_is_set_back_does_not_keep_the_program_from_being_asked(board: Board) -> None:
    board.programs["vcgencmd"] = lambda s: "throttled=0x0"
    word = ThrottleWord(board, HEAT)
    asked = [word.slows(at) is not None for at in (3600 * SECOND, 3601 * SECOND - 1, 5, SECOND // 2, SECOND + 5)]
    assert asked == [True, False, True, False, True]


def test_what_was_set_since_the_last_look_counts_and_what_was_set_long_ago_does_not(board: Board) -> None:
    words = iter(["70000", "70000", "f0000", "f0000", "f0001", "f0000"])
    board.files[FILE] = lambda s: next(words)
    word = ThrottleWord(board, HEAT)
    assert [word.slows(step) for step in range(6)] == [False, False, True, False, True, False]


def test_bits_that_are_not_declared_mean_nothing(board: Board) -> None:
    board.files[FILE] = "100010"
    assert ThrottleWord(board, HEAT).slows(0) is False
    assert ThrottleWord(board, {**HEAT, "throttle_bits": []}).slows(0) is True


def test_a_board_that_does_not_tell(board: Board) -> None:
    assert ThrottleWord(board, {}).slows(0) is None
    assert ThrottleWord(board, HEAT).slows(0) is None  # neither file nor program is there
    board.files[FILE] = "busy"
    assert ThrottleWord(board, HEAT).slows(0) is None


INF = float("inf")


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([], []),
        ([(1, False), (2, False)], []),
        ([(1, False), (2, True), (3, True), (4, False)], [(1, 4)]),
        ([(1, True), (2, False), (3, False), (4, True)], [(-INF, 2), (3, INF)]),
    ],
)
def test_spans_reach_from_the_last_no_to_the_next(readings: list[tuple[int, bool]], expected: list[Any]) -> None:
    assert spans(readings) == expected


def test_spans_that_overlap_are_one() -> None:
    assert united([(5, 9), (1, 3), (2, 4), (9, INF), (-INF, 0)]) == [(-INF, 0), (1, 4), (5, INF)]
