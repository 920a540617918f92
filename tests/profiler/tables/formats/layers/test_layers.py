"""Whole spaces' layers: published keys, each layer as the workload that it is, files written and read again."""

from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest

from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.formats.layerkeys import LayerRow, LayerShape
from profiler.tables.formats.layers.blocks import layer_of, layer_workload
from profiler.tables.formats.layers.own import layers_of_table, table_of_layers
from profiler.tables.formats.layers.spaces import LAYER_SPACES, space_layers
from profiler.tables.formats.layers.writing import FORMS, form_named, write_layers
from profiler.tables.table import CostTable

PHONE = Target("note10", "litert", "fp32")


def rows(form: str, resolution: int = 160) -> list[LayerRow]:
    """A made-up figure for every layer, of awkward floats."""
    shapes = space_layers(form, resolution)
    return [
        LayerRow(
            FORMS[form].key(s),
            s,
            0.1 + i / 7.0,
            (0.01 + i / 900.0) if i % 3 else float("nan"),
            10 + i if i % 4 else None,
        )
        for i, s in enumerate(shapes)
    ]


def same(one: LayerRow, other: LayerRow) -> bool:
    deviations = one.deviation_ms == other.deviation_ms or (isnan(one.deviation_ms) and isnan(other.deviation_ms))
    rest = (one.key, one.shape, one.latency_ms, one.count) == (other.key, other.shape, other.latency_ms, other.count)
    return deviations and rest


def by_key(found: list[LayerRow] | tuple[LayerRow, ...]) -> list[LayerRow]:
    return sorted(found, key=lambda row: row.key)


# -------------------------------------------------------------------- the published keys


def test_once_for_all_asks_for_keys_that_are_in_the_table():
    """As its tutorial's estimator makes them of the largest network at 224 pixels, by hand."""
    keys = {FORMS["ofa"].key(shape) for shape in space_layers("ofa", 224)}
    assert {
        "Conv-input:224x224x3-output:112x112x24",
        "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0",
        "expanded_conv-input:112x112x24-output:56x56x32-expand:144-kernel:7-stride:2-idskip:0-se:0-hs:0",
        "expanded_conv-input:56x56x32-output:28x28x48-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:0",
        "expanded_conv-input:28x28x48-output:14x14x96-expand:192-kernel:3-stride:2-idskip:0-se:0-hs:1",
        "expanded_conv-input:14x14x96-output:14x14x136-expand:288-kernel:3-stride:1-idskip:0-se:1-hs:1",
        "expanded_conv-input:14x14x136-output:7x7x192-expand:816-kernel:5-stride:2-idskip:0-se:1-hs:1",
        "expanded_conv-input:7x7x192-output:7x7x192-expand:768-kernel:7-stride:1-idskip:1-se:1-hs:1",
        "Conv_1-input:7x7x192-output:7x7x1152",
        "AvgPool2D-input:7x7x1152-output:1x1x1152",
        "Conv_2-input:1x1x1152-output:1x1x1536",
        "Logits-input:1x1x1536-output:1000",
    } <= keys
    # five stages of a first block and of those behind it, nine choices each; stem, first block and four last layers
    assert len(keys) == 5 * 2 * 9 + 2 + 4


def test_proxylessnas_asks_for_keys_that_are_in_the_table():
    keys = {FORMS["proxylessnas"].key(shape) for shape in space_layers("proxylessnas", 224)}
    assert {
        "Conv-input:224x224x3-output:112x112x32",
        "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0",
        "expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:3-stride:1-idskip:1",
        "expanded_conv-input:7x7x192-output:7x7x320-expand:6-kernel:5-stride:1-idskip:0",
        "Conv_1-input:7x7x320-output:7x7x1280",
        "Logits-input:7x7x1280-output:1000",
    } <= keys
    assert len(keys) == 5 * 2 * 6 + 6 + 2 + 2


def test_widths_and_classes_can_be_others():
    keys = {FORMS["ofa"].key(shape) for shape in space_layers("ofa", 160, width=1.0, num_classes=10)}
    assert {"Conv-input:160x160x3-output:80x80x16", "Conv_1-input:5x5x160-output:5x5x960"} <= keys
    assert "Logits-input:1x1x1280-output:10" in keys
    for bad in ({"resolution": 16}, {"resolution": 160, "width": 9.0}, {"resolution": 160, "num_classes": 0}):
        with pytest.raises(ConfigError, match="at least 32 pixels"):
            space_layers("ofa", **bad)
    with pytest.raises(ConfigError, match="tables can be built for ofa, proxylessnas"):
        space_layers("mnasnet", 224)


