"""Transfer as a user meets it: suggest, measure, fit; and the protocols."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from edgecost.stages import transferring
from edgecost.stages.protocols import run_protocol
from edgecost.stages.transferring import fit, known_tables, suggest
from profiler.errors import ConfigError, UnknownWorkload
from search.spaces import FBNet

COSTS = {
    "kin": (1.0, 0.0),
    "odd": (0.1, 3.0),
    "board": (0.5, 0.02),
}  # ms a million MACs, ms a layer that is not skipped


@pytest.fixture(scope="module")
def latencies(tmp_path_factory):
    """FBNet architectures on three made-up devices."""
    space, rng = FBNet(), np.random.default_rng(0)
    rows = []
    for _ in range(150):
        arch = space.sample(rng)
        workload = space.workload(arch)
        layers = sum(choice != 8 for choice in arch.choices)
        for device, (per_mac, per_layer) in COSTS.items():
            rows.append((space.describe(arch), device, 2.0 + per_mac * workload.macs / 1e6 + per_layer * layers))
    frame = pd.DataFrame(rows, columns=["op_idx", "device", "latency_ms"])
    path = tmp_path_factory.mktemp("tables") / "devices.parquet"
    frame.to_parquet(path)
    return path, frame


@pytest.fixture(autouse=True)
def without_public_data(monkeypatch):
    monkeypatch.delenv("EDGECOST_DATA", raising=False)


def test_suggest_measure_fit(latencies, tmp_path):
    path, frame = latencies
    wanted = suggest("board", 12, "", [path], ["kin", "odd"], 0)
    assert wanted["space"] == "fbnet"
    assert len(set(wanted["architectures"])) == 12
    own = frame[(frame["device"] == "board") & frame["op_idx"].isin(wanted["architectures"])]
    own.to_csv(tmp_path / "own.csv", index=False)
    out = tmp_path / "board.json"
    answer = fit("board", tmp_path / "own.csv", [path], ["kin", "odd"], out)
    assert (answer["n"], answer["sources"]) == (12, ["kin", "odd"])
    truth = frame[frame["device"] == "board"].set_index("op_idx")["latency_ms"]
    predicted = {p["architecture"]: p for p in answer["predictions"]}
    error = [abs(predicted[a]["latency_ms"] / truth[a] - 1) for a in truth.index]
    assert np.mean(error) < 0.02
    assert all(p["low_ms"] <= p["latency_ms"] <= p["high_ms"] for p in predicted.values())
    assert 0.0 <= answer["transfer_probability"] <= 1.0
    kept = json.loads(out.read_text())
    assert len(kept["measured"]) == 12
    assert kept["predictions"] == answer["predictions"]


def test_a_target_in_the_tables_is_never_its_own_source(latencies):
    path, _ = latencies
    assert suggest("board", 5, "", [path], None, 0)["sources"] == ["kin", "odd"]
    assert suggest("board", 5, "", [path], [], 0)["sources"] == []


def test_without_any_table_random_architectures_are_the_pool(monkeypatch):
    monkeypatch.setattr(transferring, "POOL_SIZE", 40)
    answer = suggest("board", 5, "fbnet", [], None, 3)
    assert (answer["pool"], answer["sources"]) == (40, [])
    assert answer == suggest("board", 5, "fbnet", [], None, 3)
    with pytest.raises(ConfigError, match="no table of kin; give one with --data"):
        suggest("board", 5, "fbnet", [], ["kin"], 3)


def test_bad_input_is_refused(latencies, tmp_path):
    path, frame = latencies
    few = tmp_path / "few.csv"
    frame[frame["device"] == "board"].head(3).to_csv(few, index=False)
    with pytest.raises(UnknownWorkload, match="3 measured architectures are too few"):
        fit("board", few, [path], None, tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
    with pytest.raises(ConfigError, match="needs the devices lost"):
        fit("lost", few, [path], None, None)
    with pytest.raises(ConfigError, match="transfer needs the devices lost"):
        suggest("board", 5, "", [path], ["lost"], 0)
    with pytest.raises(ConfigError, match="is of fbnet, not of nasbench201"):
        known_tables([path], "nasbench201")
    broken = tmp_path / "broken.csv"
    frame.head(3).assign(op_idx="1 2 3").drop_duplicates(["op_idx", "device"]).to_csv(broken, index=False)
    with pytest.raises(ConfigError, match=r"broken.csv: fbnet takes 22 choices, not 3"):
        suggest("board", 5, "", [broken], None, 0)


def test_protocols_run_on_any_devices(latencies, tmp_path):
    path, _ = latencies
    out = tmp_path / "p.json"
    answer = run_protocol("transfer:fbnet", [path], ["kin", "odd"], ["board"], 10, seeds=1, out=out)
    assert answer["missing_targets"] == []
    means = {s["method"]: s["spearman"] for s in answer["summary"] if s["target"] == "mean"}
    assert means["transfer"] > 0.95
    assert json.loads(out.read_text())["summary"] == json.loads(json.dumps(answer["summary"]))
    single = run_protocol("single-device:60", [path], targets=["kin"], seeds=1)
    assert single["targets"] == ["kin"]


def test_missing_devices_of_named_protocols_are_told(latencies):
    path, _ = latencies
    with pytest.raises(ConfigError, match="nasflat:F2 needs the devices essential_ph_1, gold_6226"):
        run_protocol("nasflat:F2", [path], seeds=1)
    with pytest.raises(ConfigError, match="nasflat:FD needs the devices fpga, raspi4, eyeriss"):
        run_protocol("nasflat:FD", [path], ["kin", "odd"], seeds=1)
    with pytest.raises(ConfigError, match="needs a table of devices' latencies"):
        run_protocol("nasflat:ND", seeds=1)
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        run_protocol("nasflat:ND", [path], seeds=0)


def test_targets_that_the_data_lack_are_left_out_and_named(latencies, tmp_path):
    _, frame = latencies
    named = tmp_path / "named.parquet"
    frame.replace({"device": {"board": "fpga"}}).to_parquet(named)
    answer = run_protocol("nasflat:FD", [named], ["kin", "odd"], seeds=1)
    assert answer["targets"] == ["fpga"]
    assert answer["missing_targets"] == ["raspi4", "eyeriss"]


NASFLAT_SPLITS = {
    "F1": ("2080ti_1", "titan_rtx_1", "titan_rtx_32", "samsung_a50"),
    "F2": ("gold_6226", "gold_6240", "2080ti_32", "titanxp_1"),
    "F3": ("pixel2", "samsung_s7", "2080ti_1", "titan_rtx_32"),
    "F4": ("1080ti_64", "gold_6240", "silver_4210r", "pixel2"),
    "FA": ("titanx_1", "titanx_32", "titanx_64", "titanxp_64", "gold_6226"),
}


@pytest.mark.parametrize("split", NASFLAT_SPLITS)
def test_named_splits_run_where_the_file_has_their_devices(latencies, tmp_path, split):
    """Any device names in the layout of the public files; what lacks is named, sources and targets."""
    from predictors.transfer.validation.protocols import PROTOCOLS

    _, frame = latencies
    protocol = PROTOCOLS[f"nasflat:{split}"]
    assert set(NASFLAT_SPLITS[split]) <= {*protocol.sources, *protocol.targets}
    base, rng = frame[frame["device"] == "kin"], np.random.default_rng(1)
    made = []
    for number, device in enumerate((*protocol.sources, *protocol.targets)):
        noisy = base["latency_ms"] * (1 + number / 20) * (1 + 0.02 * rng.standard_normal(len(base)))
        made.append(base.assign(device=device, latency_ms=noisy, device_kind="gpu", batch_size=1))
    every = pd.concat(made, ignore_index=True)
    whole, part = tmp_path / "whole.parquet", tmp_path / "part.parquet"
    every.to_parquet(whole)
    answer = run_protocol(f"nasflat:{split}", [whole], seeds=1)
    assert tuple(answer["targets"]) == protocol.targets
    assert answer["missing_targets"] == []
    assert answer["published_mean_spearman"]["NASFLAT"] > 0.5
    lost = (protocol.sources[-1], protocol.targets[0])
    every[~every["device"].isin(lost)].to_parquet(part)
    with pytest.raises(ConfigError, match=f"nasflat:{split} needs the devices {lost[0]}, {lost[1]}, which"):
        run_protocol(f"nasflat:{split}", [part], seeds=1)


def test_the_command_line(latencies, tmp_path):
    from typer.testing import CliRunner

    from edgecost.cli.app import app

    path, frame = latencies
    runner = CliRunner()
    named = runner.invoke(app, ["transfer", "suggest", "-t", "board", "-n", "6", "--data", str(path)])
    wanted = named.stdout.strip().splitlines()
    assert named.exit_code == 0
    assert len(wanted) == 6
    own = tmp_path / "own.csv"
    frame[(frame["device"] == "board") & frame["op_idx"].isin(wanted)].to_csv(own, index=False)
    fitted = runner.invoke(app, ["transfer", "fit", "-t", "board", "--measured", str(own), "--data", str(path)])
    assert fitted.exit_code == 0
    assert "6 architectures of fbnet measured" in fitted.stdout
    shown = runner.invoke(
        app,
        ["validate", "--protocol", "transfer:fbnet", "--data", str(path), "--sources", "kin", "--targets", "board",
         "--samples", "8", "--seeds", "1"],
    )  # fmt: skip
    assert shown.exit_code == 0
    assert "best-source proxy" in shown.stdout
