"""Networks as data: the published net M, files and what is refused of them, and what their Workloads compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.weights import seeded_weights
from search.spaces.network import (
    BN_EPS,
    Block,
    Network,
    Stage,
    assemble,
    block_workload,
    network_of_text,
    network_workload,
    parse_network,
    parts_of,
    places_of,
    read_network,
    without_se,
    write_network,
)
from search.spaces.supernet import Head, Stem

NET_M = Path(__file__).parents[2] / "data" / "s3nas_m.yaml"


def with_se(network: Network) -> Network:
    blocks = [tuple(replace(b, se=True) for b in s.blocks) for s in network.stages]
    return replace(network, stages=tuple(replace(s, blocks=b) for s, b in zip(network.stages, blocks, strict=True)))


SMALL = Network(
    "made-up",
    16,
    5,
    Stem(4, 3, 1),
    (
        Stage(4, 1, (Block(((3, 2),)), Block(((3, 2), (5, 4)), se=True))),
        Stage(6, 2, (Block(((3, 2), (5, 2), (7, 2))), Block(((5, 4),), se=True))),
    ),
    Head(12),
    "hswish",
)


def batch_norm_parameters(network: Network) -> int:
    work = network_workload(network)
    return sum(work.op_params(i) for i in work.compute_ops if work.ops[i].kind == "batch_norm")


# -------------------------------------------------------------------- the published network


def test_net_m_has_the_published_parameters_and_macs():
    network = read_network(NET_M)
    work = network_workload(network)
    assert round(work.params / 1e6, 2) == 12.82
    assert round((work.params - batch_norm_parameters(network)) / 1e6, 2) == 12.70
    assert round(work.macs / 1e9, 3) == 1.287
    excited = network_workload(with_se(network)).params
    assert round(excited / 1e6, 2) == 15.45
    assert round((excited - work.params) / 1e6, 2) == 2.63


def test_net_m_is_a_network_of_the_graded_supernet_by_its_counts():
    assert [len(s.blocks) for s in read_network(NET_M).stages] == [3, 4, 7, 4, 11]


def test_the_parameters_of_a_block_by_hand():
    work = block_workload(8, 8, 10, 1, ((3, 4), (5, 2)), se=True)
    wide, narrow = 8 * 6, 2
    expand, project, depthwise = 8 * wide, wide * 8, 32 * 9 + 16 * 25
    norms = 2 * (wide + wide + 8)
    excite = wide * narrow + narrow + narrow * wide + wide
    assert work.params == expand + project + depthwise + norms + excite
    assert work.macs == 100 * (expand + project + depthwise) + 2 * wide * narrow


# -------------------------------------------------------------------- parts and places


def test_the_parts_hold_every_operator_once():
    for network in (SMALL, read_network(NET_M)):
        work, parts = network_workload(network), parts_of(network)
        assert sum(p.params for p in parts) == work.params
        assert sum(p.macs for p in parts) == work.macs
        assert sum(len(p.compute_ops) for p in parts) == len(work.compute_ops)
        assert len(parts) == len(places_of(network)) + 2
        ends = [p.shape(p.outputs[0]) for p in parts]
        starts = [p.shapes[p.inputs[0]][0] for p in parts]
        assert starts[1:] == ends[:-1]


def test_blocks_of_a_network_are_the_blocks_alone():
    work, places = assemble(SMALL)
    for (first, past), place in zip(places.blocks, places_of(SMALL), strict=True):
        assert work.subgraph(range(first, past)).key == place.workload.key


def test_places_point_at_what_they_say():
    work, places = assemble(SMALL)
    kinds = [op.kind for op in work.ops]
    blocks = [b for s in SMALL.stages for b in s.blocks]
    for block, convs, gate, addition, output, (first, past) in zip(
        blocks, places.depthwise, places.gates, places.additions, places.outputs, places.blocks, strict=True
    ):
        assert [work.ops[c].int("groups") for c in convs] == [work.shapes[c][0][1] for c in convs]
        assert [work.param_shapes(c)["weight"][-1] for c in convs] == [k for k, _ in block.kernels]
        assert (gate is not None) == block.se
        assert gate is None or kinds[gate] == "sigmoid"
        assert addition is None or (kinds[addition] == "add" and output == (addition, 0))
        assert first <= min(convs) < past == output[0] + 1
    assert [a is not None for a in places.additions] == [True, True, False, True]
    assert kinds[places.features[0]] == "hswish"
    assert kinds[places.classifier] == "linear"


def test_activation_is_everywhere_but_inside_the_excitation():
    kinds = [op.kind for op in network_workload(SMALL).ops]
    assert kinds.count("relu") == kinds.count("sigmoid") == 2
    assert "hswish" not in [op.kind for op in network_workload(replace(without_se(SMALL), activation="relu")).ops]


def test_sizes_round_up_as_convolutions_do():
    odd = replace(SMALL, resolution=15, stem=Stem(4, 3, 2))
    work, places = assemble(odd)
    assert [p.size for p in places_of(odd)] == [8, 8, 8, 4]
    assert [work.shape(o)[2] for o in places.outputs] == [8, 8, 4, 4]


def test_a_skipped_block_is_no_workload():
    with pytest.raises(ConfigError, match="nothing to measure"):
        block_workload(8, 8, 8, 1, ())


def test_norm_and_activation_before_the_concatenation_are_the_same_as_behind_it():
    """The depthwise part written as the paper draws it: BN and activation once, behind the concatenation."""
    import torch

    from profiler.workloads.builders.torch import build_module

    ours = block_workload(4, 4, 9, 1, ((3, 2), (5, 4), (7, 2)), activation="hswish")
    b = WorkloadBuilder("behind")
    x = b.input((1, 4, 9, 9))
    wide = b.hswish(b.batch_norm(b.conv2d(x, 32), eps=BN_EPS))
    parts = b.split(wide, (8, 16, 8))
    convs = [b.conv2d(p, w, k, groups=w) for p, w, k in zip(parts, (8, 16, 8), (3, 5, 7), strict=True)]
    joint = b.hswish(b.batch_norm(b.concat(*convs), eps=BN_EPS))
    theirs = b.build(b.add(b.batch_norm(b.conv2d(joint, 4), eps=BN_EPS), x))

    split = seeded_weights(ours)
    rng = np.random.default_rng(1)
    for weights in split.values():
        for name in weights:
            values = rng.normal(1.0, 0.3, weights[name].shape).astype(np.float32)
            weights[name] = np.abs(values) if name == "running_var" else values / 3
    norms = [i for i in ours.compute_ops if ours.ops[i].kind == "batch_norm"]
    merged = {name: np.concatenate([split[i][name] for i in norms[1:4]]) for name in split[norms[0]]}
    mine = [split[i] for i in sorted(split) if i not in norms[1:4]]
    places = [i for i in theirs.compute_ops if theirs.param_shapes(i)]
    joint_place = next(i for i in places if theirs.ops[i].kind == "batch_norm" and theirs.op_params(i) == 64 and i > 6)
    laid = dict(zip([i for i in places if i != joint_place], mine, strict=True)) | {joint_place: merged}
    images = torch.from_numpy(rng.normal(size=(3, 4, 9, 9)).astype(np.float32))
    with torch.no_grad():
        for train in (False, True):
            one, other = build_module(ours, split).train(train), build_module(theirs, laid).train(train)
            assert torch.allclose(one(images), other(images), atol=1e-4, rtol=1e-4)


# -------------------------------------------------------------------- files


@pytest.mark.parametrize("network", [SMALL, replace(SMALL, stages=(Stage(4, 1, ()), SMALL.stages[1]))])
def test_a_network_survives_its_file(network: Network, tmp_path: Path):
    path = tmp_path / "net.yaml"
    write_network(network, path)
    assert read_network(path) == network
    assert network_workload(read_network(path)).key == network_workload(network).key


def test_the_file_is_readable(tmp_path: Path):
    write_network(SMALL, tmp_path / "net.yaml")
    assert '"k3,5 e2,4 se"' in (tmp_path / "net.yaml").read_text().replace("'", '"')


def test_skipped_blocks_are_left_out():
    data = SMALL.to_dict()
    data["stages"][0]["blocks"] = ["skip", "k3 e2", "skip"]
    assert parse_network(data, "net").stages[0].blocks == (Block(((3, 2),)),)


def first_stage(**parts: Any) -> dict[str, Any]:
    stages = SMALL.to_dict()["stages"]
    return {"stages": [{**stages[0], **parts}, stages[1]]}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (first_stage(blocks=["k3 e2", "k4 e2"]), "'k4 e2' is no block"),
        (first_stage(blocks=["k3 e2 SE"]), "'k3 e2 SE' is no block"),
        (first_stage(blocks=["skip se"]), "'skip se' is no block"),
        (first_stage(blocks=[3]), r"stages\.0\.blocks\.0: input should be a valid string"),
        (first_stage(blocks="k3 e2"), r"stages\.0\.blocks: input should be a valid list"),
        (first_stage(filters=5, blocks=[]), "stage 1 has no block, but only a block can change 4 channels into 5"),
        (first_stage(stride=2, blocks=["skip"]), "stage 1 has no block, .* have stride 2"),
        (first_stage(stride=0), r"stages\.0\.stride: input should be greater"),
        ({"stages": [{"filters": 4, "stride": 1, "blocks": []}]}, "it has no block at all"),
        ({"stages": []}, "stages: list should have at least 1 item"),
        ({"stem": {"filters": 4, "kernel": 2, "stride": 1}}, r"stem\.kernel is 2, but kernels are odd"),
        ({"activation": "swish"}, "activation: input should be 'relu' or 'hswish'"),
        ({"resolution": 0}, "resolution: input should be greater"),
        ({"width": 1}, "width: there is no such key"),
        ({"head": {}}, r"head\.filters: it is missing"),
    ],
)
def test_what_is_no_network_is_refused_with_its_place(parts: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=f"^the network net.yaml: .*{words}"):
        parse_network({**SMALL.to_dict(), **parts}, "net.yaml")


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read the network .*No such file"):
        read_network(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("stages: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_network(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must be a mapping with the keys supernet, .*head"):
        read_network(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="must be a mapping"):
        parse_network(3, "net.yaml")


@pytest.mark.parametrize("network", [SMALL, replace(SMALL, stages=(Stage(4, 1, ()), SMALL.stages[1]), resolution=24)])
def test_a_text_leads_back_to_the_network_that_it_is_of(network: Network):
    like = replace(without_se(SMALL), activation="relu", resolution=8)
    assert network_of_text(network.text, like) == network


@pytest.mark.parametrize("text", ["", "k3 e2 (relu, 32)", "k3 e2 | k4 e2 (relu, 32)", "k3 e2 | k3 e2 (swish, 32)"])
def test_other_texts_are_no_networks(text: str):
    with pytest.raises(ConfigError):
        network_of_text(text, SMALL)
