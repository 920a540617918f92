"""Who holds a board, and whether that is worth anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import DeviceBusy
from profiler.fleet.sessions.identity import host_id, owner_json, process_start
from profiler.fleet.sessions.stale import is_stale, parse_holder
from profiler.fleet.targets import LeaseTerms

sys.path.insert(0, str(Path(__file__).parent))
from fake_agent import Start, fake_sessions

MINE: dict[str, Any] = json.loads(owner_json())
LEASE: dict[str, Any] = {
    **MINE, "session": "0123456789abcdef", "agent_pid": 77, "agent_start": "123", "boot_id": "b", "renewed_s": 5.0,
    "ttl_s": 90.0, "now_s": 6.0, "expired": False,
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with fake_sessions(tmp_path, monkeypatch) as make:
        yield make


@pytest.fixture(scope="module")
def dead() -> dict[str, Any]:
    """A process of this host that is no more."""
    with subprocess.Popen(["sleep", "60"]) as process:
        start = process_start(process.pid)
        process.kill()
    return {"pid": process.pid, "start": start}


def stale(**change: Any) -> bool:
    holder = parse_holder(json.dumps({**LEASE, **change}).encode())
    assert holder is not None
    return is_stale(holder)


def test_a_living_owner_here_or_any_elsewhere_keeps_the_board(dead: dict[str, Any]) -> None:
    assert not stale()
    assert not stale(pid=os.getppid(), start=process_start(os.getppid()))
    assert not stale(**dead, host="f" * 16)


def test_a_dead_owner_of_this_host_and_a_lease_that_has_run_out_do_not(dead: dict[str, Any]) -> None:
    assert stale(**dead)
    assert stale(expired=True)
    assert stale(host="f" * 16, expired=True)
    assert host_id() == LEASE["host"]


def test_the_lease_is_found_among_other_lines_and_cleaned() -> None:
    holder = parse_holder(
        b"rc file: {}\nnot JSON\n" + json.dumps({**LEASE, "owner": "a\x1b[31m"}).encode() + b"\nbye\n"
    )
    assert holder is not None
    assert (holder.agent_pid, holder.owner) == (77, r"a\x1b[31m")


@pytest.mark.parametrize(
    "said",
    [b"", b"[]", b"{}", b"\xff", b"[" * 5000, *(
        json.dumps({**LEASE, **change}).encode()
        for change in (
            {"agent_pid": -1}, {"agent_pid": "7"}, {"agent_start": "1; rm"}, {"owner": "x" * 600}, {"pid": 0},
        )
    )],
)  # fmt: skip
def test_what_is_no_lease_names_nobody(said: bytes) -> None:
    assert parse_holder(said) is None


# In a session: an agent that has ended (there is a file "ended") frees the board

SOURCE = """\
def note(name, words):
    with open(os.path.join(FOLDER, name), "a") as file:
        file.write(words + "\\n")

if COMMAND == "end":
    note("ended", " ".join(sys.argv[2:]))
    sys.exit(END)
note("waits", sys.argv[5])
if not os.path.exists(os.path.join(FOLDER, "ended")) or STAYS:
    time.sleep(float(sys.argv[5]))
    sys.stderr.write("from an rc file\\n" + LEASE + "\\n")
    sys.exit(75)
hello(); hear()
"""


def source(end: int = 0, stays: bool = False, **change: Any) -> str:
    return f"END, STAYS = {end}, {stays}\nLEASE = {json.dumps({**LEASE, **change})!r}\n{SOURCE}"


def notes(folder: Path, name: str) -> list[str]:
    return [line for path in folder.rglob(name) for line in path.read_text().splitlines()]


def test_a_stale_agent_is_ended_at_once_and_the_board_taken(start: Start, tmp_path: Path, dead: dict[str, Any]) -> None:
    with start(source(**dead), lease=LeaseTerms(wait_s=5)) as session:
        session.interrupted()
    (ended,) = notes(tmp_path, "ended")
    folder, *which = ended.rsplit(" ", 2)
    assert which == ["77", "123"]
    assert Path(folder) == next((tmp_path / "home").rglob("ended")).parent
    assert [float(wait_s) for wait_s in notes(tmp_path, "waits")] == [0, 0]


def test_a_board_in_use_says_by_whom_and_since_when(start: Start, tmp_path: Path) -> None:
    busy = source(since="2026-01-02T03:04:05", owner="ann@lab\x1b[2J")
    words = rf"board fake is in use by ann@lab\\x1b\[2J \(process {os.getpid()}, since 2026-01-02T03:04:05\)"
    with pytest.raises(DeviceBusy, match=words), start(busy, lease=LeaseTerms(wait_s=0.3)):
        pytest.fail("two had it")
    assert not notes(tmp_path, "ended")
    first, *waits = (float(wait_s) for wait_s in notes(tmp_path, "waits"))
    assert first == 0
    assert 0 < sum(waits) <= 0.3


@pytest.mark.parametrize("end", [0, 1])
def test_a_stale_agent_that_will_not_end_is_not_tried_for_ever(
    start: Start, tmp_path: Path, dead: dict[str, Any], end: int
) -> None:
    with pytest.raises(DeviceBusy), start(source(end, stays=True, **dead)):
        pytest.fail("two had it")
    assert 1 <= len(notes(tmp_path, "ended")) <= 3


def test_a_lease_without_words_is_somebody_elses(start: Start) -> None:
    silent = 'sys.stderr.write(\'{"now_s": 3.0, "expired": false}\\n\'); sys.exit(75)'
    with pytest.raises(DeviceBusy, match="by somebody else"), start(silent):
        pytest.fail("two had it")


def test_the_wait_for_a_board_is_the_devices(start: Start, tmp_path: Path) -> None:
    with pytest.raises(DeviceBusy), start(source(), lease=replace(LeaseTerms(), wait_s=0)):
        pytest.fail("two had it")
    assert [float(wait_s) for wait_s in notes(tmp_path, "waits")] == [0]
