"""Networks as YAML files: read, checked, written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiler.errors import ConfigError
from search.spaces.blocks import Activation, Block, Network, Stage
from search.spaces.superblocks import parse_kernels
from search.spaces.supernet import Head, Positive, Stem
from search.spaces.yaml_files import read_yaml_text, words_of, yaml_mapping

__all__ = ["network_of_text", "parse_network", "read_network", "write_network"]


_TEXT = re.compile(r"(.+) \((relu|hswish), ([0-9]{1,6})\)")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _StemEntry(_Strict):
    filters: Positive
    kernel: Positive
    stride: Positive


class _StageEntry(_Strict):
    filters: Positive
    stride: Positive
    blocks: Annotated[list[str], Field(max_length=200)]


class _HeadEntry(_Strict):
    filters: Positive


class _NetworkFile(_Strict):
    supernet: Annotated[str, Field(max_length=60)]
    resolution: Positive
    num_classes: Positive
    activation: Activation = "relu"
    stem: _StemEntry
    stages: Annotated[list[_StageEntry], Field(min_length=1, max_length=20)]
    head: _HeadEntry


def read_network(path: Path) -> Network:
    """Read a network's YAML file.

    Raises:
        ConfigError: where there is none, or it is not such a file.
    """
    try:
        text = read_yaml_text(path)
    except ConfigError as error:
        raise ConfigError(f"cannot read the network {path}: {error}") from None
    return parse_network(yaml_mapping(text, f"the network {path}", _NetworkFile.model_fields), str(path))


def parse_network(data: Any, where: str) -> Network:
    """A network from the mapping that a file holds; `where` names it in errors.

    Raises:
        ConfigError: where it is no network.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"the network {where} must be a mapping with the keys {', '.join(_NetworkFile.model_fields)}")
    try:
        found = _NetworkFile.model_validate(dict(data))
        stages = tuple(
            Stage(s.filters, s.stride, tuple(block for t in s.blocks if (block := _block(t)).kernels))
            for s in found.stages
        )
    except ValidationError as error:
        raise ConfigError(f"the network {where}: {words_of(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"the network {where}: {error}") from None
    network = Network(
        found.supernet,
        found.resolution,
        found.num_classes,
        Stem(found.stem.filters, found.stem.kernel, found.stem.stride),
        stages,
        Head(found.head.filters),
        found.activation,
    )
    _check(network, where)
    return network


def network_of_text(text: str, like: Network) -> Network:
    """The network whose `Network.text` this is, everything that the text does not say taken from another one.

    Raises:
        ConfigError: where the text is of another form, or of another number of stages.
    """
    match = _TEXT.fullmatch(text)
    parts = match[1].split(" | ") if match else []
    if match is None or len(parts) != len(like.stages):
        raise ConfigError(f"{text[:200]!r} is no network of {len(like.stages)} stages")
    stages = tuple(
        replace(stage, blocks=tuple(_block(t) for t in part.split("; ")) if part != "-" else ())
        for stage, part in zip(like.stages, parts, strict=True)
    )
    activation: Activation = "hswish" if match[2] == "hswish" else "relu"
    return replace(like, stages=stages, activation=activation, resolution=int(match[3]))


def write_network(network: Network, path: Path) -> None:
    """Write a network's YAML file.

    Raises:
        StorageError: where it cannot be written.
    """
    import yaml

    from search.files import write_text

    write_text(path, yaml.safe_dump(network.to_dict(), sort_keys=False, width=120, default_flow_style=None))


def _block(text: str) -> Block:
    block = Block(parse_kernels(text.removesuffix(" se")), text.endswith(" se"))
    if block.se and not block.kernels:
        raise ConfigError("'skip se' is no block: what is skipped has no squeeze-and-excitation")
    return block


def _check(network: Network, where: str) -> None:
    if network.stem.kernel % 2 == 0:
        raise ConfigError(f"the network {where}: stem.kernel is {network.stem.kernel}, but kernels are odd")
    channels = network.stem.filters
    for place, stage in enumerate(network.stages):
        if not stage.blocks and (stage.stride != 1 or stage.filters != channels):
            raise ConfigError(
                f"the network {where}: stage {place + 1} has no block, but only a block can change {channels} channels "
                f"into {stage.filters} or have stride {stage.stride}"
            )
        channels = stage.filters
    if not any(stage.blocks for stage in network.stages):
        raise ConfigError(f"the network {where}: it has no block at all")
