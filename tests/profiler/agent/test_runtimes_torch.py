"""torch without a GPU: asking for one is refused. What it does with one is in test_cuda.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch as real

from profiler.agent.runtimes import AcceleratorMissing, ArtefactMismatch, torch
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.graph import Workload
from tests.contracts.runtime import job_of

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

Job = dict[str, Any]


@pytest.fixture
def job(cache: ArtefactCache, workload: Workload) -> Job:
    return job_of(cache.get(workload, "torch", "fp32"))


def test_cuda_that_is_missing_is_told(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real.cuda, "is_available", lambda: False)
    with pytest.raises(AcceleratorMissing, match=r"this build of torch .* sees no CUDA device"):
        torch.TorchModel(real, job | {"accelerator": "cuda"})


def test_inputs_are_counted_before_anything_runs(job: Job) -> None:
    with pytest.raises(ArtefactMismatch, match=r"have shapes \['\?', '\?'\], the job's \[\[1, 8, 6, 10\]\]"):
        torch.TorchModel(real, job | {"inputs": job["inputs"][:1]})
    assert not real.is_inference_mode_enabled()


class PretendedGpu:
    """torch whose GPU is the CPU; it notes what is asked of the GPU."""

    def __init__(self) -> None:
        self.waited = 0
        self.emptied = 0
        self.events: list[int] = []
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            synchronize=self._wait,
            get_device_name=lambda: "pretended",
            empty_cache=self._empty,
            Event=self._event,
        )
        self.jit = SimpleNamespace(load=lambda path, map_location: real.jit.load(path, map_location="cpu"))

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)

    def from_numpy(self, array: Any) -> Any:
        tensor = real.from_numpy(array)
        return SimpleNamespace(to=lambda device: tensor.clone())

    def _event(self, enable_timing: bool) -> Any:
        assert enable_timing
        return SimpleNamespace(record=lambda: self.events.append(self.waited), elapsed_time=lambda end: 0.25)

    def _wait(self) -> None:
        self.waited += 1

    def _empty(self) -> None:
        self.emptied += 1


def test_on_a_gpu_every_run_waits_and_all_operators_are_there(job: Job) -> None:
    gpu = PretendedGpu()
    model = torch.TorchModel(gpu, job | {"accelerator": "cuda"})
    model.run()
    assert gpu.waited == 1
    model.settle()
    assert gpu.waited == 1 + torch.SPECIALISING_RUNS
    coverage = model.coverage()
    assert coverage is not None
    assert coverage["delegate_operators"] >= 6
    assert coverage["fallback_operators"] == 0
    assert model.interface == "torchscript, cuda.synchronize"
    model.close()
    assert gpu.emptied == 1


def test_a_gpus_own_time_is_taken_by_events_and_not_in_a_run(job: Job) -> None:
    gpu = PretendedGpu()
    model = torch.TorchModel(gpu, job | {"accelerator": "cuda"})
    model.run()
    assert gpu.events == []
    assert model.device_ns() == 250_000
    assert (gpu.events, gpu.waited) == ([1, 1], 2)
    model.close()


def test_on_the_cpu_nothing_is_added_to_a_run(job: Job) -> None:
    model = torch.TorchModel(real, job)
    model.run()
    assert model.device_ns() is None
    assert (model.interface, model.coverage(), model.notes()) == ("torchscript", None, {})
    assert real.is_inference_mode_enabled()
    model.close()
    assert not real.is_inference_mode_enabled()
