from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.errors import ConfigError
from profiler.fleet.provisioning.requirements import below, packages, targets_by_runtime
from profiler.fleet.targets import Device, Target


def device(*targets: Target) -> Device:
    return Device(id="a", host="h", user="u", targets=targets)


def test_litert_falls_back_to_tflite_runtime_with_an_old_numpy() -> None:
    preferred, fall_back = packages("litert")
    assert preferred.name == "ai-edge-litert"
    assert [str(r) for r in fall_back.limited("")] == ["tflite-runtime", "numpy<2", "numpy"]


def test_a_build_for_an_accelerator_takes_the_place_of_the_usual_one() -> None:
    (package,) = packages("onnxruntime", ("", "cuda"))
    assert package.name == "onnxruntime-gpu"
    assert not package.unwanted("nvidia-cudnn-cu13")
    assert [p.name for p in packages("onnxruntime", ("", "xnnpack"))] == ["onnxruntime"]


def test_gpu_libraries_are_unwanted_otherwise() -> None:
    (package,) = packages("torch")
    assert [package.unwanted(name) for name in ("nvidia-nccl-cu13", "cuda-toolkit", "triton", "sympy")] == [
        True,
        True,
        True,
        False,
    ]


def test_an_unknown_runtime_is_named() -> None:
    with pytest.raises(ConfigError, match="nothing"):
        packages("nothing")


@pytest.mark.parametrize(("version", "limit"), [("1.31.1", "<1.31"), ("2.13.0+cpu", "<2.13"), ("2.0", "<2.0")])
def test_a_step_back_leaves_the_whole_series_out(version: str, limit: str) -> None:
    assert below(version) == limit
    (package,) = packages("onnxruntime")
    assert str(package.limited(limit)[0]) == f"onnxruntime{limit}"


def test_only_runtimes_that_the_targets_need() -> None:
    board = device(Target("a", "litert", "fp32"), Target("a", "litert", "int8"), Target("a", "torch", "fp32"))
    assert {name: len(targets) for name, targets in targets_by_runtime(board).items()} == {"litert": 2, "torch": 1}
    assert list(targets_by_runtime(board, ["torch"])) == ["torch"]
    with pytest.raises(ConfigError, match=r"no target with the runtime 'onnxruntime', only litert, torch"):
        targets_by_runtime(replace(board), ["onnxruntime"])
