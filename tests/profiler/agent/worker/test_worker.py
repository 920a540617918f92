"""Whole jobs in a real worker, behind a real agent.pyz."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import runtimes
from profiler.agent.runtimes.base import Model
from profiler.agent.worker import attempt
from profiler.agent.worker.bench import Bench
from profiler.agent.worker.calibration import ClockFacts
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload

Job = dict[str, Any]

CLOCK = ClockFacts(1, 1)

TARGETS = [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("litert", "fp32"), ("litert", "int8"), ("torch", "fp32")]


@pytest.mark.parametrize(("runtime", "precision"), TARGETS)
def test_every_runtime_measures(
    agent: Any, cache: ArtefactCache, workload: Workload, job_for: Any, runtime: str, precision: str
) -> None:
    result = agent.run(job_for(cache.get(workload, runtime, precision)))  # type: ignore[arg-type]
    assert (result.status, result.error) == ("ok", "")
    assert result.output_error is not None
    assert result.output_error < (1e-4 if precision == "fp32" else 0.3)
    assert len(result.samples_ns) >= 5
    assert result.runs_per_batch > 1  # such a small workload needs many runs to fill a batch
    assert result.warmup_runs >= 3
    assert result.load_ns > 0
    assert result.first_run_ns > 0
    assert result.env["runtime"].split()[0] == {"litert": "ai-edge-litert"}.get(runtime, runtime)
    assert result.env["threads"] == 1
    assert result.env["clock_resolution_ns"] >= 1
    assert "unpinned" in result.issues or result.env["pinned"]
    assert (result.energy_mj is None) or result.energy_mj > 0


def test_two_threads_measure_too(agent: Any, good_job: Job) -> None:
    result = agent.run(good_job | {"threads": 2})
    assert (result.status, result.env["threads"]) == ("ok", 2)


def test_a_second_job_in_the_same_worker_is_independent_of_the_first(agent: Any, good_job: Job) -> None:
    first, second = (agent.run(good_job | {"id": name}) for name in "ab")
    assert first.status == second.status == "ok"
    assert first.output_error == second.output_error


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "torch"])
def test_an_output_that_is_not_the_hosts_is_wrong(
    agent: Any, cache: ArtefactCache, workload: Workload, job_for: Any, runtime: str
) -> None:
    job = job_for(cache.get(workload, runtime, "fp32"))  # type: ignore[arg-type]
    values = list(job["expected"]["values"])
    values[3] += 0.1 * job["expected"]["rms"]
    result = agent.run(job | {"expected": job["expected"] | {"values": values}})
    assert result.status == "wrong_output"
    assert result.output_error == pytest.approx(0.1, rel=1e-3)
    assert result.samples_ns == []
    assert result.load_ns is not None


def test_a_job_without_a_reference_is_not_checked(agent: Any, good_job: Job) -> None:
    result = agent.run(good_job | {"expected": None})
    assert (result.status, result.output_error) == ("ok", None)


def test_a_cap_too_short_to_converge_is_an_issue(agent: Any, good_job: Job) -> None:
    config = good_job["config"] | {"cap_s": 0.001, "min_batches": 30}
    result = agent.run(good_job | {"config": config})
    assert result.status == "ok"
    assert "ci_not_met" in result.issues
    assert 1 <= len(result.samples_ns) < 30


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "torch"])
def test_a_file_that_is_no_model_is_typed(agent: Any, file_job: Any, tmp_path: Path, runtime: str) -> None:
    path = tmp_path / "nonsense"
    path.write_bytes(b"this is no model of any kind, and long enough to be looked at" * 10)
    result = agent.run(file_job(path, runtime))
    assert result.status == "conversion_failed"
    assert result.error


def test_a_file_that_is_not_there_is_typed(agent: Any, file_job: Any, tmp_path: Path) -> None:
    result = agent.run(file_job(tmp_path / "gone.onnx", "onnxruntime"))
    assert result.status == "crashed"
    assert "gone.onnx is not on the board" in result.error


def test_inputs_of_other_shapes_are_typed(agent: Any, good_job: Job) -> None:
    result = agent.run(good_job | {"inputs": [[1, 8, 6, 10]]})
    assert result.status == "conversion_failed"
    assert "[[1, 8, 6, 10], [1, 16, 6, 10]]" in result.error


def onnx_file(path: Path, *nodes: Any, ir_version: int = 8, **initializers: Any) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 4]), ("y", None))
    ]
    values = [numpy_helper.from_array(value, name) for name, value in initializers.items()]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], values)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version).SerializeToString())
    return path


def test_an_operator_that_the_runtime_lacks_is_typed(agent: Any, file_job: Any, tmp_path: Path) -> None:
    from onnx import helper

    path = onnx_file(tmp_path / "m.onnx", helper.make_node("Wonder", ["x"], ["y"], domain="own"))
    result = agent.run(file_job(path, "onnxruntime"))
    assert result.status == "unsupported_operator"
    assert "Wonder" in result.error


def test_a_format_that_is_too_new_is_not_blamed_on_an_operator(agent: Any, file_job: Any, tmp_path: Path) -> None:
    from onnx import helper

    path = onnx_file(tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"]), ir_version=99)
    assert agent.run(file_job(path, "onnxruntime")).status == "conversion_failed"


def test_an_output_of_nan_is_wrong(agent: Any, file_job: Any, tmp_path: Path) -> None:
    from onnx import helper

    difference = helper.make_node("Sub", ["x", "x"], ["zero"])
    path = onnx_file(tmp_path / "m.onnx", difference, helper.make_node("Div", ["zero", "zero"], ["y"]))
    reference = {"indices": [0], "values": [1.0], "rms": 1.0, "size": 4}
    result = agent.run(file_job(path, "onnxruntime") | {"expected": reference})
    assert (result.status, result.output_error) == ("wrong_output", None)


def test_more_memory_than_there_is_is_typed(agent: Any, file_job: Any, tmp_path: Path) -> None:
    import numpy as np
    from onnx import helper

    shape = np.array([1 << 20, 1 << 20, 4], np.int64)  # 16 TiB
    path = onnx_file(tmp_path / "m.onnx", helper.make_node("Expand", ["x", "shape"], ["y"]), shape=shape)
    assert agent.run(file_job(path, "onnxruntime")).status == "out_of_memory"


_numbers = itertools.count()


def torchscript(path: Path, body: str) -> Path:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # a class of its own each time: torch compiles a class once only
        module = type(f"Model{next(_numbers)}", (torch.jit.ScriptModule,), {})()
        module.define("def forward(self, x: Tensor) -> Tensor:\n" + body)
        module.save(str(path))
    return path


def test_what_a_model_prints_does_not_disturb_the_conversation(agent: Any, file_job: Any, tmp_path: Path) -> None:
    path = torchscript(tmp_path / "m.pt", '    print("{\\"event\\": \\"result\\"}")\n    return x + x\n')
    result = agent.run(file_job(path, "torch"))
    assert result.status == "ok"


def test_a_job_that_does_not_end_is_ended_and_the_next_one_runs(
    agent: Any, file_job: Any, good_job: Job, tmp_path: Path
) -> None:
    loop = "    while bool(x.sum() > -1e30):\n        x = x + 1.0\n    return x\n"
    job = file_job(torchscript(tmp_path / "m.pt", loop), "torch", timeout_s=0.7)
    result = agent.run(job)
    assert (result.status, result.error) == ("timed_out", "ended after 0.7 s, during first run")
    assert agent.workers() == []
    assert agent.run(good_job).status == "ok"


def test_a_runtime_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, good_job: Job) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setitem(runtimes.IMPORTERS, "onnxruntime", missing)
    said: list[Job] = []
    reply = attempt.run_job(good_job, Bench(CLOCK), said.append)
    assert reply["status"] == "crashed"
    assert "onnxruntime cannot be imported: No module named" in reply["error"]
    assert said == [{"event": "stage", "stage": "import"}]


def test_every_step_is_announced_so_that_a_death_can_be_blamed(good_job: Job) -> None:
    said: list[Job] = []
    assert attempt.run_job(good_job, Bench(CLOCK), said.append)["status"] == "ok"
    assert [message["stage"] for message in said] == [
        "import", "load", "first run", "comparison", "warm-up", "sampling"
    ]  # fmt: skip


def test_figures_of_a_failure_are_not_kept(good_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(attempt, "record_power", broken)
    reply = attempt.run_job(good_job, Bench(CLOCK), lambda message: None)
    assert (reply["status"], reply["samples_ns"], reply["runs_per_batch"]) == ("crashed", [], 0)
    assert reply["load_ns"] > 0


class Covered(Model):
    """A model of which some operators do not run on the accelerator."""

    interface = "pretended"

    def __init__(self, on_accelerator: int, elsewhere: int) -> None:
        self._coverage = {"delegate_operators": on_accelerator, "fallback_operators": elsewhere}

    def coverage(self) -> dict[str, int]:
        return self._coverage

    def run(self) -> int:
        return sum(range(50))


@pytest.mark.parametrize(
    ("elsewhere", "accelerator", "allowed", "status", "flagged"),
    [
        (0, "npu", False, "ok", False),
        (2, "npu", False, "delegate_fallback", False),
        (2, "npu", True, "ok", True),
        (0, "npu", True, "ok", False),
        (2, "", False, "ok", False),
    ],
)
def test_operators_that_fall_back_are_never_passed_over(
    good_job: Job,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: int,
    accelerator: str,
    allowed: bool,
    status: str,
    flagged: bool,
) -> None:
    monkeypatch.setattr(runtimes, "import_runtime", lambda name: (None, "pretended 1"))
    monkeypatch.setattr(runtimes, "load", lambda name, runtime, job: Covered(5, elsewhere))
    job = good_job | {"expected": None, "accelerator": accelerator, "allow_fallback": allowed}
    reply = attempt.run_job(job, Bench(CLOCK), lambda message: None)
    assert reply["status"] == status, reply["error"]
    assert ("delegate_fallback" in reply["issues"]) is flagged
    assert (reply["env"]["delegate_operators"], reply["env"]["fallback_operators"]) == (5, elsewhere)
    if status == "ok":
        assert reply["samples_ns"]
    else:
        assert reply["samples_ns"] == []
        assert reply["error"].startswith("2 of 7 operators do not run on npu")


def test_a_large_model_within_a_small_limit_is_out_of_memory(agent: Any, cache: ArtefactCache, job_for: Any) -> None:
    """Whatever each runtime says when it cannot have the 128 MB between its two operators."""
    b = WorkloadBuilder("large")
    image = b.input((1, 3, 512, 512))
    large = b.build(b.conv2d(b.conv2d(image, 128, 1), 1, 1))
    for runtime, memory_mb in (("onnxruntime", 120), ("litert", 130), ("torch", 280)):
        result = agent.run(job_for(cache.get(large, runtime, "fp32"), memory_mb=memory_mb))  # type: ignore[arg-type]
        assert result.status == "out_of_memory", (runtime, result.error)
