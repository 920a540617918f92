from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import made_up

from profiler.fleet.targets import Target
from profiler.tables.table import CostTable

OTHER = Target("other", "onnxruntime", "fp32")


def test_sentinels_stand_in_no_row_and_are_told_in_the_order_of_time(tmp_path: Path):
    late, early = "2026-01-01T10:00:00.000+00:00", "2026-01-01T09:00:00.000+00:00"
    env = {"freq_mhz": 1500, "temperature_c": 61.5}
    lines = [
        made_up.line("watch", "sentinel", started_at=late, env=env, issues=("drifted",)),
        made_up.line("m"),
        made_up.line("watch", "sentinel", round_=1, started_at=early, status="crashed", samples_ns=()),
    ]
    made_up.write_run(tmp_path, lines)
    made_up.write_run(tmp_path, [made_up.line("watch", "sentinel")], target=OTHER)
    table = CostTable.from_results(tmp_path)
    assert [row.key for row in table.all_rows] == ["m"]
    first, second = table.sentinels(made_up.TARGET.id)
    assert (first.started, first.status, first.median_ns) == (datetime(2026, 1, 1, 9, tzinfo=UTC), "crashed", None)
    assert (second.median_ns, second.key, second.run_id) == (10_000, "watch", "r1")
    assert (second.issues, second.freq_mhz, second.temperature_c) == (("drifted",), 1500, 61.5)
    assert (first.freq_mhz, first.temperature_c) == (None, None)
    assert len(table.sentinels(OTHER.id)) == 1
    assert table.sentinels("nowhere") == CostTable().sentinels("nowhere") == ()


def test_a_time_that_is_none_is_not_known(tmp_path: Path):
    path = made_up.write_run(tmp_path, [made_up.line("watch", "sentinel", started_at="yesterday")])
    (seen,) = CostTable.from_runs([path]).sentinels(made_up.TARGET.id)
    assert seen.started is None
