"""A small proof from end to end, over SSH; that it can be taken up again; what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import ConfigError, MeasurementError
from profiler.fleet.virtual.simulated.spec import Faults
from profiler.measure.config import MeasureConfig
from profiler.validation.__main__ import main
from profiler.validation.cases import Case, cases_of
from profiler.validation.claims import CLAIMS
from profiler.validation.explained import ABOVE, BELOW, reasons
from profiler.validation.lines import Line
from profiler.validation.report import Proof, read_proof, write_proof
from profiler.validation.running import measure_cases, read_records

QUICK = MeasureConfig(rounds=2, min_batches=12, warmup_s=0.05, sentinel_jobs=5, process_probes=1)


@pytest.fixture
def case() -> Case:
    (first, *_) = cases_of(1, 8, ["quiet"])
    return replace(first, config=QUICK, today=True)


def test_a_board_is_measured_beside_its_truth_and_only_once(tmp_path: Path, case: Case) -> None:
    said: list[str] = []
    (record,) = measure_cases([case], tmp_path, said.append)
    assert len(record["rows"]) == 4, "three networks and a kernel"
    for row in record["rows"]:
        assert row["latency_ns"] == pytest.approx(row["true_ns"], rel=0.2)
    models = {row["key"] for row in record["rows"] if row["kind"] == "model"}
    assert set(record["today"]) == models
    assert all(figure["samples"] == 50 for figure in record["today"].values())
    assert {each["role"] for each in record["tries"]} == {"model", "kernel", "sentinel"}
    for each in record["tries"]:
        assert each["truth"]["ended_s"] - each["truth"]["began_s"] >= each["sampling_s"]

    said.clear()
    assert measure_cases([case], tmp_path, said.append) == [json.loads(json.dumps(record))]
    assert said == ["1 of 1 boards were measured before"]
    other = replace(case, config=replace(QUICK, seed=9))
    assert other.digest not in read_records(tmp_path / "records.jsonl")


def test_a_board_on_which_jobs_fail_is_no_case(tmp_path: Path, case: Case) -> None:
    faulty = replace(case, spec=replace(case.spec, faults=Faults(crash_jobs=(2,))), names=case.names[:1], today=False)
    with pytest.raises(MeasurementError, match=r"1 crashed"):
        measure_cases([faulty], tmp_path, lambda _: None)
    assert not read_records(tmp_path / "records.jsonl")


def test_a_torn_line_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"digest": "a"}\n{"digest": "b', encoding="utf-8")
    assert set(read_records(path)) == {"a"}


def proof(line: Line) -> Proof:
    return Proof(1, 8, "2026-01-01", 3, {"quiet": 1}, 10, {"coverage": [line]})


def test_what_is_missed_is_said_and_explained_where_that_is_known(tmp_path: Path) -> None:
    line = Line("intervals", "93 to 97 %", 0.9, least=0.93, most=0.97)
    write_proof(proof(line), tmp_path, {})
    assert "| missed |" in (tmp_path / "proof.md").read_text(encoding="utf-8")
    write_proof(proof(line), tmp_path, {"intervals": "the noise was white"})
    text = (tmp_path / "proof.md").read_text(encoding="utf-8")
    assert "explained (1)" in text
    assert "the noise was white" in text
    assert "simulated boards" in text
    found = read_proof(tmp_path / "proof.json")
    assert found["claims"]["coverage"][0]["met"] is False
    assert found["simulated"] is True
    assert found["claims"]["coverage"][0]["low"] is None, "what is not known is not a number"


def test_a_reason_counts_on_the_side_on_which_a_line_misses_and_on_no_other() -> None:
    claim = next(iter(ABOVE))
    lines = [Line(claim, "93 to 97 %", seen, least=0.93, most=0.97) for seen in (0.98, 0.9)]
    assert reasons(lines[:1]) == {claim: ABOVE[claim]}
    assert reasons(lines[1:]) == {}
    assert reasons([Line("something else", "at most 1 %", 0.98, most=0.01)]) == {}


def test_every_reason_is_one_of_a_line_that_there_is() -> None:
    claims = {
        line.claim for claim in ("coverage", "bias") for line in CLAIMS[claim].judge({"quiet": [], "drifting": []})
    }
    assert {*ABOVE, *BELOW} <= claims


def test_a_proof_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(ConfigError, match="version 99"):
        read_proof(path)


def test_an_unknown_claim_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--only", "beauty", "--out", str(tmp_path), "--work", str(tmp_path)]) == 2
    assert "no claim 'beauty'" in capsys.readouterr().err
