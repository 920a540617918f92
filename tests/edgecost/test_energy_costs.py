"""Energy as a cost: fitted, searched within budgets and verified in mJ, shown in tables; what is missing is not 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mixconv_tables
import numpy as np
import pytest

from edgecost.report import collect
from edgecost.stages import costs, energy_shown, searching, verification
from edgecost.stages.energy_costs import budgets_of, fit_and_save_energy, fit_cost
from edgecost.stages.energy_shown import energies
from edgecost.stages.searching import SearchOptions, cost_function, search_evrsnas, train_finalists
from edgecost.stages.spaces import chosen_space
from edgecost.stages.verification import verify_study
from predictors.energy import EnergyModel
from predictors.storage import load_energy_model
from profiler.errors import ConfigError, MeasurementError, UnknownWorkload
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.weights import seeded_weights
from search import study as search_study
from search.evrsnas.reference import Reference, resnet20
from search.evrsnas.scoring import PRESETS, ScorePreset
from search.study import read_study

Run = Callable[..., tuple[int, str, str]]

TARGET = mixconv_tables.TARGET


def changed(table: CostTable, **fields: Any) -> CostTable:
    return CostTable([replace(row, **fields) for row in table.all_rows], table.workloads, table.targets)


@pytest.fixture(scope="module")
def metered() -> CostTable:
    """The tiny supernet with energies of 2 mJ for each ms, told to 2 %."""
    plain = mixconv_tables.block_table(mixconv_tables.tiny_space(), kernels=True)
    rows = [replace(row, energy_u_mj=0.04e-6 * row.latency_ns, energy_scope="module-in") for row in plain.all_rows]
    return CostTable(rows, plain.workloads, plain.targets)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[CostTable], None]:
    """Puts a table in place of that of any results folder, and scores quickly."""
    settings = ScorePreset("fast", image_size=16, steps=0, batch_size=8, pool=16)
    monkeypatch.setitem(PRESETS, "fast", settings)
    workload, taps = resnet20()
    reference = Reference(workload, taps, seeded_weights(workload), 0.1, "drawn from a seed")
    monkeypatch.setattr(search_study, "trained_reference", lambda *given: reference)

    def put(table: CostTable) -> None:
        for module in (searching, costs):
            monkeypatch.setattr(module, "load_table", lambda results, **more: table)

    return put


def options(budget: float = 0.6, **changes: Any) -> SearchOptions:
    given = {"preset": "fast", "population": 6, "generations": 1, "space": "mixconv", "supernet": "tiny", "unit": "mj"}
    return SearchOptions("sim", budget, **{**given, **changes})


def test_the_costs_of_a_search_by_energy_are_the_energies_of_the_table(metered: CostTable) -> None:
    space = chosen_space("mixconv", "tiny")
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(6)]
    by_energy = cost_function(space, fit_cost(metered, TARGET.id, "mj"))(drawn)
    by_latency = cost_function(space, fit_cost(metered, TARGET.id, "ms"))(drawn)
    assert by_energy == pytest.approx(2.0 * by_latency, rel=0.02)


def test_a_search_by_energy_is_written_and_verified_in_mj(
    metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(metered)
    study = search_evrsnas(options(), tmp_path)
    path = Path(study["file"])
    assert path.name == "evrsnas-mixconv-tiny-sim-onnxruntime-fp32-t1-0.6mJ.json"
    text = path.read_text()
    assert "_ms" not in text.replace('"wall_s"', ""), "no energy is called by a latency's name"
    assert (study["budget_mj"], study["config"]["unit"], study["config"]["scope"]) == (0.6, "mj", "module-in")
    assert " mJ on sim/" in study["sentence"]
    assert study["feasible"] is (study["best"]["cost_mj"] <= 0.6)
    again = read_study(path)
    assert again.to_dict() == {key: value for key, value in study.items() if key != "file"}
    assert again.config.evolution.budget_ms == 0.6

    asked = []

    def measure(*given: Any, energy: bool) -> Row:
        asked.append(energy)
        return measured

    measured = Row(
        TARGET.id, "k", "model", "k", 3e5, 2.9e5, 3.1e5, energy_mj=0.5, energy_u_mj=0.02, energy_scope="module-in"
    )
    monkeypatch.setattr(verification, "measure_workload", measure)
    verdict = verify_study(path, (), "quick", tmp_path)
    assert asked == [True]
    assert (verdict["within_budget"], verdict["measured_mj"], verdict["scope"]) == (True, 0.5, "module-in")
    assert (
        "measured 0.5 mJ a run above rest (± 0.02, k = 2; module-in) against a budget of 0.6 mJ" in verdict["sentence"]
    )
    assert not verify_study(path, (), "quick", tmp_path, budget_mj=0.4)["within_budget"]
    assert "spans the budget" in verify_study(path, (), "quick", tmp_path, budget_mj=0.51)["sentence"]
    with pytest.raises(ConfigError, match="--budget-mj"):
        verify_study(path, (), "quick", tmp_path, budget_ms=1.0)

    measured = replace(measured, energy_mj=None, energy_u_mj=None, issues=("sensor_lost",))
    with pytest.raises(MeasurementError, match="could not be measured: sensor_lost"):
        verify_study(path, (), "quick", tmp_path)
    measured = replace(measured, energy_upper_mj=0.7, issues=("energy_undetected",))
    with pytest.raises(MeasurementError, match=r"energy_undetected, less than 0\.7 mJ"):
        verify_study(path, (), "quick", tmp_path)
    measured = replace(measured, energy_upper_mj=0.55)
    assert "less than 0.55 mJ" in verify_study(path, (), "quick", tmp_path)["sentence"]
    measured = replace(measured, energy_scope="wall")
    with pytest.raises(ConfigError, match="module-in and the measured one of wall"):
        verify_study(path, (), "quick", tmp_path)
    measured = replace(measured, energy_mj=0.5, energy_scope="module-in", emulation="simulated")
    assert "no figure here is one of any hardware" in verify_study(path, (), "quick", tmp_path)["sentence"]

    trained = train_finalists(study, options(), tmp_path, steps=1)
    assert {"predicted_mj"} <= set(trained["rows"][0])
    assert "predicted_ms" not in trained["rows"][0]


def test_a_study_of_latencies_is_as_it_was(
    metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path
) -> None:
    use(metered)
    study = search_evrsnas(options(0.3, unit="ms"), tmp_path)
    assert study["budget_ms"] == 0.3
    assert not {"unit", "scope"} & set(study["config"])
    assert Path(study["file"]).name.endswith("-0.3ms.json")
    assert "_mj" not in Path(study["file"]).read_text()


def test_a_simulated_table_makes_a_simulated_study(
    metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path
) -> None:
    use(changed(metered, emulation="simulated"))
    assert "simulated: no figure here is one of any hardware" in search_evrsnas(options(), tmp_path)["sentence"]


def test_energies_that_are_missing_end_a_search_and_a_fit(
    metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path
) -> None:
    none = changed(metered, energy_mj=None)
    use(none)
    for call in (
        lambda: search_evrsnas(options(), tmp_path),
        lambda: fit_and_save_energy(none, "sim", tmp_path, None),
    ):
        with pytest.raises(UnknownWorkload, match="no energy of any kernel"):
            call()
    assert list(tmp_path.iterdir()) == []
    kernel = max(metered.rows(TARGET.id, "kernel"), key=lambda row: row.label.startswith("linear"))
    rows = [replace(r, energy_mj=None) if r.key == kernel.key else r for r in metered.all_rows]
    partial = CostTable(rows, metered.workloads, metered.targets)
    price = EnergyModel().fit(partial, TARGET.id).estimate(metered.workloads[kernel.key])
    whole = EnergyModel().fit(metered, TARGET.id).estimate(metered.workloads[kernel.key])
    assert price.missing or price.high_mj - price.low_mj > whole.high_mj - whole.low_mj, "and never a nought"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("energy", [5.0], []), "a budget of energy is given by --budget-mj"),
        (("energy", [], []), "a budget of energy is given by --budget-mj"),
        (("energy", [5.0], [5.0]), "--budget-mj alone"),
        (("latency", [], [5.0]), "a budget of latency is given by --budget-ms"),
        (("heat", [5.0], []), "--cost is latency or energy, not 'heat'"),
    ],
)
def test_a_budget_is_in_the_unit_of_its_cost(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        budgets_of(*given)
    assert budgets_of("energy", [], [5.0]) == ((5.0,), "mj")
    assert budgets_of("latency", [5.0, 6.0], []) == ((5.0, 6.0), "ms")


# -------------------------------------------------------------------- the verbs


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[CostTable], None]:
    def put(table: CostTable) -> None:
        for module in (costs, energy_shown):
            monkeypatch.setattr(module, "load_table", lambda results, **more: table)

    return put


def test_fit_and_search_without_energies_are_one_sentence(
    run: Run, metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path
) -> None:
    use(changed(metered, energy_mj=None))
    for words in (
        ("fit", "--target", "sim", "--cost", "energy"),
        ("search", "evrsnas", "--target", "sim", "--cost", "energy", "--budget-mj", "5"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "no energy of any kernel on sim/onnxruntime-fp32-t1; measure with `edgecost profile --energy`" in err
    code, _, err = run("search", "evrsnas", "--target", "sim", "--cost", "energy", "--budget-ms", "5")
    assert code == 2
    assert "a budget of energy is given by --budget-mj" in err
    assert not (tmp_path / "results").exists()


def test_a_fit_of_energies_is_written_beside_that_of_latencies(
    run: Run, metered: CostTable, shown: Callable[[CostTable], None]
) -> None:
    shown(metered)
    code, out, _ = run("fit", "--target", "sim", "--cost", "energy", "--json")
    assert code == 0
    saved = json.loads(out)
    assert (saved["unit"], saved["scope"]) == ("mj", "module-in")
    assert Path(saved["file"]).name == "sim-onnxruntime-fp32-t1-energy.json"
    model, again = EnergyModel().fit(metered, TARGET.id), load_energy_model(Path(saved["file"]))
    nets = [metered.workloads[row.key] for row in metered.rows(TARGET.id, "model")]
    np.testing.assert_array_equal(model.predict(nets), again.predict(nets))
    assert run("fit", "--target", "sim", "--cost", "heat")[0] == 2


def test_a_table_shows_energies_bounds_and_gated_rows(run: Run, shown: Callable[[CostTable], None]) -> None:
    rows = [
        Row(TARGET.id, "a", "model", "net a", 1e6, 1e6, 1e6, energy_mj=2.5, energy_u_mj=0.125, energy_scope="wall"),
        Row(TARGET.id, "b", "model", "net b", 2e6, 2e6, 2e6, energy_upper_mj=0.75, energy_scope="wall"),
        Row(TARGET.id, "c", "model", "net c", 3e6, 3e6, 3e6),
        Row(
            TARGET.id, "d", "model", "net d", 4e6, 4e6, 4e6, issues=("spread_high",), energy_mj=9.0, energy_scope="wall"
        ),
    ]
    shown(CostTable(rows, targets=[TARGET]))
    code, out, err = run("table", "show", "--kind", "model")
    assert code == 0
    lines = {name: line for line in out.splitlines() for name in ("net a", "net b", "net c", "net d") if name in line}
    assert "2.5 ± 0.12" in lines["net a"]
    assert "wall" in lines["net a"]
    assert "< 0.75" in lines["net b"]
    assert "0.0" not in lines["net c"].split("net c")[1].replace("3000.00", "")
    assert "net d" not in lines
    assert "1 rows that failed a gate are left out; --all-rows shows them" in err
    code, out, err = run("table", "show", "--kind", "model", "--all-rows")
    assert "net d" in out
    assert "failed a gate" not in err
    found = json.loads(run("table", "show", "--kind", "model", "--json")[1])
    assert (len(found["rows"]), found["gated"], found["hidden"]) == (3, 1, 1)
    assert [row["energy_mj"] for row in found["rows"]] == [None, None, 2.5]
    assert "there is no block in it, but models: --kind model" in run("table", "show", "--kind", "block")[2]
    shown(CostTable([replace(row, energy_mj=None, energy_upper_mj=None) for row in rows], targets=[TARGET]))
    assert "mJ a run" not in run("table", "show", "--kind", "model")[1], "no column without any energy"


def test_the_report_leaves_a_study_of_energies_out(
    metered: CostTable, use: Callable[[CostTable], None], tmp_path: Path
) -> None:
    use(metered)
    search_evrsnas(options(), tmp_path)
    data = collect.ReportData.__new__(collect.ReportData)
    data.search = None
    collect._add_search(data, metered, tmp_path)
    assert data.search is None


def test_a_prediction_of_a_simulated_target_says_so(
    run: Run, metered: CostTable, shown: Callable[[CostTable], None], tmp_path: Path
) -> None:
    net = metered.workloads[metered.rows(TARGET.id, "model")[0].key]
    (tmp_path / "net.onnx").write_bytes(build_onnx(net))
    for number, (table, words) in enumerate(((metered, 0), (changed(metered, emulation="simulated"), 1))):
        shown(table)
        # what is fitted on files is kept as long as they stay the same
        (tmp_path / "results" / "a" / "b").mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / "a" / "b" / "run.json").write_text(str(number))
        for cost in ("latency", "energy"):
            code, _, err = run("predict", "net.onnx", "--target", "sim", "--cost", cost)
            assert code == 0
            assert err.count("is simulated: no figure here is one of any hardware") == words
            answer = json.loads(run("predict", "net.onnx", "--target", "sim", "--cost", cost, "--json")[1])
            assert answer["simulated"] is bool(words)
    assert "(simulated: no figure here is one of any hardware)" in energies(tmp_path, "sim")["notes"]
