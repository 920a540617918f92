"""Whatever holds a table becomes figures; what holds none is refused."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.audit.auditing import audit
from profiler.tables.audit.sources.reading import read_figures
from profiler.tables.formats.columns import ColumnOptions
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from profiler.workloads.graph import Workload
from profiler.workloads.op import Op

CELL = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
TARGET = Target("rpi5", "onnxruntime", "fp32")


def conv(channels: int, pixels: int = 8) -> Workload:
    attrs = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    ops = (
        Op("input", attrs=(("position", 0), ("shape", (1, 8, pixels, pixels)))),
        Op("conv2d", ((0, 0),), tuple(sorted({**attrs, "out_channels": channels, "bias": False}.items()))),
    )
    return Workload(ops, ((1, 0),))


def table(*latencies_ns: float) -> CostTable:
    workloads = {w.key: w for i in range(len(latencies_ns)) if (w := conv(8 * (i + 1)))}
    rows = [
        Row(
            TARGET.id, key, "kernel", f"conv {i}", ns, 0.99 * ns, 1.01 * ns, spread=0.01, n_rounds=3, energy_mj=ns / 2e5
        )
        for i, (key, ns) in enumerate(zip(workloads, latencies_ns, strict=True))
    ]
    return CostTable(rows, workloads, [TARGET])


@pytest.mark.parametrize("name", ["t.json", "t.parquet", "t.csv"])
def test_our_own_exports_are_read_in_each_format(tmp_path: Path, name: str):
    table(1e6, 2e6, 1.5e6).export(tmp_path / name)
    (found,) = read_figures(tmp_path / name)
    assert found.device == f"{TARGET.id} kernels"
    assert found.latency_ms == pytest.approx([1.0, 2.0, 1.5])
    assert found.energy_mj == pytest.approx([5.0, 10.0, 7.5])
    assert found.deviation_ms == pytest.approx([0.01, 0.02, 0.015])
    assert found.device_class.name == "raspberry-pi-5"
    assert ("multiply-adds" in found.traits) == (name != "t.csv")


def test_a_larger_kernel_that_costs_less_is_found_in_our_own_table(tmp_path: Path):
    table(1e6, 2e6, 1.5e6).export(tmp_path / "t.json")
    findings = [f for f in audit(read_figures(tmp_path / "t.json")).findings if f.check == "more_work"]
    assert [f.index for f in findings] == [2, 2]
    assert "with less to do" in findings[0].reason


def test_a_doubled_row_of_an_exported_csv_is_a_finding(tmp_path: Path):
    path = tmp_path / "t.csv"
    table(1e6, 2e6).export(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace("1000000.0", "1100000.0", 1)]) + "\n")
    findings = audit(read_figures(path)).findings
    assert [f.index for f in findings if f.check == "duplicated"] == [2]


def test_columns_of_several_devices(tmp_path: Path):
    path = tmp_path / "t.csv"
    pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "pixel3_latency_ms": [1.0, np.nan, 3.0],
            "pixel3_status": ["ok", "refused", "ok"],
            "raspi4_latency_us": [1000.0, 2000.0, 3000.0],
        }
    ).to_csv(path, index=False)
    pixel, raspi = read_figures(path)
    assert (pixel.device, pixel.device_class.name, pixel.missing_why) == ("pixel3", "phone", {"'refused'": 1})
    assert raspi.latency_ms == pytest.approx([1, 2, 3])
    assert pixel.keys == ("a", "b", "c")


def test_choices_become_parts(tmp_path: Path):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (60, 4))
    names = [" ".join(map(str, row)) for row in codes]
    pd.DataFrame({"op_idx": names, "latency_ms": codes.sum(axis=1) + 1.0}).to_parquet(tmp_path / "t.parquet")
    (found,) = read_figures(tmp_path / "t.parquet")
    assert found.designs["the choices at each place"].shape == (60, 8)
    assert any(f.check == "exact_sum" for f in audit([found]).findings)


def test_layer_tables_are_ordered_by_what_their_keys_say(tmp_path: Path):
    path = tmp_path / "note10.yaml"
    key = "expanded_conv-input:40x40x32-output:40x40x32-expand:96-kernel:{}-stride:1-idskip:1-se:0-hs:0"
    path.write_text(
        f"{key.format(3)}: {{mean: 3.0, std: 0.01, count: 50}}\n{key.format(5)}: {{mean: 1.0, std: 0.01, count: 2}}\n"
    )
    (found,) = read_figures(path)
    assert found.device_class.name == "phone"
    checks = {f.check: f for f in audit([found]).findings}
    assert "kernel 3 against 5" in checks["more_work"].reason
    assert "rests on 2" in checks["count"].reason


def test_the_device_class_can_be_said(tmp_path: Path):
    (tmp_path / "t.csv").write_text("name,latency_ms\na,1\n")
    (found,) = read_figures(tmp_path / "t.csv", ColumnOptions(device_class="fpga"))
    assert found.device_class.name == "fpga"
    with pytest.raises(ConfigError, match="no device class"):
        read_figures(tmp_path / "t.csv", ColumnOptions(device_class="toaster"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "there is no"),
        ("t.txt", b"x", "must end in"),
        ("t.json", b"[]", "not a latency table"),
        ("t.yaml", b"a: 1", "not of the form"),
        ("t.csv", b"a,b\nx,y\n", "nothing to audit"),
        ("t.csv", b"a,b\nx,1\n", "looks like a latency"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_figures(tmp_path / name)


def findings_of(path: Path, content: str) -> list[tuple[str, str, int | None]]:
    path.write_text(content)
    return [(f.check, f.severity, f.index) for f in audit(read_figures(path)).findings]


def test_what_stands_where_a_number_should_is_a_finding(tmp_path: Path):
    path = tmp_path / "t.csv"
    found = findings_of(path, "name,latency_ms,energy_mj\na,10,x\nb,-,9\nc,12,11\nd,,12\n")
    assert ("missing", "warning", 1) in found
    assert ("missing", "warning", 0) in found
    (table,) = read_figures(path)
    assert np.isnan(table.latency_ms[1])
    assert dict(table.illegible)[1] == "the latency reads '-', which is no number, and was taken for missing"


def test_a_key_that_stands_twice_in_a_table_of_layers_is_a_finding(tmp_path: Path):
    key = "Conv-input:2x2x3-output:1x1x8"
    assert ("duplicated", "error", 1) in findings_of(tmp_path / "t.yaml", f"{key}: {{mean: 1}}\n{key}: {{mean: 2}}\n")
    text = f'{{"{key}": {{"mean": 1}}, "{key}": {{"mean": 2}}}}'
    assert ("duplicated", "error", 1) in findings_of(tmp_path / "t.json", text)


def test_a_row_that_is_none_of_an_export_is_named(tmp_path: Path):
    path = tmp_path / "t.csv"
    table(1e6, 2e6).export(path)
    path.write_text(path.read_text().replace("1000000.0", "fast", 1))
    with pytest.raises(ConfigError, match=r"t.csv: row 0 is not one of an exported table"):
        read_figures(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,latency_ms\na,\nb,\n", "no figure in latency_ms"),
        ('name,latency_ms\na,"1,5"\nb,"2,5"\n', "holds no numbers, but such as '1,5'"),
        ("name,cost\na,b\n", "nothing to audit"),
        ("name,latency_ms\na,10,3\nb,1\n", "cannot be read as a table"),
    ],
)
def test_columns_without_figures_are_refused(tmp_path: Path, content: str, words: str):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_figures(tmp_path / "t.csv")


def test_rows_of_one_name_and_several_settings_are_not_doubled(tmp_path: Path):
    text = "arch_str,batch_size,latency_ms\n" + "".join(f"{CELL},{n},{n}.5\n" for n in (1, 8, 64))
    assert findings_of(tmp_path / "t.csv", text) == []
    assert ("duplicated", "error", 3) in findings_of(tmp_path / "t.csv", f"{text}{CELL},1,9\n")


def test_rows_of_several_settings_are_not_ordered(tmp_path: Path):
    text = "name,threads,macs,latency_ms\na,1,100,9\nb,4,200,3\n"
    assert findings_of(tmp_path / "t.csv", text) == []
    assert ("more_work", "error", 1) in findings_of(tmp_path / "t.csv", text.replace("4,200", "1,200"))


def test_numbers_among_texts_do_not_stop_an_audit(tmp_path: Path):
    (tmp_path / "t.csv").write_text("name,latency_ms,macs,h\na,1,many,8\nb,2,few,none\n")
    (found,) = read_figures(tmp_path / "t.csv")
    assert found.macs is None
    audit([found])


# -------------------------------------------------------------------- the public tables, where there are any


@pytest.fixture
def data_dir() -> Path:
    named = os.environ.get("EDGECOST_DATA")
    if not named:
        pytest.skip("EDGECOST_DATA is not set: it names the folder of measured public data")
    return Path(named)


def test_what_hwnasbench_tells_of_itself(data_dir: Path):
    found = audit(read_figures(data_dir / "hwnasbench_nb201_cifar10.parquet")).findings
    by_check = {(f.device.split()[0], f.check) for f in found}
    assert ("fpga", "constant_power") in by_check
    assert ("edgegpu", "power") in by_check
    assert {device for device, check in by_check if check == "exact_sum"} == {"eyeriss", "fpga"}
    assert {device for device, check in by_check if check == "too_fast"} == {"raspi4", "pixel3"}
    assert {device for device, check in by_check if check == "drift"} == {"pixel3"}
    assert not any(f.severity == "error" for f in found if f.device.startswith(("eyeriss", "fpga")))


def test_layers_that_were_recovered_hold_together(data_dir: Path):
    tables = read_figures(data_dir / "hwnasbench_fbnet_lut_cifar100_recovered.parquet")
    assert [t.device for t in tables] == ["raspi4", "pixel3", "eyeriss", "fpga"]
    assert all(f.severity == "note" for f in audit(tables).findings)
