"""S3NAS's folders: what names say, and what is refused."""

import json
from pathlib import Path

import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.s3nas import read_s3nas

FILES = {
    "MixConvBlock/r1_k3,5_s22_e2,4_i32_o64_c100_noskip_relu_imgsize112": {"latency": 364425},
    "MBConvBlock/r1_k5_s11_e6_i64_o64_c0_se0.25_hsw_imgsize28": {"total_true_latencies": 90000.5},
    "Conv2D/k7_s22_i3_o32_imgsize224": {"latency": 1000, "total_true_latencies": 5},
    "GlobalAvgPool/i1280_imgsize7": {"latency": 20},
    "Dense/i1280_o1000_imgsize1": {"latency": 30},
}


def folder(tmp_path: Path, files: dict) -> Path:
    for name, content in files.items():
        path = tmp_path / "lut" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path / "lut"


def test_names_say_what_a_block_is(tmp_path: Path):
    mixed, plain, stem, pool, last = read_s3nas(folder(tmp_path, FILES))
    assert (mixed.kernels, mixed.expansions, mixed.stride, mixed.size) == ((3, 5), (2, 4), 2, 112)
    assert (mixed.in_channels, mixed.out_channels, mixed.skip, mixed.activation) == (32, 64, False, "relu")
    assert (plain.kernels, plain.expansions, plain.stride, plain.skip) == ((5,), (6,), 1, True)
    assert (plain.se_ratio, plain.activation) == (0.25, "hsw")
    assert (mixed.latency_ns, plain.latency_ns, stem.latency_ns) == (364425.0, 90000.5, 1000.0)
    assert (stem.kind, stem.kernels, stem.stride, stem.out_channels) == ("Conv2D", (7,), 2, 32)
    assert (pool.in_channels, pool.out_channels, last.out_channels) == (1280, 1280, 1000)


def test_another_figure_can_be_named(tmp_path: Path):
    found = read_s3nas(folder(tmp_path, {"Conv2D/k7_s22_i3_o32_imgsize224": {"latency": 1, "energy": 7}}), "energy")
    assert found[0].latency_ns == 7.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("MBConvBlock/k3_s22_e6_i32_o64_c0_relu", {"latency": 1}, "lacks imgsize"),
        ("MBConvBlock/k3_s21_e6_i32_o64_imgsize8", {"latency": 1}, "strides '21'"),
        ("MBConvBlock/k3,5_s11_e6_i32_o64_imgsize8", {"latency": 1}, "2 kernels and 1 expansions"),
        ("MBConvBlock/k3_s11_e2.5_i32_o64_imgsize8", {"latency": 1}, "whole numbers above zero"),
        ("MBConvBlock/k3_s11_e6_i32_o64_gelu_imgsize8", {"latency": 1}, "'gelu'"),
        ("MBConvBlock/r3_k3_s11_e6_i32_o64_imgsize8", {"latency": 1}, "repeats its block 3 times"),
        ("MBConvBlock/k3_k5_s11_e6_i32_o64_imgsize8", {"latency": 1}, "'k' twice"),
        ("MBConvBlock/k3_s11_e6_i3.5_o64_imgsize8", {"latency": 1}, "no whole number"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", {"cycles": 1}, "under 'latency' or 'total_true_latencies'"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", {"latency": 0}, "above zero"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", {"latency": True}, "above zero"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", "12", "above zero"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", "latency: 12", "not JSON"),
        ("Conv2D/k3_s11_i3_o8_imgsize8", '{"latency": NaN}', "above zero"),
    ],
)
def test_what_is_none_is_refused_by_its_file(name: str, content: object, words: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=words) as caught:
        read_s3nas(folder(tmp_path, {name: content}))
    assert name.rsplit("/", maxsplit=1)[-1] in str(caught.value)


def test_a_folder_that_is_none_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="is no folder"):
        read_s3nas(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds none of S3NAS's folders"):
        read_s3nas(tmp_path)
