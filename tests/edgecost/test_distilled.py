"""`edgecost search distilled`, as users type it."""

import json

import numpy as np
import pytest

from search.evrsnas.distilling import Distilled, Distiller

FILE = "d.parquet"


@pytest.fixture
def distilled(monkeypatch):
    asked = []

    def train(self, arch):
        asked.append(arch)
        return Distilled(1.0 / (1 + self.space.workload(arch).macs), 1000, 12800, 2.0)

    monkeypatch.setattr(Distiller, "train", train)
    return asked


def test_a_larger_sample_goes_on_with_the_smaller(run, data_dir, distilled):
    order = ("search", "distilled", "--data", str(data_dir), "--out", FILE)
    code, out, _ = run(*order, "--sample", "3", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["architectures"] == told["sample"] == len(distilled) == 3
    assert told["cpu_seconds"] == 6.0
    code, out, _ = run(*order, "--sample", "5")
    assert code == 0
    assert "5 classes that ResNet-20" in out
    assert len(distilled) == 5


def test_a_study_searches_by_the_model_of_it(run, data_dir, distilled):
    code, _, _ = run("search", "distilled", "--data", str(data_dir), "--sample", "110", "--out", FILE)
    assert code == 0
    code, out, _ = run(
        "study", "hw-evrsnas", "--data", str(data_dir), "--device", "fpga", "--dataset", "cifar10", "--seeds", "1",
        "--generations", "5", "--population", "10", "--scores", FILE, "--no-ablations", "--out", "study", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(out)
    methods = {line["method"] for line in told["summary"]}
    assert {"hw-evrsnas", "by distilled_fit", "by live_macs", "all by distilled_fit+live_macs"} <= methods
    assert "by distilled" not in methods  # a sample is no control of a whole space
    assert all(np.isfinite(line["regret"]) for line in told["summary"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--out", "d.csv"), "is to be a .parquet file"),
        (("--out", FILE, "--steps", "501"), "1 to 500 steps"),
        (("--out", FILE, "--reference", "nowhere.npz"), "nowhere.npz"),
        (("--out", FILE, "--data", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(run, args, words):
    code, out, err = run("search", "distilled", "--sample", "2", *args)
    assert code == 2
    assert words in out + err
    assert "Traceback" not in err
