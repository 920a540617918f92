"""The files of S3NAS's stages: each has an identity, and what is there with the same one is not made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from profiler.errors import ConfigError
from profiler.workloads.identity import digest

if TYPE_CHECKING:
    from search.spaces.network import Network

__all__ = ["SCHEMA", "done", "file_of", "folder_name", "identity_of", "network_facts", "read_stage", "write_stage"]

SCHEMA = 1

FILES = {"search": "search.json", "scale": "scaling.json", "postprocess": "postprocess.json", "final": "final.json"}
"""The file of every stage; it is written last, after all else that the stage leaves."""

KIND = "s3nas"


def file_of(stage: str, folder: Path) -> Path:
    """The file of a stage in a run's folder."""
    return folder / FILES[stage]


def identity_of(stage: str, *parts: Any) -> str:
    """32 hex digits that stand for everything that a stage's answer depends on."""
    return digest(SCHEMA, stage, parts)[:32]


def done(stage: str, folder: Path, identity: str) -> dict[str, Any] | None:
    """A stage's answer, where its file is there, can be read and has this identity; anything else is made anew."""
    try:
        found = json.loads(file_of(stage, folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return dict(found) if isinstance(found, dict) and found.get("identity") == identity else None


def write_stage(stage: str, folder: Path, identity: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Write a stage's answer with its identity; returns what was written.

    Raises:
        StorageError: where it cannot be written.
    """
    path = file_of(stage, folder)
    whole = {"schema": SCHEMA, "kind": KIND, "stage": stage, "identity": identity, "file": str(path), **answer}
    write_json(path, whole)
    return whole


def read_stage(path: Path) -> dict[str, Any]:
    """What a stage wrote.

    Raises:
        ConfigError: where there is no such file, or another one.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; name a file that a stage of S3NAS wrote") from None
    if not isinstance(data, dict) or data.get("kind") != KIND or data.get("stage") not in FILES:
        raise ConfigError(f"{path} was written by no stage of S3NAS")
    if not isinstance(data.get("schema"), int) or data["schema"] > SCHEMA:
        raise ConfigError(f"{path} is of a newer version (schema {data.get('schema')}): update edgecost")
    return data


def folder_name(supernet: str, targets: tuple[str, ...], budgets: tuple[float, ...], unit: str, seed: int) -> str:
    """Such as "tiny-rpi5-onnxruntime-fp32-t1-2.5ms-s0"."""
    named = "+".join(target.replace("/", "-") for target in targets)
    return f"{supernet}-{named}-{'+'.join(f'{b:g}' for b in budgets)}{unit}-s{seed}"


def network_facts(network: Network) -> dict[str, Any]:
    """What a result row says of a network."""
    from search.spaces.network import network_workload

    work = network_workload(network)
    return {
        "label": network.text,
        "params": work.params,
        "macs": work.macs,
        "resolution": network.resolution,
        "key": work.key,
        "network": network.to_dict(),
    }
