"""Another target's measurements as a proxy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictors.measured import model_points
from predictors.proxies import best_source
from profiler.tables.table import CostTable
from tests.contracts.simulated_target import TARGET, simulated_table


def with_sources() -> CostTable:
    """Twice as slow on one further target, at random on another."""
    table = simulated_table(n_fit=8, n_held=4)
    models = [row for row in table.all_rows if row.kind == "model"]
    alike, other = replace(TARGET, threads=2), replace(TARGET, threads=4)
    rng = np.random.default_rng(0)
    rows = [replace(r, target_id=alike.id, latency_ns=2.0 * r.latency_ns) for r in models]
    rows += [replace(r, target_id=other.id, latency_ns=float(rng.uniform(1e6, 2e6))) for r in models]
    return CostTable([*table.all_rows, *rows], table.workloads, (TARGET, alike, other))


def test_the_nearest_source_is_taken_as_a_line() -> None:
    table = with_sources()
    held_out = model_points(table, TARGET.id, "held_out")
    found = best_source(table, TARGET.id, held_out)
    assert found is not None
    assert found.source == replace(TARGET, threads=2).id
    np.testing.assert_allclose(found.predicted_ms, [p.latency_ms for p in held_out], rtol=1e-6)


def test_what_was_not_measured_there_has_no_prediction() -> None:
    table = with_sources()
    held_out = model_points(table, TARGET.id, "held_out")
    source = replace(TARGET, threads=2).id
    rows = [r for r in table.all_rows if (r.target_id, r.key) != (source, held_out[0].key)]
    found = best_source(CostTable(rows, table.workloads, table.targets), TARGET.id, held_out)
    assert found is not None
    assert np.isnan(found.predicted_ms[0])
    assert np.isfinite(found.predicted_ms[1:]).all()


def test_without_another_target_there_is_none() -> None:
    table = simulated_table(n_fit=8, n_held=4)
    assert best_source(table, TARGET.id, model_points(table, TARGET.id, "held_out")) is None
