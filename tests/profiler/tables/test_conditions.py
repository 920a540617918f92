"""What digests hold of a measurement's circumstances, and of its outliers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure.record import Power
from profiler.measure.stats import outlier_labels
from profiler.tables.loading import outliers
from profiler.tables.loading.conditions import CONDITIONS, LASTED, VERDICTS
from profiler.tables.loading.digest import read_digest
from profiler.tables.loading.outliers import outliers_of

SAMPLES = st.lists(st.integers(0, 6) | st.integers(1000, 1100), min_size=1, max_size=40)
POWER = Power(
    "made up", "wall", "power", (0, 1), (1, 2), 2, 0.0, 0.0, 0.0, (1_000_000, 4_000_000), (4_000_000, 14_000_000),
    (14_000_000, 17_500_000), 10,
)  # fmt: skip


def digest(folder: Path, *envs: Any, **changes: Any) -> dict[str, list[Any]]:
    lines = [made_up.line(round_=n, env=env, **changes) for n, env in enumerate(envs)]
    table, corrupt = read_digest(made_up.write_run(folder, lines) / "journal.jsonl")
    assert corrupt == 0
    return table.to_pydict()


def test_what_the_journal_tells_is_there_and_the_rest_is_not_known(tmp_path: Path) -> None:
    told = dict.fromkeys(CONDITIONS, 0.25)
    odd = {"steal_share": None, "load_1min": "much", "pressure_max": True, "freq_min_mhz": 1e99}
    found = digest(tmp_path, told, odd)
    for name in CONDITIONS:
        assert found[name][0] == 0.25
        assert np.isnan(found[name][1])


def test_how_long_it_took_is_the_sum_of_what_is_known(tmp_path: Path) -> None:
    envs = [{"cooled_s": 2.0, "warmup_s": 0.5, "sampling_s": 1.5}, {"sampling_s": 1.5, "cooled_s": -3}, {}]
    known = digest(tmp_path / "a", *envs)[LASTED]
    assert known[:2] == [4.0, 1.5]
    assert np.isnan(known[2])
    assert digest(tmp_path / "b", {"sampling_s": 1.0}, power=POWER)[LASTED] == [17.5]


def test_only_sentinels_have_verdicts(tmp_path: Path) -> None:
    envs = [{"sentinel_verdict": "drifted"}, {"sentinel_verdict": "odd"}, {"sentinel_verdict": 3}, {}]
    assert digest(tmp_path / "a", *envs, kind="sentinel")["verdict"] == [VERDICTS.index("drifted"), -1, -1, -1]
    assert digest(tmp_path / "b", *envs, kind="model")["verdict"] == [-1, -1, -1, -1]


@given(st.lists(SAMPLES, max_size=8))
def test_outliers_are_those_of_one_after_the_other(samples: list[list[int]]) -> None:
    found = outliers_of([np.array(values, dtype=np.float64) for values in samples])
    assert found.tolist() == [[int((outlier_labels(v) > 0).sum()), len(v)] for v in samples]


def test_outliers_of_many_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "_VALUES_AT_A_TIME", 7)
    samples = [None, *(np.array([1.0, 1.1, 1.2, 1.1, 9.0]),) * 5]
    assert outliers_of(samples).tolist() == [[0, 0], *[[1, 5]] * 5]
    assert outliers_of([]).shape == (0, 2)
