"""`parse_message` under fuzzing; what is valid is accepted, so that refusing everything is no way to pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.fuzzing import KINDS, VALID, examples_wanted, fuzz, judge


@pytest.mark.parametrize("message", VALID, ids=lambda message: str(message["event"]))
def test_what_agents_send_is_accepted(message: dict[str, Any]) -> None:
    assert judge(json.dumps(message).encode()) == "accepted"


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_is_a_message_or_refused_in_one_printable_line(kind: str) -> None:
    counts = fuzz(kind, examples_wanted())
    assert counts.total() >= examples_wanted() * 0.5
    assert counts["refused"]
    if kind == "mutations":
        assert counts["accepted"]
