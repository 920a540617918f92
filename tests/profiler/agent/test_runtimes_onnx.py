"""ONNX Runtime's providers: one that is not there is told, one that takes nothing is counted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from profiler.agent.runtimes import AcceleratorMissing, onnx
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.graph import Workload
from tests.contracts.runtime import job_of

Job = dict[str, Any]

AZURE = "AzureExecutionProvider"
"""Every build for the CPU has it beside the CPU's own: it starts, and takes no operator of ours."""


@pytest.fixture
def job(cache: ArtefactCache, workload: Workload) -> Job:
    return job_of(cache.get(workload, "onnxruntime", "fp32"))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch, job: Job) -> Job:
    """A job on an accelerator that takes nothing."""
    assert AZURE in onnxruntime.get_available_providers()
    monkeypatch.setitem(onnx.PROVIDERS, "azure", [AZURE])
    return job | {"accelerator": "azure"}


@pytest.mark.parametrize(
    ("accelerator", "provider"), [("xnnpack", "Xnnpack"), ("cuda", "CUDA"), ("tensorrt", "Tensorrt")]
)
def test_a_provider_that_the_build_lacks_is_told(job: Job, accelerator: str, provider: str) -> None:
    if f"{provider}ExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build has it")
    with pytest.raises(AcceleratorMissing) as caught:
        onnx.OnnxModel(onnxruntime, job | {"accelerator": accelerator})
    assert str(caught.value).startswith(
        f"the provider {provider}ExecutionProvider is not in this build of onnxruntime "
    )
    assert "CPUExecutionProvider" in str(caught.value)


def test_a_provider_that_does_not_start_is_told(job: Job) -> None:
    """As where CUDA's library does not load: the session comes up all the same, on the CPU."""

    class Boastful:
        get_available_providers = staticmethod(lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])

        def __getattr__(self, name: str) -> Any:
            return getattr(onnxruntime, name)

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("here it might start")
    with warnings.catch_warnings(), pytest.raises(AcceleratorMissing, match="CUDAExecutionProvider .* did not start"):
        warnings.simplefilter("ignore", UserWarning)
        onnx.OnnxModel(Boastful(), job | {"accelerator": "cuda"})


def test_a_provider_that_takes_nothing_is_not_passed_over_in_silence(idle: Job) -> None:
    model = onnx.OnnxModel(onnxruntime, idle)
    model.run()
    assert model.coverage() == {"delegate_operators": 0, "fallback_operators": 6}
    assert model.notes() == {"providers": f"{AZURE}, CPUExecutionProvider"}


def test_versions_that_do_not_tell_are_asked_by_a_trace(
    idle: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model = onnx.OnnxModel(onnxruntime, idle)
    model.run()
    monkeypatch.setattr(model, "_assigned", dict)
    coverage = model.coverage()
    assert coverage["delegate_operators"] == 0
    assert 0 < coverage["fallback_operators"] <= 8  # some were fused, and layouts are converted
    assert list(tmp_path.iterdir()) == []


def test_the_session_of_a_plain_job_records_nothing(job: Job) -> None:
    model = onnx.OnnxModel(onnxruntime, job)
    assert model._assigned() == {}
    assert model.coverage() is None


def test_nodes_of_a_trace_are_counted_once_and_copies_not_at_all() -> None:
    def event(name: str, provider: str, kind: str = "Conv", cat: str = "Node") -> dict[str, Any]:
        return {"cat": cat, "name": name, "args": {"provider": provider, "op_name": kind}}

    trace = [
        {"cat": "Session", "name": "model_run"},
        event("a_kernel_time", "CUDAExecutionProvider"),
        event("a_kernel_time", "CUDAExecutionProvider"),
        event("a_fence_before", "CUDAExecutionProvider"),
        event("b_kernel_time", "CPUExecutionProvider", "Softmax"),
        event("c_kernel_time", "CUDAExecutionProvider", "MemcpyToHost"),
        {"cat": "Node", "name": "d_kernel_time", "args": {}},
    ]
    assert onnx.nodes_by_provider(trace) == {"CUDAExecutionProvider": 1, "CPUExecutionProvider": 1}


class PretendedGpu:
    """onnxruntime whose GPU is the CPU; it notes what is asked of the GPU."""

    def __init__(self) -> None:
        self.waited = 0
        self.placed: list[str] = []
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=self._place)

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"]

    def _place(self, array: Any, device: str, number: int) -> Any:
        self.placed.append(device)
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)

    def InferenceSession(self, path: str, options: Any, **arguments: Any) -> Any:
        assert arguments["providers"] == ["CUDAExecutionProvider"]
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        bind = session.io_binding

        def io_binding() -> Any:
            made = bind()
            bind_output, synchronize = made.bind_output, made.synchronize_outputs

            def bound(name: str, device: str) -> None:
                self.placed.append(device)
                bind_output(name, "cpu")

            def synchronized() -> None:
                self.waited += 1
                synchronize()

            made.bind_output, made.synchronize_outputs = bound, synchronized
            return made

        session.io_binding = io_binding
        session.get_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
        return session


@pytest.fixture
def on_gpu(job: Job) -> tuple[PretendedGpu, Callable[[], onnx.OnnxModel]]:
    gpu = PretendedGpu()
    return gpu, lambda: onnx.OnnxModel(gpu, job | {"accelerator": "cuda"})


def test_on_a_gpu_everything_stays_there_and_every_run_waits(on_gpu: Any) -> None:
    gpu, make = on_gpu
    model = make()
    assert gpu.placed == ["cuda"] * 4  # two inputs, two outputs
    model.run()
    model.settle()
    model.run()
    model.run()
    assert gpu.waited == 3
    assert gpu.placed == ["cuda"] * 6  # the outputs' own places
    assert model.interface == "run_with_iobinding, synchronize_outputs"
    notes = model.notes()
    assert notes["copy_in_us"] > 0
    assert notes["copy_out_us"] > 0
