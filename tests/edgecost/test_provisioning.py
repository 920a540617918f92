from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgecost.cli.app import app
from profiler.fleet import provisioning
from profiler.fleet.provisioning import Provisioned, Removed

YAML = """\
version: 1
devices:
  - id: rpi5
    host: 192.0.2.11
    user: pi
    targets:
      - {runtime: onnxruntime, precision: fp32}
"""

INSTALLED = Provisioned(
    "onnxruntime", "installed", "onnxruntime", "1.30.0", "a" * 64, 12.5, "host",
    (("onnxruntime 1.31.1", "fp32: crashed (SIGILL)"), ("onnxruntime 1.30.0", "accepted")),
)  # fmt: skip
FAILED = Provisioned("litert", "failed", error="litert cannot be had for rpi5: no wheel.")


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "devices.yaml"
    path.write_text(YAML)
    return path


def asked_for(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def stand_in(device: Any, **options: Any) -> Any:
        calls.append({"id": device.id, **options})
        return answer

    monkeypatch.setattr(provisioning, name, stand_in)
    return calls


def test_provision_shows_what_was_tried(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked_for(monkeypatch, "provision", [INSTALLED])
    answer = CliRunner().invoke(app, ["devices", "provision", "rpi5", "--via", "host", "--force"])
    assert answer.exit_code == 0, answer.output
    for words in ("onnxruntime 1.30.0", "12.5", "SIGILL", "installed"):
        assert words in answer.output
    (call,) = calls
    assert {name: call[name] for name in ("id", "runtimes", "via", "force")} == {
        "id": "rpi5",
        "runtimes": None,
        "via": "host",
        "force": True,
    }
    assert call["cache"] == Path(".edgecost/wheels")


def test_a_runtime_that_failed_is_named_and_the_exit_code_says_so(
    devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = asked_for(monkeypatch, "provision", [INSTALLED, FAILED])
    words = ["devices", "provision", "rpi5", "--runtime", "litert", "--runtime", "onnxruntime", "--json"]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 2
    found = json.loads(answer.stdout)
    assert [(one["runtime"], one["state"]) for one in found] == [("onnxruntime", "installed"), ("litert", "failed")]
    assert FAILED.error in answer.stderr
    assert calls[0]["runtimes"] == ["litert", "onnxruntime"]


def test_deprovision_asks_first(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked_for(monkeypatch, "deprovision", Removed("/home/pi/.cache/edgecost", 1, ("notes.txt",)))
    assert CliRunner().invoke(app, ["devices", "deprovision", "rpi5"], input="n\n").exit_code == 1
    assert not calls
    answer = CliRunner().invoke(app, ["devices", "deprovision", "rpi5"], input="y\n")
    assert answer.exit_code == 0
    assert "notes.txt" in answer.output
    answer = CliRunner().invoke(app, ["devices", "deprovision", "rpi5", "--yes", "--json"])
    assert json.loads(answer.stdout) == {
        "id": "rpi5",
        "folder": "/home/pi/.cache/edgecost",
        "agents": 1,
        "kept": ["notes.txt"],
    }
    assert len(calls) == 2
