from __future__ import annotations

import json

import pytest

from profiler.fleet.sessions import jobs
from profiler.fleet.sessions.jobs import batches


def test_lots_are_bounded_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_BATCH_BYTES", 100)
    work = [{"id": str(number), "text": "x" * size} for number, size in enumerate([20, 20, 20, 300, 1, 1])]
    lots = list(batches(work))
    assert [job for lot in lots for job in lot] == work
    assert [len(lot) for lot in lots] == [2, 1, 1, 2]
    assert all(len(json.dumps(lot)) <= 110 for lot in lots if len(lot) > 1)
    assert list(batches([])) == []
