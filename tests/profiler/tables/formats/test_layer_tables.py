"""Once-for-all's and ProxylessNAS's tables: what their keys mean, and what they refuse."""

from pathlib import Path

import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.layerkeys import read_pairs
from profiler.tables.formats.ofa import is_ofa, read_ofa
from profiler.tables.formats.proxylessnas import read_proxylessnas

PROXYLESSNAS = """\
Conv-input:224x224x3-output:112x112x32: {count: 150, mean: 12.5, var: 0.25}
expanded_conv-input:7x7x192-output:7x7x320-expand:6-kernel:5-stride:1-idskip:0: {count: 154, mean: 5.26, var: 0.19}
Logits-input:7x7x1280-output:1000: {count: 10, mean: 0.5, var: 0.01}
"""
OFA = """\
expanded_conv-input:40x40x32-output:20x20x48-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:0:
  {count: 40, mean: 1.5, std: 0.02}
Conv_2-input:1x1x1152-output:1x1x1536: {mean: 0.2}
"""


def written(tmp_path: Path, text: str, name: str = "table.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_proxylessnas_has_ratios_and_variances(tmp_path: Path):
    first, block, last = read_proxylessnas(written(tmp_path, PROXYLESSNAS))
    assert (first.latency_ms, first.deviation_ms, first.count) == (12.5, 0.5, 150)
    assert first.shape.input == (224, 224, 3)
    assert block.shape.middle == 6 * 192
    assert (block.shape.kernel, block.shape.stride, block.shape.skip) == (5, 1, False)
    assert block.shape.macs == 49 * (192 * 1152 + 25 * 1152 + 1152 * 320)
    assert (last.shape.output, last.shape.macs) == ((1000,), 1280 * 1000)


def test_ofa_has_channels_and_deviations(tmp_path: Path):
    block, mix = read_ofa(written(tmp_path, OFA))
    assert (block.latency_ms, block.deviation_ms, block.count) == (1.5, 0.02, 40)
    assert block.shape.middle == 96
    assert (block.shape.se, block.shape.hs) == (True, False)
    assert block.shape.macs == 1600 * 32 * 96 + 400 * 96 * (25 + 48)
    assert mix.count is None
    assert mix.deviation_ms != mix.deviation_ms


def test_the_two_are_told_apart(tmp_path: Path):
    assert is_ofa(read_pairs(written(tmp_path, OFA)))
    assert not is_ofa(read_pairs(written(tmp_path, PROXYLESSNAS)))
    with pytest.raises(ConfigError, match="once-for-all"):
        read_proxylessnas(written(tmp_path, OFA))


def test_json_holds_the_same(tmp_path: Path):
    path = written(tmp_path, '{"Conv_2-input:1x1x8-output:1x1x16": {"mean": 0.2, "std": 0.1}}', "t.json")
    assert read_ofa(path)[0].latency_ms == 0.2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "not a latency table of layers"),
        ("{", "cannot be read"),
        ("Conv: {mean: 1}", "not of the form"),
        ("Conv-input:0x2x3-output:1x1x1: {mean: 1}", "no shape"),
        ("Conv-input:2x2x3-output:1x1x1-depth:3: {mean: 1}", "field 'depth'"),
        ("Conv-input:2x2x3-output:1x1x1: {count: 1}", "no 'mean'"),
        ("Conv-input:2x2x3-output:1x1x1: {mean: fast}", "no finite number"),
        ("Conv-input:2x2x3-output:1x1x1: {mean: .nan}", "no finite number"),
        ("expanded_conv-input:2x2x3-output:1x1x1-kernel:3: {mean: 1}", "without expand"),
        ("!!python/object/apply:os.system [ls]", "not a latency table of layers"),
        ("Conv-input:2x2x3-output:1x1x1: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("a: &a {b: *a}", "cannot be read"),
    ],
)
def test_what_is_no_such_table_is_refused_in_a_sentence(tmp_path: Path, text: str, words: str):
    with pytest.raises(ConfigError, match=words) as caught:
        read_proxylessnas(written(tmp_path, text))
    assert "table.yaml" in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no"):
        read_ofa(tmp_path / "none.yaml")
