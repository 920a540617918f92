"""`edgecost table import`, `export` and `build`: other projects' forms, as users type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecost.stages.planning import EFFORTS
from edgecost.stages.table_build import LayerPlan, build_table, plan_layers
from edgecost.stages.table_files import parse_target
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.fleet.virtual.loopback import Fleet
from profiler.fleet.virtual.simulated.boards import SimulatedBoard
from profiler.fleet.virtual.simulated.presets import PRESETS
from profiler.tables.formats.hwnasbench import read_hwnasbench
from profiler.tables.formats.layers.writing import FORMS
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from search.s3nas.costs.fbnet import fbnet_layers

Run = Callable[..., tuple[int, str, str]]

PHONE = "note10/litert-fp32-t1"
OFA = """\
Conv-input:160x160x3-output:80x80x24: {count: 150, mean: 1.25, std: 0.5}
expanded_conv-input:40x40x32-output:20x20x48-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:0: {mean: 1.5, std: 0.02}
Conv_2-input:1x1x1152-output:1x1x1536: {count: 3, mean: 0.2}
"""
PROXYLESSNAS = """\
Conv-input:224x224x3-output:112x112x32: {count: 150, mean: 12.5, var: 0.25}
expanded_conv-input:7x7x192-output:7x7x320-expand:6-kernel:5-stride:1-idskip:0: {count: 154, mean: 5.26, var: 0.19}
"""


def refused(answer: tuple[int, str, str]) -> str:
    code, _, err = answer
    assert code == 2, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("edgecost:")]
    return line


# -------------------------------------------------------------------- import and export


@pytest.mark.parametrize(("form", "text"), [("ofa", OFA), ("proxylessnas", PROXYLESSNAS)])
def test_a_table_goes_in_and_out_and_in_again(run: Run, tmp_path: Path, form: str, text: str) -> None:
    Path("theirs.yaml").write_text(text)
    code, out, err = run("table", "import", "theirs.yaml", "-t", PHONE, "--out", "ours.json", "--json")
    assert code == 0, err
    assert json.loads(out)["format"] == form  # told by the file
    code, _, err = run("table", "export", "out.yaml", "--format", form, "--results", "ours.json")
    assert code == 0, err
    was, now = (sorted(FORMS[form].read(Path(name)), key=lambda row: row.key) for name in ("theirs.yaml", "out.yaml"))
    for a, b in zip(was, now, strict=True):
        assert (a.key, a.shape, a.count) == (b.key, b.shape, b.count)
        assert [b.latency_ms, b.deviation_ms] == pytest.approx([a.latency_ms, a.deviation_ms], rel=1e-11, nan_ok=True)
    assert "in ms" in Path("out.yaml").read_text()
    # every verb takes the imported table in place of a folder of results
    code, out, _ = run("table", "show", "--kind", "block", "--results", "ours.json", "--json")
    assert code == 0
    assert len(json.loads(out)["rows"]) == len(was)


def test_units_are_said(run: Run) -> None:
    Path("t.yaml").write_text("Conv_2-input:1x1x8-output:1x1x16: {mean: 200.0, std: 4.0}")
    assert run("table", "import", "t.yaml", "-t", PHONE, "--out", "t.json", "--unit", "us")[0] == 0
    (row,) = CostTable.load(Path("t.json")).rows()
    assert row.latency_ns == pytest.approx(2e5)
    assert "no unit of a latency" in refused(
        run("table", "import", "t.yaml", "-t", PHONE, "--out", "u.json", "--unit", "min")
    )


S3NAS = {
    "MixConvBlock/r1_k3,5_s22_e2,4_i32_o64_c100_noskip_relu_imgsize8": 300_000,
    "MBConvBlock/r1_k5_s11_e6_i64_o64_c0_se0.25_hsw_imgsize4": 200_000,
    "MBConvBlock/r1_k5_s11_e6_i64_o64_c0_sw_imgsize4": 200_000,
    "Conv2D/k7_s22_i3_o32_imgsize32": 100_000,
    "Conv2D/k1_s11_i64_o128_imgsize4": 50_000,
    "GlobalAvgPool/i128_imgsize4": 2_000,
    "Dense/i128_o10_imgsize1": 1_000,
}


def test_s3nas_folders_become_blocks_of_our_own_space(run: Run) -> None:
    from search.spaces.network import block_workload

    for name, latency in S3NAS.items():
        path = Path("lut") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"latency": latency}))
    code, out, err = run("table", "import", "lut", "-t", "npu/litert-int8-t1", "--out", "npu.json", "--json")
    assert code == 0, err
    notes = json.loads(out)["notes"]
    assert any("activation is sw" in note for note in notes)
    table = CostTable.load(Path("npu.json"))
    costs = {row.key: row.latency_ns for row in table.rows("npu/litert-int8-t1", "block")}
    assert len(costs) == 4
    mixed = block_workload(32, 64, 8, 2, ((3, 2), (5, 4)))
    excited = block_workload(64, 64, 4, 1, ((5, 6),), True, "hswish")
    assert [costs[mixed.key], costs[excited.key]] == pytest.approx([300_000, 200_000])
    # convolution, pooling and classifier are one head here
    assert sorted(costs.values()) == pytest.approx([53_000, 100_000, 200_000, 300_000])
    (stem,) = [row for row in table.rows() if 90_000 < row.latency_ns < 110_000]
    assert table.workloads[stem.key].shape(table.workloads[stem.key].outputs[0]) == (1, 32, 16, 16)


def test_the_public_table_goes_in(run: Run, data_dir: Path) -> None:
    path = str(data_dir / "hwnasbench_fbnet_lut_cifar100_recovered.parquet")
    assert "choose one of them with --device" in refused(
        run("table", "import", path, "-t", "raspi4/litert-fp32-t1", "--out", "t.json")
    )
    code, out, err = run(
        "table", "import", path, "-t", "raspi4/litert-fp32-t1", "--device", "raspi4", "--out", "t.json", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    known = read_hwnasbench(data_dir)
    assert found["rows"] == sum(r.absolute for r in known.of("raspi4"))
    assert any("are left out" in note for note in found["notes"])


def test_a_table_of_ones_own_goes_out_in_hwnasbenchs_form(run: Run) -> None:
    target = Target("mine", "onnxruntime", "fp32")
    layers = fbnet_layers()
    rows = [Row(target.id, w.key, "block", w.name, 1e4 + w.macs, n_rounds=3) for w in layers]
    CostTable(rows, {w.key: w for w in layers}, (target,)).export(Path("own.json"))
    code, _, err = run("table", "export", "fbnet.parquet", "--format", "hwnasbench", "--results", "own.json")
    assert code == 0, err
    read = read_hwnasbench(Path("fbnet.parquet"))
    assert read.devices == ("mine",)
    cost = {row.key: row.latency_ns / 1e6 for row in rows}
    names = {w.name: cost[w.key] for w in layers}
    # skipping everywhere leaves stem, head and the convolutions that stand for skipped layers
    from profiler.tables.formats.hwnasbench import FBNET_OPERATORS, fbnet_places

    skip, least = FBNET_OPERATORS.index(None), FBNET_OPERATORS.index((3, 1, 1))
    ends = sum(ms for name, ms in names.items() if name.startswith(("stem", "head")))
    skipped = sum(names[f"skip {place}"] for place in fbnet_places() if not place.residual)
    assert read.network_ms("mine", [skip] * 22) == pytest.approx(ends + skipped)
    blocks = [f"block k3 e1 {p.in_channels}x{p.size}x{p.size} -> {p.out_channels}" for p in fbnet_places()]
    whole = ends + sum(next(ms for name, ms in names.items() if name.startswith(f"{b} ")) for b in blocks)
    assert read.network_ms("mine", [least] * 22) == pytest.approx(whole)
    # a layer less, and nothing is written
    CostTable(rows[:-1], {w.key: w for w in layers}, (target,)).export(Path("less.json"))
    said = refused(run("table", "export", "less.parquet", "--format", "hwnasbench", "--results", "less.json"))
    assert "table build --format hwnasbench" in said
    assert not Path("less.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "none.yaml", "-t", PHONE, "--out", "o.json"), "there is no none.yaml"),
        (("import", "HW-NAS-Bench-v1_0.pickle", "-t", PHONE, "--out", "o.json"), "never opened"),
        (("import", "t.yaml", "-t", "note10", "--out", "o.json"), "does not say what the table was measured on"),
        (("import", "t.yaml", "-t", "note10/tensorrt-fp32-t1", "--out", "o.json"), "names the runtime 'tensorrt'"),
        (("import", "t.yaml", "-t", PHONE, "--out", "o.yaml"), "must end in .json or .parquet"),
        (("import", "t.yaml", "-t", PHONE, "--out", "o.json", "--format", "fbnet"), "there is no form 'fbnet'"),
        (("import", "t.yaml", "-t", PHONE, "--out", "o.json", "--device", "pixel3"), "HW-NAS-Bench's devices"),
        (("import", "bad.yaml", "-t", PHONE, "--out", "o.json"), "nobody can have measured"),
        (("import", "odd.yaml", "-t", PHONE, "--out", "o.json"), "not known what it computes"),
        (("export", "o.yaml"), "say which with --format"),
        (("export", "o.csv", "-t", PHONE), "--target belongs to --format"),
        (("export", "o.yaml", "--format", "proxylessnas", "--results", "ours.json"), "is a layer of ProxylessNAS's"),
        (("export", "o.txt", "--format", "ofa", "--results", "ours.json"), "must end in .yaml or .json"),
        (("build", "--format", "s3nas", "-t", "x"), "choose one of ofa, proxylessnas, hwnasbench"),
        (("build", "--format", "ofa", "-t", "x", "--resolution", "8"), "at least 32 pixels"),
        (("build", "--format", "hwnasbench", "-t", "x", "--resolution", "32"), "leave options out"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[str, ...], words: str) -> None:
    Path("t.yaml").write_text(OFA)
    Path("bad.yaml").write_text("Conv_2-input:1x1x8-output:1x1x16: {mean: -1.0}")
    Path("odd.yaml").write_text("Conv_9-input:1x1x8-output:1x1x16: {mean: 1.0}")
    assert run("table", "import", "t.yaml", "-t", PHONE, "--out", "ours.json")[0] == 0
    assert words in refused(run("table", *arguments))
    assert not any(path.name.startswith("o.") for path in Path().iterdir())


def test_a_table_in_place_of_a_folder_is_not_written_into(run: Run) -> None:
    Path("t.yaml").write_text(OFA)
    assert run("table", "import", "t.yaml", "-t", PHONE, "--out", "ours.json")[0] == 0
    assert "say with --out" in refused(run("fit", "-t", PHONE, "--results", "ours.json"))


def test_peak_memory_is_predicted_from_any_table(run: Run) -> None:
    from profiler.workloads.build import WorkloadBuilder
    from profiler.workloads.builders.onnx import build_onnx

    b = WorkloadBuilder("network")
    x = b.relu(b.conv2d(b.input((1, 3, 16, 16)), 8, kernel=3, bias=True))
    Path("n.onnx").write_bytes(build_onnx(b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))))
    Path("t.yaml").write_text(OFA)
    assert run("table", "import", "t.yaml", "-t", PHONE, "--out", "ours.json")[0] == 0
    code, out, err = run("predict", "n.onnx", "-t", PHONE, "--cost", "memory", "--results", "ours.json", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["peak_bytes"] == 4 * (8 * 27 + 8 + 80 + 10) + 4 * (3 * 256 + 8 * 256)
    assert (found["high_bytes"], found["measured"], found["complete"]) == (None, False, False)
    assert "counted, not measured" in found["sentence"]


def test_a_target_is_parsed_as_it_is_written() -> None:
    for target in (Target("note10", "litert", "int8", 4), Target("a-b-2", "onnxruntime", "fp32")):
        assert parse_target(target.id) == target
    with pytest.raises(ConfigError, match="note10/litert-fp32-t1"):
        parse_target("note10/litert-fp32")


# -------------------------------------------------------------------- build


def test_plans_hold_each_layer_once() -> None:
    plan = plan_layers("ofa", [160, 224, 160])
    assert list(plan.files) == [160, 224]
    # the mixing layer and the classifier are the same at every resolution
    assert len(plan.workloads) == 2 * 96 - 2
    assert plan.typical_params > 1_000_000
    jobs = plan.jobs(Target("b", "onnxruntime", "fp32"))
    assert {job.role.subject_key for job in jobs if job.role.kind == "block"} == {w.key for w in plan.workloads}
    assert len(plan_layers("hwnasbench").workloads) == len(fbnet_layers())


@pytest.mark.slow
def test_a_table_is_measured_and_written_and_goes_on_where_it_stopped(tmp_path: Path, run: Run) -> None:
    """On a simulated board, some layers of two resolutions; and the same once more, without measuring anything."""
    whole = plan_layers("ofa", [64, 96])
    few = {size: (*layers[:4], *layers[-4:]) for size, layers in whole.files.items()}
    keys = {FORMS["ofa"].key(shape) for layers in few.values() for shape in layers}
    plan = LayerPlan("ofa", few, tuple(w for w in whole.workloads if w.name in keys))
    config = replace(EFFORTS["quick"], rounds=2)
    with Fleet(tmp_path / "fleet", boards=[SimulatedBoard("kv260", replace(PRESETS["kv260"], seed=3))]) as fleet:
        (device,) = fleet.devices()
        target = device.targets[0]
        out = tmp_path / "tables"
        found = build_table(device, target, plan, config, tmp_path / "results", out, partial=True)
        again = build_table(device, target, plan, config, tmp_path / "results", out, partial=True)
    assert found["run"]["measured"] > 0
    assert (again["run"]["measured"], again["run"]["resumed"]) == (0, found["run"]["measured"])
    assert [Path(file).name for file in found["files"]] == ["64_lookup_table.yaml", "96_lookup_table.yaml"]
    for size, shapes in few.items():
        path = out / f"{size}_lookup_table.yaml"
        text = path.read_text()
        assert "not a board: simulated" in text
        rows = {row.key: row for row in FORMS["ofa"].read(path)}
        wanted = {FORMS["ofa"].key(shape) for shape in shapes}
        assert wanted - rows.keys() == {key for key in found["missing"] if key in wanted}
        assert len(rows) > len(wanted) / 2
        assert all(row.count == 2 and row.latency_ms > 0.0 and np.isfinite(row.deviation_ms) for row in rows.values())
    with pytest.raises(ConfigError, match="nothing is written"):
        missing = LayerPlan("ofa", {64: (*few[64], whole.files[64][20])}, plan.workloads)
        from edgecost.stages.table_build import _write

        _write(missing, target, Path(found["run"]["run_dir"]), tmp_path / "none", partial=False)
    assert not (tmp_path / "none").exists()
