"""Supernets as data: the published ones say what the paper says, and impossible ones are refused one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from profiler.errors import ConfigError
from search.spaces.supernet import (
    bundled_supernets,
    parse_supernet,
    read_supernet,
    supernet_dict,
    supernet_of,
)

PUBLISHED = {"graded": (3, 4, 7, 4, 11), "flat": (4, 4, 4, 4, 4), "mbconv": (2, 3, 5, 2, 8)}


def test_the_published_supernets_are_those_of_the_paper():
    for name, blocks in PUBLISHED.items():
        net = read_supernet(name)
        assert tuple(s.blocks for s in net.stages) == blocks
        assert tuple(s.filters for s in net.stages) == (32, 64, 128, 160, 256)
        assert tuple(s.stride for s in net.stages) == (2, 2, 2, 1, 2)
        assert (net.resolution, net.stem.filters, net.stem.kernel, net.stem.stride) == (224, 32, 7, 2)
        assert (net.head.filters, net.num_classes) == (1280, 1000)
    assert [(b.kernel, b.expansion) for b in read_supernet("graded").branches] == [(5, 2), (5, 2), (7, 2)]
    assert [(b.kernel, b.expansion) for b in read_supernet("mbconv").branches] == [(5, 6)]


def test_the_reduced_supernets_keep_the_blocks_of_the_published_ones():
    for name, blocks in PUBLISHED.items():
        net = read_supernet(f"{name}32")
        assert tuple(s.blocks for s in net.stages) == blocks
        assert (net.resolution, net.stem.stride) == (32, 1)
        assert net.branches == read_supernet(name).branches


@pytest.mark.parametrize("name", bundled_supernets())
def test_every_bundled_file_reads_and_round_trips(name: str, tmp_path: Path):
    net = read_supernet(name)
    assert net.name == name
    assert supernet_of(supernet_dict(net), "here") == net
    file = tmp_path / "copy.yaml"
    file.write_text(yaml.safe_dump(supernet_dict(replace(net, description="a copy"))))
    assert read_supernet(file) == replace(net, description="a copy")


def changed(**parts: Any) -> str:
    return yaml.safe_dump({**supernet_dict(read_supernet("tiny")), "name": "mine", **parts})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"branches": [{"kernel": 4, "expansion": 2}]}, r"branches\.0\.kernel is 4, but kernels are odd"),
        ({"branches": [{"kernel": 1, "expansion": 2}]}, "at least 3"),
        ({"branches": [{"kernel": 3, "expansion": 3}]}, r"branches\.0\.expansion is 3, .*multiples of expansion_step"),
        ({"branches": []}, r"branches: list should have at least 1"),
        ({"branches": [{"kernel": 3, "expansion": 0}]}, "greater than or equal to 1"),
        ({"branches": [{"kernel": 31, "expansion": 20}] * 3}, "branches allow 3,442,951 combinations a block"),
        ({"expansion_step": 0}, "expansion_step: input should be greater"),
        ({"stem": {"filters": 8, "kernel": 4, "stride": 1}}, r"stem\.kernel is 4, but kernels are odd"),
        ({"stem": {"filters": 8, "kernel": 3, "stride": 64}}, r"stem\.stride is 64, but an image has only 32"),
        ({"stages": [{"filters": 8, "blocks": 3, "stride": 1}]}, "every block could be skipped"),
        ({"stages": [{"filters": 8, "blocks": 0, "stride": 2}]}, r"stages\.0\.blocks: input should be greater"),
        ({"stages": [{"filters": 9, "blocks": 1, "stride": 20}]}, r"stages\.0\.stride is 20, .*only 16 x 16 pixels"),
        ({"stages": [{"filters": "wide", "blocks": 1}]}, r"stages\.0\.filters: input should be a valid integer"),
        ({"resolution": 32.0}, "resolution: input should be a valid integer"),
        ({"resolution": True}, "resolution: input should be a valid integer"),
        ({"num_classes": 1}, "num_classes: input should be greater than or equal to 2"),
        ({"name": "../up"}, "name: string should match pattern"),
        ({"depth": 3}, "depth: there is no such key"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(parts: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=f"^the supernet mine.yaml: .*{words}"):
        parse_supernet(changed(**parts), "mine.yaml")


def test_a_missing_key_is_named():
    without = {k: v for k, v in supernet_dict(read_supernet("tiny")).items() if k != "stem"}
    with pytest.raises(ConfigError, match="stem: it is missing"):
        parse_supernet(yaml.safe_dump(without), "mine.yaml")


@pytest.mark.parametrize("text", ["a: [1", "a: 2001-99-99", "[" * 3000, "? [a]\n: 1\n? {b: c}\n: 2"])
def test_what_is_not_yaml_is_one_sentence(text: str):
    with pytest.raises(ConfigError, match="the supernet mine.yaml is not YAML"):
        parse_supernet(text, "mine.yaml")


@pytest.mark.parametrize("text", ["", "3", "- a", "null"])
def test_what_is_no_mapping_says_which_keys_there_are(text: str):
    with pytest.raises(ConfigError, match=r"must be a mapping with the keys name, .*branches"):
        parse_supernet(text, "mine.yaml")


def test_a_name_that_is_no_file_lists_the_bundled_ones(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no supernet 'grated'.*flat, .*graded.*No such file"):
        read_supernet("grated")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="it is not text"):
        read_supernet(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="directory"):
        read_supernet(tmp_path)
    with pytest.raises(ConfigError, match="it is not text"):
        read_supernet("a\0b")


def test_a_file_may_not_pass_for_a_bundled_supernet(tmp_path: Path):
    file = tmp_path / "other.yaml"
    file.write_text(changed(name="tiny", num_classes=7))
    with pytest.raises(ConfigError, match=r"other\.yaml calls itself 'tiny' and differs .* a name of its own"):
        read_supernet(file)
