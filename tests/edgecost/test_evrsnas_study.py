"""`edgecost study hw-evrsnas` and `edgecost table import hw-nas-bench`, as users type them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from edgecost.report.hw_evrsnas import hw_evrsnas_section
from edgecost.stages.evrsnas.defaults import default_score
from edgecost.stages.evrsnas.files import read_fbnet, read_study
from edgecost.stages.evrsnas_study import EvrsnasStudy, known_scores, named_scores
from profiler.errors import StorageError
from profiler.tables.formats.hwnasbench_networks import read_networks
from search.evrsnas.arrays import arrays_of
from search.evrsnas.parts import ScoreRow
from search.evrsnas.store import RmiStore
from search.spaces import find_space

QUICK = ("--seeds", "2", "--generations", "5", "--population", "10")
ONE_DEVICE_QUICKLY = ("--device", "fpga", "--dataset", "cifar10", *QUICK, "--no-controls", "--no-ablations")


def test_a_study_is_written_and_reported(run, data_dir, tmp_path):
    code, out, _ = run(
        "study", "hw-evrsnas", "--data", str(data_dir), "--device", "fpga", *QUICK, "--out", "r/hw-evrsnas", "--json"
    )
    assert code == 0
    told = json.loads(out)
    data = json.loads((tmp_path / "r/hw-evrsnas/study.json").read_text())
    assert told["summary"] == data["summary"]
    assert data["score"] == "macs"
    # the nine of the follow-up; no cost of ImageNet16-120 on FPGA is known
    assert data["settings"]["datasets"] == ["cifar10", "cifar100"]
    assert len({(row["dataset"], row["budget"]) for row in data["rows"]}) == 18
    assert data["violations"] == 0
    assert all(line["violations"] == 0 for line in data["summary"])
    series = data["published"]["rows"]
    assert [row["budget_ms"] for row in series] == [2, 3, 3.5, 4, 4.5, 5, 6, 7, 8]
    assert all(row["ours"] <= row["optimum"] for row in series)
    # every answer with its seed, controls too
    table = pq.read_table(tmp_path / "r/hw-evrsnas/answers.parquet").to_pylist()
    own = [row for row in table if row["method"] == "hw-evrsnas"]
    assert [row["position"] for row in own] == [row["position"] for row in data["rows"]]
    assert {"random", "by params", "no penalty", "all by macs"} <= {row["method"] for row in table}
    assert {row["what"] for row in data["ablations"]} == {"penalty", "mutation"}
    assert data["search"]["energy_is"].startswith(("ESTIMATE", "measured"))
    section = hw_evrsnas_section(tmp_path / "r")
    assert [heading for heading, _, _ in section.charts] == [
        "Fronts", "Regret by budget", "Scores against accuracy", "The course of a run",
    ]  # fmt: skip
    page = (tmp_path / "r/hw-evrsnas/report.html").read_text()
    assert "<h2>HW-EvRSNAS" in page
    assert page.count("<svg") == 8
    assert "<script" not in page
    assert len(page) < 1_000_000


def test_controls_of_another_file_and_a_finalists_round(run, data_dir, tmp_path, arrays):
    space = arrays.space
    firsts = np.unique(arrays.representatives[arrays.connected])
    draws = np.random.default_rng(0).random((2, len(firsts)))
    for name, (a, b) in (("one", draws), ("two", draws[::-1])):
        lines = [f"{space.describe(space.at(int(at)))},{x},{y}" for at, x, y in zip(firsts, a, b, strict=True)]
        (tmp_path / f"{name}.csv").write_text(f"arch_str,{name}_a,{name}_b\n" + "\n".join(lines) + "\n")
    few = [line for i, line in enumerate((tmp_path / "two.csv").read_text().splitlines()) if i < 100]
    (tmp_path / "few.csv").write_text("\n".join(few).replace("two_", "few_") + "\n")
    given = (
        "--data",
        str(data_dir),
        "--device",
        "fpga",
        "--dataset",
        "cifar10",
        *QUICK,
        "--no-ablations",
        "--out",
        "s",
    )
    files = ("--scores", "one.csv", "--scores", "two.csv", "--scores", "few.csv")
    final = ("--score", "one_a", "--final-score", "two_a+two_b", "--finalists", "4")
    code, out, err = run("study", "hw-evrsnas", *given, *files, *final, "--json")
    assert code == 0, err
    told = json.loads(out)
    # what knows a few classes only is no control, but stands among the correlations
    assert set(told["controls"]) == {"one_b", "two_a", "two_b", "macs", "params"}
    assert {c["score"] for c in told["correlations"]} == {"one_a", *told["controls"], "few_a", "few_b"}
    methods = {line["method"] for line in told["summary"]}
    assert {"hw-evrsnas", "hw-evrsnas, no finalists", "by macs, finalists", "random finalists"} <= methods
    code, _, err = run("study", "hw-evrsnas", *given, "--scores", "one.csv", "--scores", "one.csv")
    assert code == 2
    assert "another --scores" in err


def test_the_penalty_has_three_forms(run, data_dir, tmp_path):
    given = ("--data", str(data_dir), *ONE_DEVICE_QUICKLY)
    found = {}
    for form in ("relative", "absolute", "two-sided"):
        code, _, _ = run("study", "hw-evrsnas", *given, "--penalty-form", form, "--penalty", "0.5", "--out", form)
        assert code == 0
        data = json.loads((tmp_path / form / "study.json").read_text())
        assert data["settings"]["penalty_form"] == form
        found[form] = [row["position"] for row in data["rows"]]
    assert len(set(map(tuple, found.values()))) == 3


def test_fbnet_is_studied_by_scores_and_costs(run, data_dir, tmp_path):
    given = ("--data", str(data_dir), "--device", "pixel3", "--seeds", "1", "--population", "4", "--generations", "2")
    code, out, err = run("study", "hw-evrsnas", "--space", "fbnet", *given, "--score", "macs", "--quantile", "0.4",
                         "--out", "r/hw-evrsnas", "--json")  # fmt: skip
    assert code == 0, err
    data = json.loads((tmp_path / "r/hw-evrsnas/study-fbnet.json").read_text())
    assert json.loads(out)["summary"] == data["summary"]
    assert "not public" in data["sentence"]
    assert not any("accuracy" in row for row in data["rows"])
    assert {row["method"] for row in data["rows"]} == {"hw-evrsnas", "no penalty", "rejection", "by macs", "random"}
    run("study", "hw-evrsnas", "--data", str(data_dir), "--device", "fpga", *QUICK, "--no-controls", "--no-ablations",
        "--out", "r/hw-evrsnas")  # fmt: skip
    assert any("FBNet" in title for title, _, _ in hw_evrsnas_section(tmp_path / "r").tables)
    assert "not public" in (tmp_path / "r/hw-evrsnas/report.html").read_text()


DAMAGED = ["{", "[]", '{"kind": "another"}', b"\xff\xfe"]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_studies_speak_and_missing_ones_are_none(tmp_path, content):
    assert (read_study(tmp_path), read_fbnet(tmp_path)) == (None, None)
    for name, read in (("study.json", read_study), ("study-fbnet.json", read_fbnet)):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(StorageError, match=rf"{name}.*make it again.*or remove it"):
            read(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"kind": "hw-evrsnas-study"}', '{"kind": "hw-evrsnas-study", "summary": 1}'])
def test_the_report_does_not_pass_over_a_damaged_study(tmp_path, content):
    folder = tmp_path / "hw-evrsnas"
    folder.mkdir()
    assert hw_evrsnas_section(tmp_path) is None
    (folder / "study.json").write_text(content)
    with pytest.raises(StorageError, match=r"hw-evrsnas.*make it again by `edgecost study hw-evrsnas`, or remove it"):
        hw_evrsnas_section(tmp_path)


def test_a_damaged_study_of_fbnet_is_told_before_anything_is_searched(run, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/study-fbnet.json").write_text("{")
    code, _, err = run("study", "hw-evrsnas", "--data", str(tmp_path), "--out", "s")
    assert code == 2
    assert "study-fbnet.json cannot be read" in err
    assert not (tmp_path / "s/study.json").exists()


@pytest.fixture(scope="module")
def arrays():
    return arrays_of(find_space("nasbench201"))


def known_of(arrays, path):
    options = EvrsnasStudy(path, scores=(path,))
    known = known_scores(options, arrays)
    return known, next(iter(named_scores(default_score(known), known)))


def test_a_score_of_a_file_is_phi_only_where_it_is_called_so(arrays, tmp_path):
    space, path = arrays.space, tmp_path / "s.csv"
    rows = [(space.describe(space.at(i)), i / 1e4, 2.0 - i / 1e4) for i in (9_999, 12_345, 15_624)]
    path.write_text("arch_str,naswot,zen\n" + "".join(f"{a},{x},{y}\n" for a, x, y in rows))
    known, searched = known_of(arrays, path)
    assert set(known) == {"naswot", "zen", "macs", "params"}
    assert searched == "macs"
    path.write_text("arch_str,naswot,phi\n" + "".join(f"{a},{x},{y}\n" for a, x, y in rows))
    known, searched = known_of(arrays, path)
    assert known["phi"][9_999] == pytest.approx(2.0 - 0.9999)
    assert searched == "phi+macs"


def test_phi_of_a_store_is_what_most_classes_have_after_most_steps(arrays, tmp_path):
    space, store = arrays.space, RmiStore(tmp_path / "store")

    def row(identity, index, step, rmi):
        return ScoreRow(identity, space.canonical(space.at(index)), 0, 0, step, rmi, rmi, rmi, 1.0, False, 0.1)

    store.append([row("a" * 32, i, step, step / 100) for i in (9_999, 12_345, 15_624) for step in (0, 20)])
    store.append([row("b" * 32, 9_999, step, 0.9) for step in (0, 150)])
    known, searched = known_of(arrays, store.folder)
    assert known["phi"][9_999] == pytest.approx(0.6)
    assert searched == "phi+macs"
    assert {name for name in known if name.startswith("phi ")} == {
        "phi aaaaaaaa 0",
        "phi bbbbbbbb 0",
        "phi bbbbbbbb 150",
    }


def test_the_imported_table_gives_the_same_study(run, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECOST_DATA", str(data_dir))
    code, out, _ = run("table", "import", "hw-nas-bench", "--out", "costs.parquet")
    assert code == 0
    assert "edgetpu 8787 and 3768 refused" in out
    assert read_networks(tmp_path / "costs.parquet", "cifar100").devices == ("eyeriss", "fpga")
    rows = []
    for more in ((), ("--table", "costs.parquet")):
        run(
            "study", "hw-evrsnas", "--device", "edgetpu", *QUICK, "--no-controls", "--no-ablations", "--out", "s", *more
        )
        found = json.loads((tmp_path / "s/study.json").read_text())["rows"]
        rows.append([(r["architecture"], r["cost"], r["regret"]) for r in found])
    assert rows[0] == rows[1]


def test_a_store_of_few_classes_is_studied_too(run, data_dir, tmp_path, arrays):
    store = RmiStore(tmp_path / "store")
    space = arrays.space
    names = [space.canonical(space.at(i)) for i in (9_999, 12_345)]
    store.append([ScoreRow("a" * 32, name, 0, 0, 0, 0.5, 0.5, 0.5, 1.0, False, 0.1) for name in names])
    given = ("--data", str(data_dir), "--device", "fpga", *QUICK, "--no-controls", "--no-ablations", "--score", "phi")
    code, out, _ = run("study", "hw-evrsnas", *given, "--scores", str(store.folder), "--out", "s", "--json")
    assert code == 0
    lines = {(c["score"], c["above"]): c for c in json.loads(out)["correlations"]}
    assert (lines["phi", 0.0]["kendall_tau"], lines["phi", 0.0]["n"]) == (None, 2)
    assert lines["macs", 0.0]["kendall_tau"] > 0.5


def test_a_damaged_store_is_told_and_the_rest_is_studied(run, data_dir, tmp_path, arrays):
    store, space = RmiStore(tmp_path / "store"), arrays.space
    firsts = np.unique(arrays.representatives[arrays.connected])[::20]
    store.append(
        [
            ScoreRow("a" * 32, space.canonical(space.at(int(i))), 0, 0, 0, 0.5, 0.5, int(i) / 1e5, 1.0, False, 0.1)
            for i in firsts
        ]
    )
    (tmp_path / "store" / "part-0000.parquet").write_bytes(b"no table")
    given = ("--data", str(data_dir), *ONE_DEVICE_QUICKLY)
    code, _, err = run("study", "hw-evrsnas", *given, "--scores", "store", "--out", "s")
    assert code == 0, err
    assert "damaged rows" in err
    data = json.loads((tmp_path / "s/study.json").read_text())
    assert (data["quarantined"], data["scored_classes"]["phi"]) == (1, len(firsts))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_searched(run, data_dir, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("study", "hw-evrsnas", "--data", str(data_dir), "--out", "file/s")
    assert code == 2
    assert "cannot write" in err
    assert "1 of" not in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--device", "abacus"), "no latency of 'abacus'"),
        (("--cost", "money"), "latency, energy or both"),
        (("--score", "phi"), "no score 'phi'"),
        (("--device", "raspi4", "--cost", "energy"), "no energy of 'raspi4'"),
        (("--dataset", "mnist"), "no data set 'mnist'"),
        (("--target", "rpi5"), "--results"),
        (("--measure",), "name them with --target"),
        (("--scores", "nowhere"), "there is no nowhere"),
        (("--penalty-form", "cubic"), "relative, absolute, two-sided"),
        (("--finalists", "3"), "--final-score"),
        (("--final-score", "zen", "--finalists", "3"), "no score 'zen'"),
        (("--space", "darts"), "nasbench201 or fbnet"),
        (("--quantile", "0.4", "--preset", "reduced"), "--preset, --quantile is for --space fbnet"),
        (("--space", "fbnet", "--cost", "energy"), "fbnet is by latency"),
        (("--space", "fbnet", "--dataset", "cifar10"), "no --dataset"),
        (("--space", "fbnet", "--device", "edgetpu"), "no device 'edgetpu'"),
        (("--space", "fbnet", "--quantile", "1.5"), "between 0 and 1"),
        (("--device", "raspi4", "--dataset", "cifar100"), "no latency of 'raspi4'"),
    ],
)
def test_bad_input_is_one_sentence(run, data_dir, tmp_path, args, words):
    code, _, err = run("study", "hw-evrsnas", "--data", str(data_dir), *args)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_without_data_it_says_so(run, monkeypatch):
    monkeypatch.delenv("EDGECOST_DATA", raising=False)
    code, _, err = run("study", "hw-evrsnas")
    assert code == 2
    assert "EDGECOST_DATA" in err
    assert run("table", "import", "hw-nas-bench", "--out", "t.parquet")[0] == 2


def test_a_folder_that_is_not_there_is_not_replaced_by_another(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGECOST_DATA", str(tmp_path))
    code, _, err = run("table", "import", "nowhere/hw-nas-bench", "--out", "t.parquet")
    assert code == 2
    assert "there is no folder nowhere/hw-nas-bench" in err
