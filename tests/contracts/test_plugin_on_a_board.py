"""The plug-in's whole way: lowered, sent inside the agent, run by a worker of its own, and measured on a board."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet import plugins
from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.local import LocalTransport
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact, ArtefactCache
from tests.contracts.runtime import job_of, small_workload
from tests.plugins.numpy_runtime import SPEC

QUICK = MeasureConfig(
    min_batch_s=0.0005, warmup_runs=3, warmup_s=0.0, min_batches=5, target_half_width=0.5, cap_s=0.2, job_timeout_s=60.0
)

PLAIN = Target("here", "abacus", "fp32")
INT8 = Target("here", "abacus", "int8")
STRICT = Target("here", "abacus", "fp32", accelerator="beads")
LENIENT = Target("here", "abacus", "fp32", accelerator="beads", allow_fallback=True)


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with plugins.using(SPEC):
        yield


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    cache = ArtefactCache(tmp_path_factory.mktemp("artefacts"))
    return {precision: cache.get(small_workload(), "abacus", precision) for precision in SPEC.precisions}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A worker out of an agent that brought the plug-in along."""
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent(plugins.agent_plugins(["abacus", "onnxruntime"]))[0])
    command = [sys.executable, str(path), "worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"event": "ready"}
        yield process
        assert process.stdin is not None
        process.stdin.close()


def result(worker: subprocess.Popen[str], job: dict[str, Any]) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(job | {"config": QUICK.to_dict()}) + "\n")
    worker.stdin.flush()
    while True:
        message: dict[str, Any] = json.loads(worker.stdout.readline())
        if message["event"] == "result":
            return message


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_worker_measures_it(worker: Any, artefacts: dict[str, Artefact], precision: str) -> None:
    reply = result(worker, job_of(artefacts[precision]))
    assert (reply["status"], reply["error"]) == ("ok", "")
    assert reply["output_error"] < 1e-5
    assert len(reply["samples_ns"]) >= 5
    assert reply["env"]["runtime"].startswith("numpy ")
    assert reply["env"]["interface"] == "interpreted"


def test_a_worker_still_knows_the_built_in_ones(worker: Any, tmp_path: Path) -> None:
    artefact = ArtefactCache(tmp_path).get(small_workload(), "onnxruntime", "fp32")
    assert result(worker, job_of(artefact))["status"] == "ok"


def test_what_fell_back_is_no_figure(worker: Any, artefacts: dict[str, Artefact]) -> None:
    reply = result(worker, job_of(artefacts["fp32"], accelerator="beads"))
    assert (reply["status"], reply["samples_ns"]) == ("delegate_fallback", [])
    assert (reply["env"]["delegate_operators"], reply["env"]["fallback_operators"]) == (2, 6)


def test_what_fell_back_is_flagged_where_that_is_allowed(worker: Any, artefacts: dict[str, Artefact]) -> None:
    reply = result(worker, job_of(artefacts["fp32"], accelerator="beads", allow_fallback=True))
    assert reply["status"] == "ok"
    assert "delegate_fallback" in reply["issues"]
    assert reply["env"]["fallback_operators"] == 6


@pytest.mark.parametrize("allow_fallback", [False, True])
def test_an_accelerator_that_is_missing_is_never_a_figure(
    worker: Any, artefacts: dict[str, Artefact], allow_fallback: bool
) -> None:
    changes = {"accelerator": "beads", "library": "/nowhere.so", "allow_fallback": allow_fallback}
    reply = result(worker, job_of(artefacts["fp32"], **changes))
    assert (reply["status"], reply["samples_ns"]) == ("delegate_fallback", [])
    assert reply["error"] == "the library /nowhere.so for beads cannot be used"


@pytest.mark.parametrize("allow_fallback", [False, True])
def test_nor_is_one_that_a_built_in_runtime_lacks(worker: Any, tmp_path: Path, allow_fallback: bool) -> None:
    artefact = ArtefactCache(tmp_path).get(small_workload(), "litert", "fp32")
    changes = {"accelerator": "edgetpu", "library": "/nowhere.so", "allow_fallback": allow_fallback}
    reply = result(worker, job_of(artefact, **changes))
    assert (reply["status"], reply["samples_ns"]) == ("delegate_fallback", [])
    assert reply["error"].startswith("the library /nowhere.so for the accelerator edgetpu cannot be used: ")


def test_a_board_measures_it(artefacts: dict[str, Artefact], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    device = Device(
        "here", "localhost", "nobody", (PLAIN, INT8, STRICT, LENIENT), python=sys.executable, machine="here"
    )
    with BoardSession(device, LocalTransport(home, "here")) as session:
        facts = session.facts()
        assert facts.runtimes["abacus"] == facts.runtimes["numpy"]
        replies = {
            (target.precision, target.accelerator, target.allow_fallback): session.measure(
                artefacts[target.precision], target, QUICK
            )
            for target in device.targets
        }
    statuses = {key: reply.status for key, reply in replies.items()}
    assert statuses == {
        ("fp32", "", False): "ok",
        ("int8", "", False): "ok",
        ("fp32", "beads", False): "delegate_fallback",
        ("fp32", "beads", True): "ok",
    }
    assert "delegate_fallback" in replies["fp32", "beads", True].issues