# -------------------------------------------------------------------- layers as workloads


@pytest.mark.parametrize("form", sorted(LAYER_SPACES))
def test_a_layer_is_a_workload_and_back(form: str):
    shapes = space_layers(form, 160)
    workloads = [layer_workload(shape, form) for shape in shapes]
    assert len({w.key for w in workloads}) == len(shapes)
    assert [layer_of(w, form) for w in workloads] == list(shapes)
    # squeeze-and-excitation is not in the key's own count
    assert all(w.macs == s.macs for w, s in zip(workloads, shapes, strict=True) if s.macs is not None and not s.se)


def test_what_is_no_layer_of_a_form_is_none():
    block = LayerShape("expanded_conv", (8, 8, 16), (8, 8, 16), 48, 3, 1, True)
    assert layer_of(layer_workload(block, "ofa"), "proxylessnas") is None  # ReLU, not ReLU6
    assert layer_of(layer_workload(block, "proxylessnas"), "ofa") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "Conv_7"}, "not known what it computes"),
        ({"stride": 2}, "does not fit together"),
        ({"output": (4, 4, 24), "skip": False}, "not what its key says"),
        ({"kernel": 4}, "only odd ones"),
        ({"middle": None}, "without middle channels"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(changes: dict, words: str):
    block = LayerShape("expanded_conv", (8, 8, 16), (8, 8, 16), 48, 3, 1, True)
    with pytest.raises(ValueError, match=words):
        layer_workload(replace(block, **changes), "ofa")


# -------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["t.yaml", "t.json"])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_file_is_read_as_it_was_written(form: str, name: str, tmp_path: Path):
    written = rows(form)
    write_layers(written, tmp_path / name, FORMS[form], ["on a phone", "a\nbreak"])
    read = FORMS[form].read(tmp_path / name)
    assert all(same(a, b) for a, b in zip(by_key(read), by_key(written), strict=True))
    write_layers(read, tmp_path / f"again-{name}", FORMS[form], ["on a phone", "a\nbreak"])
    assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_figures_of_every_size_come_back(tmp_path: Path):
    shape = space_layers("ofa", 224)[0]
    for mean in (1e-7, 1e16, 2.5e-9, 0.1, 1 / 3, 1e22):
        write_layers([LayerRow("k", shape, mean, mean / 3, 3)], tmp_path / "t.yaml", FORMS["ofa"])
        (read,) = FORMS["ofa"].read(tmp_path / "t.yaml")
        assert (read.latency_ms, read.deviation_ms) == (mean, mean / 3)


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path):
    first, second = rows("ofa")[:2]
    block = rows("proxylessnas")[3]
    out = tmp_path / "t.yaml"
    for layers, form, words in (
        ([], "ofa", "no layer to write"),
        ([replace(first, latency_ms=0.0)], "ofa", "measure it again"),
        ([replace(first, latency_ms=float("nan"))], "ofa", "nan ms"),
        ([first, replace(first, latency_ms=9.0)], "ofa", "two figures"),
        ([replace(second, shape=replace(second.shape, middle=None))], "ofa", "without middle channels"),
        ([replace(block, shape=replace(block.shape, hs=True))], "proxylessnas", "no words for"),
        (
            [replace(block, shape=replace(block.shape, middle=block.shape.input[-1] * 3 + 1))],
            "proxylessnas",
            "whole ratios",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            write_layers(layers, out, form_named(form))
    with pytest.raises(ConfigError, match=r"end in \.yaml or \.json"):
        write_layers([first], tmp_path / "t.txt", FORMS["ofa"])
    with pytest.raises(ConfigError, match="choose one of ofa, proxylessnas"):
        form_named("yaml")
    assert list(tmp_path.iterdir()) == []
    write_layers([first, first], out, FORMS["ofa"])  # said twice is said once
    assert len(FORMS["ofa"].read(out)) == 1


# -------------------------------------------------------------------- into our tables and out


@pytest.mark.parametrize("form", sorted(FORMS))
def test_imported_and_exported_is_imported_again(form: str, tmp_path: Path):
    """Through our own table, whose figures are of another unit, and that as a file too."""
    path = tmp_path / "t.yaml"
    write_layers(rows(form), path, FORMS[form])
    table = table_of_layers(FORMS[form].read(path), FORMS[form], PHONE, path)
    table.export(tmp_path / "ours.parquet")
    own = layers_of_table(CostTable.load(tmp_path / "ours.parquet"), PHONE.id, FORMS[form])
    assert (own.others, own.unresolved) == ((), ())
    for row, was in zip(own.layers, by_key(rows(form)), strict=True):
        assert (row.key, row.shape, row.count) == (was.key, was.shape, was.count)
        assert row.latency_ms == pytest.approx(was.latency_ms, rel=1e-11)
        assert row.deviation_ms == pytest.approx(was.deviation_ms, rel=1e-11, nan_ok=True)
    write_layers(own.layers, tmp_path / "out.yaml", FORMS[form])
    again = table_of_layers(FORMS[form].read(tmp_path / "out.yaml"), FORMS[form], PHONE, tmp_path / "out.yaml")
    # from then on nothing changes any more
    once_more = layers_of_table(again, PHONE.id, FORMS[form]).layers
    assert all(same(a, b) for a, b in zip(once_more, own.layers, strict=True))


def test_units_deviation_and_count_become_a_row(tmp_path: Path):
    first = replace(rows("ofa")[0], latency_ms=2000.0, deviation_ms=100.0, count=100)
    table = table_of_layers([first], FORMS["ofa"], PHONE, tmp_path / "t.yaml", factor=1e-3)
    (row,) = table.rows(PHONE.id, "block")
    assert (row.latency_ns, row.n_rounds) == (2e6, 100)
    assert row.spread == pytest.approx(0.05)
    assert row.high_ns - row.latency_ns == pytest.approx(1.96 * 0.1e6 / 10)
    assert table.workloads[row.key].key == layer_workload(first.shape, "ofa").key
    unsure = table_of_layers([replace(first, deviation_ms=float("nan"))], FORMS["ofa"], PHONE, tmp_path / "t.yaml")
    assert all(isnan(v) for v in (unsure.rows()[0].low_ns, unsure.rows()[0].spread))


def test_layers_of_a_simulated_board_stay_simulated(tmp_path: Path):
    board = Target("sim-rpi5", "simulated", "fp32")
    table = table_of_layers(rows("ofa")[:2], FORMS["ofa"], board, tmp_path / "t.yaml")
    assert {row.emulation for row in table.rows()} == {"simulated"}
    assert {row.emulation for row in table_of_layers(rows("ofa"), FORMS["ofa"], PHONE, tmp_path / "t").rows()} == {""}


def test_what_nobody_can_have_measured_is_refused(tmp_path: Path):
    first = rows("ofa")[1]
    for changes in ({"latency_ms": 0.0}, {"latency_ms": -1.0}, {"deviation_ms": -0.1}, {"count": 0}):
        with pytest.raises(ConfigError, match="nobody can have measured"):
            table_of_layers([replace(first, **changes)], FORMS["ofa"], PHONE, tmp_path / "t.yaml")
    with pytest.raises(ConfigError, match=r"stands there twice, with .* and 7 ms"):
        table_of_layers([first, replace(first, latency_ms=7.0)], FORMS["ofa"], PHONE, tmp_path / "t.yaml")


def test_a_table_without_such_layers_says_how_to_get_one(tmp_path: Path):
    table = table_of_layers(rows("ofa"), FORMS["ofa"], PHONE, tmp_path / "t.yaml")
    with pytest.raises(ConfigError, match="table build --format proxylessnas --target note10/"):
        layers_of_table(table, PHONE.id, FORMS["proxylessnas"])


def test_layers_too_cheap_to_be_resolved_are_named_and_never_zero(tmp_path: Path):
    table = table_of_layers(rows("ofa"), FORMS["ofa"], PHONE, tmp_path / "t.yaml")
    first, *others = table.all_rows
    below = CostTable([replace(first, latency_ns=-5.0), *others], table.workloads, table.targets)
    own = layers_of_table(below, PHONE.id, FORMS["ofa"])
    assert own.unresolved == (first.label,)
    assert len(own.layers) == len(others)
