"""What holds for all runtimes of the agent together; each has a file of its own, and tests/contracts/ the contract."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import profiler.agent.plugins
from profiler.agent import runtimes
from profiler.agent.runtimes import base
from profiler.fleet.plugins import known_names, runtime_spec


def test_host_and_agent_know_the_same_runtimes_and_packages() -> None:
    from profiler.agent.facts import DISTRIBUTIONS

    assert runtimes.names() == sorted(known_names()) == sorted(runtimes.MODELS)
    for name in runtimes.names():
        assert DISTRIBUTIONS[name] == runtime_spec(name).distributions


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "torch"])
def test_host_and_agent_know_the_same_accelerators(name: str) -> None:
    known = {
        "onnxruntime": set(runtimes.onnx.PROVIDERS),
        "litert": {"", *runtimes.litert.LIBRARIES},
        "torch": {"", "cuda"},
    }
    assert set(runtime_spec(name).accelerators) == known[name]


def test_a_plugin_that_did_not_come_along_is_told() -> None:
    with pytest.raises(runtimes.RuntimeMissing, match="abacus cannot be imported: this agent brought no plug-in"):
        runtimes.import_runtime("abacus")


@pytest.mark.parametrize("name", ["os", "..facts", "__init__", ""])
def test_only_a_plugin_that_is_named_is_imported(name: str) -> None:
    with pytest.raises(runtimes.RuntimeMissing, match="brought no plug-in"):
        runtimes.import_runtime(name)


def test_a_plugin_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    module = ModuleType("profiler.agent.plugins.abacus")
    module.import_runtime = lambda: ("the module", "abacus 7")  # type: ignore[attr-defined]
    module.Model = lambda runtime, job: (runtime, job["path"])  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    monkeypatch.setitem(profiler.agent.plugins.DISTRIBUTIONS, "abacus", ())
    assert "abacus" in runtimes.names()
    assert runtimes.import_runtime("abacus") == ("the module", "abacus 7")
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert runtimes.load("abacus", "the module", {"path": str(path)}) == ("the module", str(path))


def test_a_runtime_that_dies_at_import_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("libgomp: cannot allocate memory in static TLS block")

    monkeypatch.setitem(runtimes.IMPORTERS, "torch", broken)
    with pytest.raises(runtimes.RuntimeMissing, match="torch cannot be imported: libgomp"):
        runtimes.import_runtime("torch")


@pytest.mark.parametrize("job", [{}, {"accelerator": ""}, {"accelerator": None}])
def test_no_accelerator_is_the_cpu(job: dict[str, Any]) -> None:
    assert base.accelerator_of(job | {"runtime": "torch"}, ["cuda"]) == ""


def test_an_unknown_accelerator_is_refused_with_those_there_are() -> None:
    with pytest.raises(runtimes.AcceleratorMissing, match=r"torch has no accelerator 'npu' here, only cuda"):
        base.accelerator_of({"runtime": "torch", "accelerator": "npu"}, ["cuda"])


def test_a_copy_is_timed_by_the_median_of_several() -> None:
    calls: list[int] = []
    assert base.copy_us(lambda: calls.append(1)) >= 0
    assert len(calls) == base.COPIES
