"""A supernet as data: which stages, how many blocks, which parallel kernels, how wide; read from YAML.

The files beside this module in supernets/ are the published ones (graded, flat, mbconv: 224 x 224) and reduced ones for
32 x 32 images; a file of one's own is named by its path. Block counts are data, not code: the rule behind the
published counts is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiler.errors import ConfigError
from search.spaces.yaml_files import read_yaml_text, words_of, yaml_mapping

__all__ = [
    "BranchLimits",
    "Head",
    "StageLimits",
    "Stem",
    "Supernet",
    "bundled_supernets",
    "parse_supernet",
    "read_supernet",
    "supernet_dict",
    "supernet_of",
]

Positive = Annotated[int, Field(ge=1, le=1_000_000)]

MAX_COMBINATIONS = 4_096
"""So many combinations of branch choices may a block have: searches list them all."""


@dataclass(frozen=True, slots=True)
class BranchLimits:
    """The largest kernel and expansion of one parallel depthwise branch; kernels go from 3 in steps of 2."""

    kernel: int
    expansion: int


@dataclass(frozen=True, slots=True)
class StageLimits:
    """The most blocks of one stage, its output filters and the stride of its first block."""

    filters: int
    blocks: int
    stride: int


@dataclass(frozen=True, slots=True)
class Stem:
    """The convolution before the first block."""

    filters: int
    kernel: int
    stride: int


@dataclass(frozen=True, slots=True)
class Head:
    """The 1x1 convolution behind the last block, before pooling and classifier."""

    filters: int


@dataclass(frozen=True, slots=True)
class Supernet:
    """A supernet.

    Attributes:
        name: what files and reports call it.
        description: one line for people.
        resolution: height and width of its input in pixels.
        num_classes: size of its classifier, unless the data says otherwise.
        stem, head: the fixed ends.
        branches: the parallel depthwise branches of every block; one branch makes it an MBConv supernet.
        expansion_step: expansions of a branch go from this in steps of this.
        stages: in order.
    """

    name: str
    resolution: int
    num_classes: int
    stem: Stem
    head: Head
    branches: tuple[BranchLimits, ...]
    expansion_step: int
    stages: tuple[StageLimits, ...]
    description: str = ""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Stem(_Strict):
    filters: Positive
    kernel: Positive
    stride: Positive


class _Head(_Strict):
    filters: Positive


class _Branch(_Strict):
    kernel: Positive
    expansion: Positive


class _Stage(_Strict):
    filters: Positive
    blocks: Positive
    stride: Positive = 1


class _File(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")
    description: str = ""
    resolution: Positive
    num_classes: Annotated[int, Field(ge=2)]
    stem: _Stem
    head: _Head
    branches: Annotated[list[_Branch], Field(min_length=1, max_length=6)]
    expansion_step: Positive = 2
    stages: Annotated[list[_Stage], Field(min_length=1, max_length=20)]


def bundled_supernets() -> tuple[str, ...]:
    """Names of the supernets that come with the package."""
    folder = resources.files("search.spaces") / "supernets"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def read_supernet(source: str | Path) -> Supernet:
    """The supernet of a bundled name, or of a YAML file.

    Raises:
        ConfigError: where there is none, or the file describes choices that cannot be.
    """
    if str(source) in bundled_supernets():
        return parse_supernet(_bundled_text(str(source)), str(source))
    try:
        text = read_yaml_text(Path(source))
    except ConfigError as error:
        raise ConfigError(
            f"there is no supernet {str(source)!r}: name one of {', '.join(bundled_supernets())}, or a YAML file "
            f"({error})"
        ) from None
    supernet = parse_supernet(text, str(source))
    if supernet.name in bundled_supernets():
        twin = parse_supernet(_bundled_text(supernet.name), supernet.name)
        if replace(supernet, description=twin.description) != twin:
            raise ConfigError(
                f"the supernet {source} calls itself {supernet.name!r} and differs from the bundled one of that name; "
                "give it a name of its own"
            )
    return supernet


def _bundled_text(name: str) -> str:
    return (resources.files("search.spaces") / "supernets" / f"{name}.yaml").read_text(encoding="utf-8")


def parse_supernet(text: str, where: str) -> Supernet:
    """A supernet from YAML text; `where` names it in errors.

    Raises:
        ConfigError: where the text is no supernet.
    """
    return supernet_of(yaml_mapping(text, f"the supernet {where}", _File.model_fields), where)


def supernet_of(data: Mapping[str, Any], where: str) -> Supernet:
    """A supernet from the mapping that a file holds, or `supernet_dict` wrote; `where` names it in errors.

    Raises:
        ConfigError: where the mapping is no supernet.
    """
    what = f"the supernet {where}"
    try:
        found = _File.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(f"{what}: {words_of(error)}") from None
    supernet = _supernet(found)
    _check(supernet, where)
    return supernet


def _supernet(found: _File) -> Supernet:
    return Supernet(
        found.name,
        found.resolution,
        found.num_classes,
        Stem(found.stem.filters, found.stem.kernel, found.stem.stride),
        Head(found.head.filters),
        tuple(BranchLimits(b.kernel, b.expansion) for b in found.branches),
        found.expansion_step,
        tuple(StageLimits(s.filters, s.blocks, s.stride) for s in found.stages),
        found.description,
    )


def _check(supernet: Supernet, where: str) -> None:
    """Refuse choices that cannot be.

    Raises:
        ConfigError: naming the first.
    """

    def refuse(what: str) -> ConfigError:
        return ConfigError(f"the supernet {where}: {what}")

    if supernet.stem.kernel % 2 == 0:
        raise refuse(f"stem.kernel is {supernet.stem.kernel}, but kernels are odd")
    for place, branch in enumerate(supernet.branches):
        if branch.kernel < 3 or branch.kernel % 2 == 0:
            raise refuse(f"branches.{place}.kernel is {branch.kernel}, but kernels are odd and at least 3")
        if branch.expansion % supernet.expansion_step:
            raise refuse(
                f"branches.{place}.expansion is {branch.expansion}, but expansions are multiples of expansion_step "
                f"({supernet.expansion_step})"
            )
    combinations = prod(1 + (b.kernel - 1) // 2 * (b.expansion // supernet.expansion_step) for b in supernet.branches)
    if combinations > MAX_COMBINATIONS:
        raise refuse(
            f"branches allow {combinations:,} combinations a block, and {MAX_COMBINATIONS:,} are the most that can be "
            "searched; take fewer branches, kernels or expansions"
        )
    if supernet.stem.stride > supernet.resolution:
        raise refuse(f"stem.stride is {supernet.stem.stride}, but an image has only {supernet.resolution} pixels")
    if all(stage.stride == 1 and stage.filters == supernet.stem.filters for stage in supernet.stages):
        raise refuse("every block could be skipped; at least one stage must change the stem's filters or have a stride")
    size = -(-supernet.resolution // supernet.stem.stride)
    for place, stage in enumerate(supernet.stages):
        if stage.stride > 1 and size < stage.stride:
            raise refuse(
                f"stages.{place}.stride is {stage.stride}, but its input has only {size} x {size} pixels; raise "
                "resolution or lower a stride"
            )
        size = -(-size // stage.stride)


def supernet_dict(supernet: Supernet) -> dict[str, Any]:
    """The mapping that a YAML file of the supernet holds."""
    return {
        "name": supernet.name,
        "description": supernet.description,
        "resolution": supernet.resolution,
        "num_classes": supernet.num_classes,
        "stem": {"filters": supernet.stem.filters, "kernel": supernet.stem.kernel, "stride": supernet.stem.stride},
        "head": {"filters": supernet.head.filters},
        "branches": [{"kernel": b.kernel, "expansion": b.expansion} for b in supernet.branches],
        "expansion_step": supernet.expansion_step,
        "stages": [{"filters": s.filters, "blocks": s.blocks, "stride": s.stride} for s in supernet.stages],
    }
