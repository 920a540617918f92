"""LiteRT's delegates: which operators they took, and that a missing one is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from profiler.agent import outputs, runtimes
from profiler.agent.runtimes import AcceleratorMissing, litert
from profiler.agent.worker import failures
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from tests.contracts.runtime import job_of
from tests.tflite_files import with_custom_operator

Job = dict[str, Any]


@pytest.fixture(scope="module")
def interpreter() -> Any:
    return runtimes.import_runtime("litert")[0]


@pytest.fixture
def job(cache: ArtefactCache, workload: Workload) -> Job:
    return job_of(cache.get(workload, "litert", "fp32"))


def op(name: str, reads: list[int], writes: list[int]) -> dict[str, Any]:
    return {"op_name": name, "inputs": np.array(reads), "outputs": np.array(writes)}


def test_what_lies_between_a_delegates_ends_is_its_own() -> None:
    chain = [op("A", [0, 10], [1]), op("B", [1], [2]), op("C", [2], [3]), op("D", [3, 1], [4])]
    names, taken = litert.partition(chain)
    assert (names, taken) == (["A", "B", "C", "D"], set())
    assert litert.partition([*chain, op("DELEGATE", [0, 10], [4])])[1] == {0, 1, 2, 3}
    two = [*chain, op("DELEGATE", [0, 10], [1, 2]), op("DELEGATE", [3, 1], [4])]
    assert litert.partition(two)[1] == {0, 1, 3}


def test_a_chain_of_a_thousand_operators_is_no_trouble() -> None:
    chain = [op("A", [i], [i + 1]) for i in range(2000)]
    assert len(litert.partition([*chain, op("DELEGATE", [0], [2000])])[1]) == 2000


def test_xnnpack_tells_what_it_takes(interpreter: Any, job: Job) -> None:
    model = runtimes.load("litert", interpreter, job)
    assert model.coverage() == {"delegate_operators": 6, "fallback_operators": 0}


def test_xnnpack_tells_what_it_leaves(interpreter: Any, cache: ArtefactCache) -> None:
    """An int8 average pooling is none of its operators; the convolutions around it are."""
    b = WorkloadBuilder("pooled")
    x = b.conv2d(b.input((1, 8, 12, 12)), 8, 3)
    workload = b.build(b.conv2d(b.avg_pool(x, 2), 8, 3))
    model = runtimes.load("litert", interpreter, job_of(cache.get(workload, "litert", "int8")))
    assert model.coverage() == {"delegate_operators": 2, "fallback_operators": 1}


def test_versions_that_do_not_tell_say_nothing(interpreter: Any, job: Job) -> None:
    model: Any = runtimes.load("litert", interpreter, job)
    model._interpreter = object()
    assert model.coverage() is None
    model._accelerator = "gpu"  # a figure of which nobody knows what it is of
    with pytest.raises(AcceleratorMissing, match="does not tell what gpu took"):
        model.coverage()


@pytest.mark.parametrize("library", ["/nowhere/libedgetpu.so.1", ""])
def test_a_library_that_is_missing_is_told(interpreter: Any, job: Job, library: str) -> None:
    with pytest.raises(AcceleratorMissing) as caught:
        runtimes.load("litert", interpreter, job | {"accelerator": "edgetpu", "library": library})
    name = library or "libedgetpu.so.1"
    assert str(caught.value).startswith(f"the library {name} for the accelerator edgetpu cannot be used: ")
    assert "cannot open shared object file" in str(caught.value)


def test_a_library_that_is_no_delegate_is_told(interpreter: Any, job: Job) -> None:
    with pytest.raises(AcceleratorMissing, match=r"libc.so.6 .* cannot be used: it is no delegate"):
        runtimes.load("litert", interpreter, job | {"accelerator": "gpu", "library": "libc.so.6"})


DELEGATE = """
#include <stddef.h>
typedef struct { void *data; int (*prepare)(void *, void *); void *rest[16]; } Delegate;
static int prepare(void *context, void *delegate) { return 0; }
static Delegate it = { 0, prepare };
void *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *)) {
%s
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


@pytest.fixture
def library(tmp_path: Path) -> Any:
    """Builds a delegate's library out of the body of its constructor."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")

    def build(body: str) -> str:
        source = tmp_path / "delegate.c"
        source.write_text(DELEGATE % body)
        made = tmp_path / "libdelegate.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
        return str(made)

    return build


def test_a_delegate_that_finds_no_device_is_told(interpreter: Any, job: Job, library: Any) -> None:
    path = library('    report("no device is plugged in");\n    return NULL;')
    with pytest.raises(AcceleratorMissing, match="no device is plugged in"):
        runtimes.load("litert", interpreter, job | {"accelerator": "edgetpu", "library": path})


def test_a_delegate_that_takes_nothing_is_not_passed_over_in_silence(interpreter: Any, job: Job, library: Any) -> None:
    """Nor is what XNNPACK would have taken counted as the delegate's."""
    path = library("    return &it;")
    model = runtimes.load("litert", interpreter, job | {"accelerator": "gpu", "library": path})
    model.run()
    assert outputs.compare(model.output(), job["expected"], "fp32").problem == ""
    assert model.coverage() == {"delegate_operators": 0, "fallback_operators": 6}


def test_operators_for_the_edge_tpu_are_those_that_its_compiler_left(interpreter: Any, job: Job) -> None:
    model: Any = runtimes.load("litert", interpreter, job)
    model._accelerator = "edgetpu"
    compiled = [op(litert.EDGETPU_OPERATOR, [0], [1]), op("SOFTMAX", [1], [2])]

    class Listing:
        _get_ops_details = staticmethod(lambda: [*compiled, op("DELEGATE", [0], [1])])

    model._interpreter = Listing()
    assert model.coverage() == {"delegate_operators": 1, "fallback_operators": 1}
    Listing._get_ops_details = staticmethod(lambda: compiled)  # the delegate did not take it
    assert model.coverage() == {"delegate_operators": 0, "fallback_operators": 2}


def test_a_file_for_the_edge_tpu_without_it_is_typed(interpreter: Any, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "compiled.tflite"
    path.write_bytes(with_custom_operator(litert.EDGETPU_OPERATOR.encode(), plain=1))
    with pytest.raises(RuntimeError, match="edgetpu-custom-op") as caught:
        runtimes.load("litert", interpreter, job | {"path": str(path), "inputs": [[1, 2, 4, 4]]})
    assert failures.classify("load", caught.value) == "unsupported_operator"


# ---------------------------------------------------------------- LiteRT's own accelerators


class OnCpu(litert.CompiledLiteRtModel):
    """The same interface without a GPU: what can be tried of it everywhere."""

    accelerators = "CPU"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_compiled_model_gives_what_an_interpreter_gives(
    interpreter: Any, cache: ArtefactCache, workload: Workload, precision: Any
) -> None:
    job = job_of(cache.get(workload, "litert", precision))
    model = OnCpu(interpreter, job)
    for _ in range(3):
        model.run()
    verdict = outputs.compare(model.output(), job["expected"], precision)
    assert (verdict.problem, verdict.error) == ("", pytest.approx(0, abs=1e-5))
    assert model.coverage() == {"delegate_operators": 6, "fallback_operators": 0}
    model.close()


def test_a_compiled_model_refuses_other_inputs(interpreter: Any, job: Job) -> None:
    with pytest.raises(runtimes.ArtefactMismatch):
        OnCpu(interpreter, job | {"inputs": job["inputs"][:1]})


def test_a_model_that_is_taken_in_part_is_refused(interpreter: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert.compiled_model import CompiledModel

    monkeypatch.setattr(CompiledModel, "is_fully_accelerated", lambda model: False)
    with pytest.raises(AcceleratorMissing, match="took only some of the 6 operators"):
        OnCpu(interpreter, job)


def test_a_gpu_that_is_missing_is_told(interpreter: Any, job: Job) -> None:
    from ctypes.util import find_library

    if find_library("vulkan"):
        pytest.skip("this machine may have a GPU that LiteRT runs on")
    with pytest.raises(AcceleratorMissing, match="LiteRT's GPU did not take the model, or is not there"):
        runtimes.load("litert", interpreter, job | {"accelerator": "gpu"})
