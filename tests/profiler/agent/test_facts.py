from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import facts
from profiler.fleet.messages import Facts


def test_facts_are_what_the_host_expects_of_them() -> None:
    found = Facts.model_validate_json(json.dumps(facts.facts()))
    assert found.runtimes["onnxruntime"] == metadata.version("onnxruntime")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.executable == sys.executable
    assert found.logical_cores >= 1
    assert found.load_1min is not None


def test_every_fact_that_is_sent_is_kept_by_the_host() -> None:
    assert set(facts.facts()) == set(Facts.model_fields)


def test_the_machine_id_is_stable_and_tells_nothing() -> None:
    first = facts.machine_id()
    assert first == facts.machine_id()
    assert len(first) == 16
    raw = Path("/etc/machine-id")
    assert not raw.exists() or first not in raw.read_text()


def test_a_machine_without_an_id_has_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "text", lambda path: "uninitialized" if path == "/etc/machine-id" else None)
    assert len(facts.machine_id()) == 16


def test_versions_are_found_without_importlib_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.7."""
    (tmp_path / "ai_edge_litert-1.2.3.dist-info").mkdir()
    (tmp_path / "onnxruntime_gpu-1.14.1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "importlib.metadata", None)
    monkeypatch.delattr(importlib, "metadata")
    assert facts.runtime_versions() == {
        "ai-edge-litert": "1.2.3", "litert": "1.2.3", "onnxruntime-gpu": "1.14.1", "onnxruntime": "1.14.1"
    }  # fmt: skip


def test_the_preferred_of_two_packages_gives_the_runtimes_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"ai-edge-litert": "2.0", "tflite-runtime": "1.0"}
    monkeypatch.setattr(facts, "_version", lambda name, site: versions.get(name))
    assert facts.runtime_versions()["litert"] == "2.0"


def test_facts_can_be_asked_for_on_the_command_line(pyz: Path) -> None:
    output = subprocess.run([sys.executable, str(pyz), "facts"], capture_output=True, check=True).stdout
    assert Facts.model_validate_json(output).machine_id == facts.machine_id()


def provision(workdir: Path, **versions: str) -> Path:
    """An environment of litert, of which pip knows these versions."""
    site = workdir / "env" / "litert" / "d1"
    for name, version in versions.items():
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (workdir / "env" / "current.json").write_text(
        json.dumps({"litert": {"digest": "d1", "site": str(site), "distributions": {"ai-edge-litert": "9.8.7"}}})
    )
    return site


@pytest.mark.parametrize("old_python", [False, True])
def test_a_provisioned_runtime_has_the_version_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old_python: bool
) -> None:
    provision(tmp_path, ai_edge_litert="9.8.7", numpy="1.0.0")
    if old_python:
        monkeypatch.setitem(sys.modules, "importlib.metadata", None)
        monkeypatch.delattr(importlib, "metadata")
    found = Facts.model_validate(facts.facts(str(tmp_path)))
    assert found.runtimes["litert"] == found.runtimes["ai-edge-litert"] == "9.8.7"
    if not old_python:
        assert found.runtimes["numpy"] == metadata.version("numpy")
        assert found.runtimes["onnxruntime"] == metadata.version("onnxruntime")
    environment = found.environments["litert"]
    assert (environment.digest, environment.distributions) == ("d1", {"ai-edge-litert": "9.8.7"})
    assert facts.facts()["environments"] == {}


def test_environments_that_cannot_be_read_do_not_hide_the_other_facts(tmp_path: Path) -> None:
    provision(tmp_path, numpy="1.0.0")
    (tmp_path / "env" / "current.json").write_text("{")
    assert facts.facts(str(tmp_path))["environments"] == {}


def test_a_daemon_tells_of_its_boards_environments(attach: Any, workdir: Path) -> None:
    agent = attach()
    agent.hello()
    provision(workdir, ai_edge_litert="9.8.7")
    assert agent.ask({"op": "facts"}).facts.runtimes["litert"] == "9.8.7"


def test_the_markers_are_those_of_package_metadata() -> None:
    from packaging.markers import default_environment

    known = default_environment()
    found = facts.markers()
    assert set(found) == {
        "python_version", "python_full_version", "implementation_name", "platform_machine", "platform_system",
        "sys_platform", "os_name", "platform_python_implementation",
    }  # fmt: skip
    assert {name: known[name] for name in found} == found  # type: ignore[literal-required]
