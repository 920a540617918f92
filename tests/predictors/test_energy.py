from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from predictors.energy import EnergyModel, energies_of
from predictors.lookup import TableModel
from profiler.errors import ConfigError, UnknownWorkload
from profiler.tables.table import CostTable
from tests.contracts.simulated_target import TARGET, changed, simulated_table

MJ_PER_MS = 2.5


@pytest.fixture(scope="module")
def table() -> CostTable:
    """Every row draws so much power while it runs."""
    plain = simulated_table(n_fit=12, n_held=8)
    rows = [
        replace(row, energy_mj=row.latency_ns / 1e6 * MJ_PER_MS, energy_u_mj=0.0, energy_scope="module-in")
        for row in plain.all_rows
    ]
    return CostTable(rows, plain.workloads, plain.targets)


def test_energies_of_networks_are_those_of_their_kernels_and_an_overhead(table: CostTable) -> None:
    model = EnergyModel().fit(table, TARGET.id)
    held_out = [row for row in table.rows(TARGET.id, "model") if row.split == "held_out"]
    found = model.predict([table.workloads[row.key] for row in held_out])
    assert found == pytest.approx(np.array([row.energy_mj for row in held_out]), rel=1e-6)
    one = model.estimate(table.workloads[held_out[0].key])
    assert (one.energy_mj, one.scope, one.complete) == (pytest.approx(held_out[0].energy_mj), "module-in", True)
    assert one.low_mj <= one.energy_mj <= one.high_mj


def test_latencies_have_no_part_in_it(table: CostTable) -> None:
    rows = [replace(row, latency_ns=2 * row.latency_ns + 5e6, isolated_ns=None) for row in table.all_rows]
    other = CostTable(rows, table.workloads, table.targets)
    work = [table.workloads[row.key] for row in table.rows(TARGET.id, "model")]
    assert EnergyModel().fit(other, TARGET.id).predict(work) == pytest.approx(
        EnergyModel().fit(table, TARGET.id).predict(work)
    )


def test_a_kernel_without_an_energy_is_missing_and_never_zero(table: CostTable) -> None:
    kernel = table.rows(TARGET.id, "kernel")[0]
    without = changed(table, kernel.key, energy_mj=None, energy_scope="")
    assert kernel.key not in {point.key for point in energies_of(without, TARGET.id)[0].kernels}
    model = EnergyModel(TableModel()).fit(without, TARGET.id)
    assert math.isnan(model.predict([table.workloads[kernel.key]])[0])
    found = model.estimate(table.workloads[kernel.key])
    assert not found.complete
    assert found.scope == "module-in"


def test_an_uncertain_energy_counts_for_less(table: CostTable) -> None:
    kernel = table.rows(TARGET.id, "kernel")[0]
    for told, sd in ((4.0, 2.0), (None, 0.1 * (kernel.energy_mj or 0))):
        (points, _) = energies_of(changed(table, kernel.key, energy_u_mj=told), TARGET.id)
        (point,) = [point for point in points.kernels if point.key == kernel.key]
        assert point.sd_ms == pytest.approx(sd)
        assert point.isolated_ms is None
    (points, _) = energies_of(changed(table, kernel.key, energy_mj=-3.0), TARGET.id)
    (point,) = [point for point in points.kernels if point.key == kernel.key]
    assert (point.latency_ms, point.sd_ms) == (0.0, 3.0)  # below what could be resolved


def test_what_cannot_be_fitted_is_told(table: CostTable) -> None:
    kernel = table.rows(TARGET.id, "kernel")[0]
    none = CostTable([replace(row, energy_mj=None) for row in table.all_rows], table.workloads, table.targets)
    with pytest.raises(UnknownWorkload, match="profile --energy"):
        EnergyModel().fit(none, TARGET.id)
    with pytest.raises(ConfigError, match=r"several scopes \(module-in, wall\)"):
        EnergyModel().fit(changed(table, kernel.key, energy_scope="wall"), TARGET.id)
    with pytest.raises(ConfigError, match="not fitted"):
        EnergyModel().predict([table.workloads[kernel.key]])
