from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import boardlease
from profiler.agent.boardlease import Lease

OWNER: dict[str, Any] = {"host": "lab", "user": "ada", "owner": "a test", "pid": 12, "start": "34"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lease")


@pytest.fixture
def lease(path: str) -> Iterator[Lease]:
    taken = Lease.take(path)
    assert taken is not None
    yield taken
    taken.close()


def test_a_lease_is_taken_once_and_free_again_when_it_is_closed(path: str) -> None:
    first = Lease.take(path)
    assert first is not None
    assert Lease.take(path) is None
    first.close()
    second = Lease.take(path)
    assert second is not None
    second.close()


def test_a_lease_says_whose_it_is_and_how_long_to_believe_it(path: str, lease: Lease) -> None:
    lease.describe(OWNER, "5e55")
    found = boardlease.holder(path)
    assert {name: found[name] for name in OWNER} == OWNER
    assert (found["session"], found["agent_pid"]) == ("5e55", os.getpid())
    assert found["agent_start"] == Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    assert found["ttl_s"] == boardlease.USUAL_TTL_S > 2 * boardlease.RENEW_S
    assert (found["now_s"] >= found["renewed_s"], found["expired"]) == (True, False)
    assert set(found) == {
        *OWNER, "session", "agent_pid", "agent_start", "boot_id", "since", "renewed_s", "ttl_s", "now_s", "expired"
    }  # fmt: skip


def test_a_lease_that_nobody_renews_expires(path: str, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.describe(OWNER, "5e55")
    now = boardlease.boot_clock()
    monkeypatch.setattr(boardlease, "boot_clock", lambda: now + boardlease.USUAL_TTL_S + 1)
    assert boardlease.holder(path)["expired"] is True


def test_a_lease_is_renewed_when_it_is_due_and_not_before(
    path: str, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.describe(OWNER, "5e55")
    monkeypatch.setattr(boardlease, "boot_clock", lambda: 1e6)
    lease.renew_if_due()
    assert boardlease.read(path)["renewed_s"] != 1e6
    later = lease.renew_at()
    assert later <= time.monotonic() + 20
    monkeypatch.setattr(time, "monotonic", lambda: later)
    lease.renew_if_due()
    assert boardlease.read(path)["renewed_s"] == 1e6


def test_a_shorter_text_leaves_nothing_of_a_longer_one(path: str, lease: Lease) -> None:
    lease.describe(OWNER | {"owner": "x" * 5000}, "5e55")
    assert len(boardlease.read(path)["owner"]) == 200
    lease.describe({}, "5e55")
    assert boardlease.read(path)["owner"] is None


@pytest.mark.parametrize(
    ("asked", "given"), [(300, 300.0), (1, 30.0), (None, 90.0), ("x", 90.0), (float("nan"), 90.0), (True, 90.0)]
)
def test_a_time_to_live_leaves_time_to_renew(path: str, lease: Lease, asked: Any, given: float) -> None:
    lease.describe(OWNER | {"ttl_s": asked}, "5e55")
    assert boardlease.read(path)["ttl_s"] == given


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"renewed_s": "x", "ttl_s": 3}', "[" * 5000])
def test_a_text_that_says_nothing_is_not_believed(path: str, text: str) -> None:
    Path(path).write_text(text)
    found = boardlease.holder(path)
    assert found["expired"] is False
    json.dumps(found)


def test_nobody_is_named_where_there_is_no_lease(path: str) -> None:
    assert boardlease.read(path) == {}
