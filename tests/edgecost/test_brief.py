"""`edgecost search trained`, as users type it."""

import json

import pytest

from search.evrsnas.brief import BriefTrainer, Learnt

FILE = "t.parquet"


@pytest.fixture
def trained(monkeypatch):
    asked = []

    def train(self, arch):
        asked.append(arch)
        return Learnt(0.5, 1.0, 1000, 3968, 2.0)

    monkeypatch.setattr(BriefTrainer, "train", train)
    return asked


def test_nominees_of_every_budget_are_trained_once(run, data_dir, tmp_path, trained):
    order = ("search", "trained", "--data", str(data_dir), "--device", "fpga", "--device", "raspi4", "--out", FILE)
    code, out, _ = run(*order, "--count", "2", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["budgets"] == 9 + 8
    assert told["trainings"] == len(trained) <= told["nominees"] == told["architectures"] <= 2 * 17
    assert told["cpu_seconds"] == 2.0 * len(trained)
    assert told["images_seen"] == 3968 * len(trained)
    assert told["forward_macs"] == 1000 * told["images_seen"]
    before = len(trained)
    code, out, _ = run(*order, "--count", "2")
    assert code == 0
    assert "nominated by macs within 17 budgets" in out
    assert len(trained) == before
    code, out, _ = run(*order, "--count", "3", "--json")
    assert json.loads(out)["trainings"] == len(trained) > before


def test_a_study_ranks_finalists_by_the_file(run, data_dir, tmp_path, trained):
    code, _, _ = run("search", "trained", "--data", str(data_dir), "--device", "fpga", "--out", FILE, "--count", "5")
    assert code == 0
    code, out, _ = run(
        "study", "hw-evrsnas", "--data", str(data_dir), "--device", "fpga", "--dataset", "cifar10", "--seeds", "1",
        "--generations", "5", "--population", "10", "--scores", FILE, "--score", "macs",
        "--final-score", "held_out+tse+trained_macs", "--finalists", "5", "--out", "study", "--json",
    )  # fmt: skip
    assert code == 0
    methods = {line["method"] for line in json.loads(out)["summary"]}
    assert {"hw-evrsnas", "hw-evrsnas, no finalists"} <= methods
    assert not any("seconds" in method or "images_seen" in method for method in methods)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--out", "t.csv"), "is to be a .parquet file"),
        (("--out", "t.parquet", "--score", "beauty"), "there is no score 'beauty'"),
        (("--out", "t.parquet", "--device", "abacus"), "abacus"),
    ],
)
def test_bad_requests_are_one_sentence(run, data_dir, tmp_path, trained, args, words):
    code, _, err = run("search", "trained", "--data", str(data_dir), *args)
    assert code == 2
    assert words in err
    assert not trained
    assert not (tmp_path / "t.parquet").exists()
