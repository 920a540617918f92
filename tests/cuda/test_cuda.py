"""Runtimes on a GPU by CUDA; skipped where there is none.

It needs torch, onnx, onnxruntime and numpy, and nothing else of the project's: so it runs on a lent machine by
`python3 -m pytest tests/cuda`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet.agent_bundle import build_agent
from profiler.fleet.plugins import runtime_spec
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache, lower
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from tests.contracts.runtime import RuntimeContract, job_of, small_workload

# what other versions of the runtimes warn of is not what is tested here
pytestmark = pytest.mark.filterwarnings("default")

TF32_ERROR = 5e-3
"""Convolutions in TF32, as runtimes compute float32 on newer GPUs by default, keep ten bits of the factors."""

QUICK = MeasureConfig(
    min_batch_s=0.001, warmup_runs=3, warmup_s=0.0, min_batches=5, target_half_width=0.5, cap_s=0.5, job_timeout_s=120.0
)


def without_torch_cuda() -> str:
    torch = pytest.importorskip("torch")
    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


def without_onnx_cuda() -> str:
    onnxruntime = pytest.importorskip("onnxruntime")
    there = onnxruntime.get_available_providers()
    return "" if "CUDAExecutionProvider" in there else f"onnxruntime has no CUDA provider, only {', '.join(there)}"


NEEDS = {"torch": without_torch_cuda, "onnxruntime": without_onnx_cuda}


def skip_without(runtime: str) -> None:
    why = NEEDS[runtime]()
    if why:
        pytest.skip(why)


class OnGpu(RuntimeContract):
    accelerator = "cuda"
    most_error = TF32_ERROR
    most_spread = TF32_ERROR

    @pytest.fixture(autouse=True)
    def gpu(self) -> None:
        skip_without(self.spec.name)

    def test_an_operator_that_it_lacks_is_typed(self) -> None:  # type: ignore[override]
        """The same as on the CPU, where it is tried."""

    def test_all_operators_are_on_the_gpu(self, load: Any, job: dict[str, Any]) -> None:
        coverage = load(job).coverage()
        assert coverage["delegate_operators"] >= 6
        assert coverage["fallback_operators"] == 0

    def test_copies_are_told_apart(self, load: Any, job: dict[str, Any]) -> None:
        model = load(job)
        model.run()
        model.settle()
        notes = model.notes()
        assert notes["copy_in_us"] > 0
        assert notes["copy_out_us"] > 0


class TestTorchOnGpu(OnGpu):
    spec = runtime_spec("torch")
    knows_shapes = False

    def test_a_run_ends_when_the_gpu_is_idle(self, load: Any, job: dict[str, Any], tmp_path: Path) -> None:
        import torch

        path = tmp_path / "large"
        path.write_bytes(lower(large_workload(), "torch", "fp32"))
        model = load(job | {"path": str(path), "inputs": [[1, 256, 256, 256]]})
        model.run()
        model.settle()
        stream = torch.cuda.current_stream()
        model.run()
        assert stream.query()
        # the question can have the other answer: a call alone comes back while the GPU is at work
        with torch.inference_mode():
            model._module(*model._inputs)
        assert not stream.query()
        torch.cuda.synchronize()

    def test_the_gpus_own_time_is_less_than_the_hosts(self, load: Any, job: dict[str, Any], tmp_path: Path) -> None:
        path = tmp_path / "large"
        path.write_bytes(lower(large_workload(), "torch", "fp32"))
        model = load(job | {"path": str(path), "inputs": [[1, 256, 256, 256]]})
        model.run()
        model.settle()
        host, device = [], []
        for _ in range(11):
            start = time.perf_counter_ns()
            model.run()
            host.append(time.perf_counter_ns() - start)
            device.append(model.device_ns())
        assert 0.5 * statistics.median(host) < statistics.median(device) < 1.05 * statistics.median(host)


class TestOnnxruntimeOnGpu(OnGpu):
    spec = runtime_spec("onnxruntime")


def large_workload() -> Workload:
    """Some 150 GMACs: a millisecond on the fastest GPU."""
    b = WorkloadBuilder("large")
    x = b.input((1, 256, 256, 256))
    for _ in range(4):
        x = b.conv2d(x, 256, 3)
    return b.build(b.global_avg_pool(x))


def network() -> Workload:
    """A residual network of a few blocks."""
    b = WorkloadBuilder("network")
    x = b.relu(b.batch_norm(b.conv2d(b.input((1, 3, 32, 32)), 32, 3)))
    for _ in range(3):
        y = b.relu(b.batch_norm(b.conv2d(x, 32, 3)))
        x = b.relu(b.add(b.batch_norm(b.conv2d(y, 32, 3)), x))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 10))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(build_agent()[0])
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


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
@pytest.mark.parametrize("workload", [small_workload, network], ids=["small", "network"])
def test_a_worker_measures_on_the_gpu(worker: Any, tmp_path: Path, runtime: str, workload: Any) -> None:
    skip_without(runtime)
    artefact = ArtefactCache(tmp_path).get(workload(), runtime, "fp32")
    reply = result(worker, job_of(artefact, accelerator="cuda"))
    assert (reply["status"], reply["error"]) == ("ok", "")
    assert reply["output_error"] <= TF32_ERROR
    assert len(reply["samples_ns"]) >= 5
    env = reply["env"]
    assert "synchronize" in env["interface"]
    assert env["fallback_operators"] == 0
    assert env["copy_in_us"] > 0


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_without_a_gpu_there_is_no_figure(worker: Any, tmp_path: Path, runtime: str) -> None:
    if not NEEDS[runtime]():
        pytest.skip("there is one")
    artefact = ArtefactCache(tmp_path).get(small_workload(), runtime, "fp32")
    reply = result(worker, job_of(artefact, accelerator="cuda", allow_fallback=True))
    assert (reply["status"], reply["samples_ns"]) == ("delegate_fallback", [])
    assert "CUDA" in reply["error"]


def test_the_cpu_is_not_touched_by_asking_for_a_gpu(worker: Any, tmp_path: Path) -> None:
    """One worker runs jobs for the CPU and for the GPU in turns."""
    artefact = ArtefactCache(tmp_path).get(small_workload(), "onnxruntime", "fp32")
    result(worker, job_of(artefact, accelerator="cuda"))
    reply = result(worker, job_of(artefact))
    assert reply["status"] == "ok"
    assert reply["output_error"] < 1e-5
    assert "copy_in_us" not in reply["env"]
