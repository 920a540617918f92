"""Provisioning an aarch64 board, which has Python and nothing else, from wheels that this machine finds for it."""

from __future__ import annotations

from pathlib import Path

from profiler.fleet.provisioning import Provisioned, provision
from profiler.fleet.targets import Device


def test_it_is_provisioned_from_wheels_of_its_platform(provisioned: list[Provisioned]) -> None:
    assert [(p.runtime, p.state, p.package, p.via) for p in provisioned] == [
        ("onnxruntime", "installed", "onnxruntime", "host"),
        ("litert", "installed", "ai-edge-litert", "host"),
    ], [p.error for p in provisioned]


def test_provisioning_again_changes_nothing(device: Device, provisioned: list[Provisioned], tmp_path: Path) -> None:
    # with an empty cache of wheels: nothing is to be fetched for it
    again = provision(device, cache=tmp_path / "wheels", say=print)
    assert [(p.state, p.version, p.digest) for p in again] == [("kept", p.version, p.digest) for p in provisioned]
    assert not list(tmp_path.rglob("*.whl"))
