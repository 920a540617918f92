"""`edgecost describe`: networks, supernets and ONNX files, as text and JSON, and what is none of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from search.spaces.network import network_workload, read_network, write_network

NET_M = Path(__file__).parents[1] / "data" / "s3nas_m.yaml"


@pytest.fixture
def run(run):
    """Runs `edgecost describe ...` in an empty folder; returns (exit code, stdout, stderr)."""
    return lambda *arguments: run("describe", *arguments)


def test_net_m_comes_out_as_published(run) -> None:
    code, out, _ = run(str(NET_M))
    assert code == 0
    assert "12.82 M (12.70 M without scale and shift of batch norms)" in out
    assert "1.287 G" in out
    assert "5.11 k5 e6" in out
    assert "graded, 29 blocks, 224 x 224 pixels, 1000 classes, relu" in out


def test_the_json_of_a_network_adds_up(run) -> None:
    code, out, _ = run(str(NET_M), "--json")
    answer = json.loads(out)
    work = network_workload(read_network(NET_M))
    assert code == 0
    assert (answer["kind"], answer["params"], answer["macs"]) == ("network", 12_817_864, work.macs)
    assert answer["params_without_bn"] == 12_702_920
    assert (answer["key"], answer["peak_activation_bytes"]) == (work.key, work.peak_activation_bytes)
    assert [p["name"] for p in answer["parts"]][:3] == ["stem", "1.1 k3,5 e2,2", "1.2 k3 e6"]
    for column in ("params", "macs"):
        assert sum(p[column] for p in answer["parts"]) == answer[column]
        assert all(sum(d[column] for d in p["layers"]) == p[column] for p in answer["parts"])
    assert sum(len(p["layers"]) for p in answer["parts"]) == len(work.compute_ops)


def test_the_share_of_squeeze_and_excitation_is_told(run) -> None:
    network = read_network(NET_M)
    stages = tuple(replace(s, blocks=tuple(replace(b, se=True) for b in s.blocks)) for s in network.stages)
    write_network(replace(network, stages=stages), Path("with.yaml"))
    _, out, _ = run("with.yaml", "--json")
    answer = json.loads(out)
    assert answer["params"] - answer["params_se"] == 12_817_864
    assert round(answer["params"] / 1e6, 2) == 15.45
    _, out, _ = run("with.yaml")
    assert "; 2.630 M in squeeze-and-excitation)" in out


def test_layers_of_a_network_are_listed_when_asked(run) -> None:
    assert "groups 64" not in run(str(NET_M))[1]
    assert "conv2d 5x5 /2 groups 64" in run(str(NET_M), "--layers")[1]


def test_a_supernet_tells_its_choices(run) -> None:
    code, out, _ = run("graded", "--json")
    answer = json.loads(out)
    assert (code, answer["kind"], answer["blocks"]) == (0, "supernet", 29)
    assert round(answer["architectures_log10"], 1) == 34.8
    assert answer["stages"][2]["choices"] == [15, 16, 16, 16, 16, 16, 16]
    assert answer["stages"][2]["combinations"] == [27, 36, 36, 36, 36, 36, 36]
    assert answer["minimal"]["params"] < answer["maximal"]["params"]
    text = run("tiny")[1]
    assert "10^6.0 architectures; 77 distinct blocks, stem and head among them" in text
    assert "15, then 16" in text


def test_a_supernet_of_ones_own_file(run, tmp_path: Path) -> None:
    from search.spaces import supernet

    source = Path(supernet.__file__).parent / "supernets" / "tiny.yaml"
    (tmp_path / "mine.yaml").write_text(source.read_text().replace("name: tiny", "name: mine"))
    assert json.loads(run("mine.yaml", "--json")[1])["name"] == "mine"


def model(path: Path):
    b = WorkloadBuilder("net")
    x = b.relu(b.conv2d(b.input((1, 3, 16, 16)), 8, kernel=3, stride=2, bias=True))
    work = b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))
    path.write_bytes(build_onnx(work))
    return work


def test_an_onnx_model(run, tmp_path: Path) -> None:
    work = model(tmp_path / "net.onnx")
    code, out, _ = run("net.onnx", "--json")
    answer = json.loads(out)
    assert (code, answer["kind"], answer["complete"], answer["resolution"]) == (0, "onnx", True, 16)
    assert (answer["params"], answer["macs"], answer["key"]) == (work.params, work.macs, work.key)
    assert "conv2d 3x3 /2" in run("net.onnx")[1]


def test_unknown_operators_make_a_lower_bound(run, tmp_path: Path) -> None:
    import onnx

    work = model(tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx")
    proto.graph.node.append(onnx.helper.make_node("Sin", [proto.graph.output[0].name], ["odd"]))
    proto.graph.output[0].name = "odd"
    onnx.save(proto, tmp_path / "odd.onnx")
    code, out, err = run("odd.onnx", "--json")
    answer = json.loads(out)
    assert code == 2
    assert not answer["complete"]
    assert [u["op_type"] for u in answer["unsupported"]] == ["Sin"]
    assert answer["params"] == work.params
    assert "holds operators that are not known: Sin; all figures are lower bounds" in err
    _, out, _ = run("odd.onnx")
    assert "at least" in out
    assert "Not known, and not counted" in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.yaml", None, "there is no file none.yaml; name a network's or supernet's YAML file"),
        ("graaded", None, "one of the supernets fbnet32"),
        ("text.md", b"hello", "text.md: not an ONNX model"),
        ("noise.onnx", b"\x08\x07\xff\xff", "not an ONNX model"),
        ("other.yaml", b"devices: []", "other.yaml is neither a network nor a supernet: it has no stages"),
        ("list.yaml", b"- 1", "list.yaml must be a mapping with the keys"),
        ("bad.yaml", b"a: [", "bad.yaml is not YAML"),
        ("noise.yaml", b"\xff\xfe", "noise.yaml cannot be read: it is not text"),
        ("net.yaml", b"stages: []\nsupernet: x", "the network net.yaml: resolution: it is missing"),
        ("super.yaml", b"stages: []\nbranches: []", "the supernet super.yaml: name: it is missing"),
    ],
)
def test_bad_files_are_one_sentence(run, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run(name)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("edgecost: ")
    assert words in err


def test_a_broken_block_names_its_place(run, tmp_path: Path) -> None:
    shutil.copy(NET_M, tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text(NET_M.read_text().replace("k3 e4", "k3 e"))
    code, _, err = run("m.yaml")
    assert code == 2
    assert "the network m.yaml: 'k3 e' is no block" in err
