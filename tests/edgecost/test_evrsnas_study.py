"""`edgecost study hw-evrsnas` and `edgecost table import hw-nas-bench`, as users type them."""

import json

import pytest

from edgecost.report.hw_evrsnas import hw_evrsnas_section
from edgecost.stages.evrsnas_study import EvrsnasStudy, known_scores, named_scores
from profiler.tables.formats.hwnasbench_networks import read_networks
from search.evrsnas.arrays import arrays_of
from search.evrsnas.parts import ScoreRow
from search.evrsnas.store import RmiStore
from search.spaces import find_space

QUICK = ("--seeds", "2", "--generations", "5", "--population", "10")


def test_a_study_is_written_and_reported(run, data_dir, tmp_path):
    code, out, _ = run(
        "study", "hw-evrsnas", "--data", str(data_dir), "--device", "fpga", *QUICK, "--out", "r/hw-evrsnas", "--json"
    )
    assert code == 0
    told = json.loads(out)
    data = json.loads((tmp_path / "r/hw-evrsnas/study.json").read_text())
    assert told["summary"] == data["summary"]
    assert data["score"] == "macs"
    assert len({row["budget"] for row in data["rows"]}) == 9
    assert all(line["violations"] == 0 for line in data["summary"])
    section = hw_evrsnas_section(tmp_path / "r")
    assert [title for title, _, _ in section.tables]
    page = (tmp_path / "r/hw-evrsnas/report.html").read_text()
    assert "<h2>HW-EvRSNAS" in page
    assert "<script src" not in page


@pytest.fixture(scope="module")
def arrays():
    return arrays_of(find_space("nasbench201"))


def known_of(arrays, path):
    options = EvrsnasStudy(path, scores=path)
    known = known_scores(options, arrays)
    return known, next(iter(named_scores(options, known)))


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
        run("study", "hw-evrsnas", "--device", "edgetpu", *QUICK, "--no-controls", "--out", "s", *more)
        found = json.loads((tmp_path / "s/study.json").read_text())["rows"]
        rows.append([(r["architecture"], r["cost"], r["regret"]) for r in found])
    assert rows[0] == rows[1]


def test_a_store_of_few_classes_is_studied_too(run, data_dir, tmp_path, arrays):
    store = RmiStore(tmp_path / "store")
    space = arrays.space
    names = [space.canonical(space.at(i)) for i in (9_999, 12_345)]
    store.append([ScoreRow("a" * 32, name, 0, 0, 0, 0.5, 0.5, 0.5, 1.0, False, 0.1) for name in names])
    given = ("--data", str(data_dir), "--device", "fpga", *QUICK, "--no-controls", "--score", "phi")
    code, out, _ = run("study", "hw-evrsnas", *given, "--scores", str(store.folder), "--out", "s", "--json")
    assert code == 0
    lines = {(c["score"], c["above"]): c for c in json.loads(out)["correlations"]}
    assert (lines["phi", 0.0]["kendall_tau"], lines["phi", 0.0]["n"]) == (None, 2)
    assert lines["macs", 0.0]["kendall_tau"] > 0.5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--device", "abacus"), "no latency of 'abacus'"),
        (("--cost", "money"), "latency, energy or both"),
        (("--score", "phi"), "no score 'phi'"),
        (("--device", "raspi4", "--cost", "energy"), "no energy of 'raspi4'"),
        (("--dataset", "mnist"), "no data set 'mnist'"),
        (("--target", "rpi5"), "--results"),
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
