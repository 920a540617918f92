"""What runs say of how they were measured, and what an export keeps of it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import made_up
import pytest

from profiler.errors import StorageError
from profiler.measure.config import MeasureConfig
from profiler.tables.provenance import EFFORT, Provenance
from profiler.tables.table import CostTable

RUNTIMES = {"onnxruntime": "1.31", "torch": "2"}
FACTS = {"cpu_model": "Cortex-A76", "arch": "aarch64", "kernel": "6.6", "runtimes": RUNTIMES}


def run(
    results: Path, run_id: str = "r1", mhz: tuple[float | None, ...] = (1500.0, 1510.0, 2400.0), **header: Any
) -> Path:
    lines = [made_up.line(round_=n, env={} if f is None else {"freq_mhz": f}) for n, f in enumerate(mhz)]
    subjects = [made_up.subject("k"), made_up.subject("c", repeats=4, companions=("y", "x"))]
    return made_up.write_run(results, lines, subjects, run_id=run_id, **{"facts": FACTS, **header})


def test_a_table_says_what_its_runs_say(tmp_path: Path):
    run(tmp_path)
    run(tmp_path, "r2", facts={**FACTS, "kernel": "6.12"})
    said = CostTable.from_results(tmp_path).provenance[made_up.TARGET.id]
    assert said.runtime_versions == {"1.31"}, "the other runtimes' versions decide nothing"
    assert said.machines == {"Cortex-A76, aarch64"}
    assert said.kernels == {"6.6", "6.12"}
    assert said.isolations == {"c": "chain x y"}
    assert said.freq_mhz == 1510.0
    assert said.protocols["cache"] == {"hot"}
    assert not said.protocols.keys() & EFFORT


def test_what_no_run_says_is_not_said(tmp_path: Path):
    run(tmp_path, mhz=(None, None), facts={}, config=None)
    said = CostTable.from_results(tmp_path).provenance[made_up.TARGET.id]
    assert (said.runtime_versions, said.machines, said.protocols, said.freq_mhz) == (frozenset(), frozenset(), {}, None)
    assert CostTable([], targets=[made_up.TARGET]).provenance == {}


@pytest.mark.parametrize("name", ["t.json", "t.parquet"])
def test_exports_keep_it_however_often_they_are_read(tmp_path: Path, name: str):
    run(tmp_path / "results")
    table = CostTable.from_results(tmp_path / "results")
    table.export(tmp_path / name)
    CostTable.load(tmp_path / name).export(tmp_path / f"again-{name}")
    assert CostTable.load(tmp_path / f"again-{name}").provenance == table.provenance


def test_it_survives_json():
    protocols = {"cache": frozenset({"hot"})}
    said = Provenance(frozenset({"1"}), protocols=protocols, isolations={"k": "chain"}, freq_mhz=5.0)
    assert Provenance.from_dict(json.loads(json.dumps(said.to_dict()))) == said


def test_a_header_that_was_damaged_is_said(tmp_path: Path):
    run(tmp_path, facts=[1, 2])
    with pytest.raises(StorageError, match=r"facts in .*run.json"):
        _ = CostTable.from_results(tmp_path).provenance


def test_settings_of_effort_are_settings():
    assert {field.name for field in fields(MeasureConfig)} >= EFFORT
