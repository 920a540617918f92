"""HW-NAS-Bench's costs of whole networks, against what it documents, and against files that are wrong."""

import numpy as np
import pandas as pd
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench_networks import DATASETS, DEVICES, read_networks, write_networks


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_figure_agrees_with_the_documented_examples(data_dir, dataset):
    examples = pd.read_parquet(data_dir / "hwnasbench_documented_examples.parquet")
    examples = examples[(examples["space"] == "nasbench201") & (examples["dataset"] == dataset)]
    assert len(examples) == 3
    table = read_networks(data_dir, dataset)
    order = pd.read_parquet(data_dir / "nasbench201_accuracy.parquet", columns=["arch_index", "arch_str"])
    names = dict(zip(order["arch_index"], order["arch_str"], strict=True))
    checked = 0
    for _, example in examples.iterrows():
        row = table.names.index(names[int(example["arch"])])
        for (_, quantity), column in table.columns.items():
            device = next(d for (d, q), c in table.columns.items() if c is column)
            if not np.isnan(column[row]):
                assert column[row] == pytest.approx(example[f"{device}_{quantity}"], rel=1e-9)
                checked += 1
    assert checked >= (3 * 9 if dataset == "cifar10" else 2)


def test_counts_of_known_refused_and_unknown(data_dir):
    table = read_networks(data_dir)
    assert set(table.devices) == set(DEVICES)
    known = {device: int(np.isfinite(table.of(device)[0]).sum()) for device in DEVICES}
    assert known == {
        "edgegpu": 12555,
        "raspi4": 15625,
        "edgetpu": 8787,
        "pixel3": 15625,
        "eyeriss": 15625,
        "fpga": 15625,
    }
    values, refused = table.of("edgetpu")
    assert refused.sum() == 3768
    assert np.isnan(values[refused]).all()


def frame(**columns):
    return pd.DataFrame({"arch_str": ["a", "b", "c"], "dataset": "cifar10", **columns})


def test_a_refusal_of_minus_one_is_no_latency(tmp_path):
    path = tmp_path / "t.parquet"
    frame(edgetpu_latency_ms=[1.0, -1.0, np.nan]).to_parquet(path)
    values, refused = read_networks(path).of("edgetpu")
    assert refused.tolist() == [False, True, False]
    assert values[0] == 1.0
    assert np.isnan(values[1:]).all()


@pytest.mark.parametrize("wrong", [0.0, -1.0, -3.0, np.inf])
def test_what_is_no_cost_is_refused(tmp_path, wrong):
    path = tmp_path / "t.parquet"
    frame(fpga_latency_ms=[1.0, wrong, 2.0]).to_parquet(path)
    with pytest.raises(ConfigError, match="fpga has the latency .* for b"):
        read_networks(path)


def test_other_tables_are_named(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(ConfigError, match="there is no"):
        read_networks(path)
    pd.DataFrame({"x": [1.0]}).to_parquet(path)
    with pytest.raises(ConfigError, match="no table of networks"):
        read_networks(path)
    frame(fpga_latency_ms=[1.0, 2.0, 3.0]).assign(arch_str="a").to_parquet(path)
    with pytest.raises(ConfigError, match="twice"):
        read_networks(path)
    frame(fpga_latency_ms=[1.0, 2.0, 3.0]).to_parquet(path)
    with pytest.raises(ConfigError, match="cifar100"):
        read_networks(path, "cifar100")
    with pytest.raises(ConfigError, match="no latency of 'raspi4'"):
        read_networks(path).of("raspi4")
    path.write_bytes(b"no parquet")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_networks(path)


def test_what_is_written_is_read_again(tmp_path):
    path, out = tmp_path / "t.parquet", tmp_path / "out" / "ours.parquet"
    frame(
        edgetpu_latency_ms=[1.0, -1.0, np.nan], fpga_latency_ms=[3.0, 2.0, np.nan], fpga_energy_mj=[7.0, np.nan, 9.0]
    ).to_parquet(path)
    read = read_networks(path)
    assert write_networks([read], out) == 6
    again = read_networks(out)
    assert again.names == read.names
    for (device, quantity), column in read.columns.items():
        np.testing.assert_array_equal(again.columns[device, quantity], column)
        np.testing.assert_array_equal(again.of(device)[1], read.of(device)[1])
    assert sorted(p.name for p in out.parent.iterdir()) == ["ours.parquet"]
