"""What torch exports of common networks is read whole: the same function, as many multiply-accumulates."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import exported_models
import numpy as np
import pytest
import torch
from artefact_runners import relative_error, run_onnx, run_tflite, run_torchscript, snr_db
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from profiler.errors import UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.torch import build_torchscript
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from profiler.workloads.importer import Imported, read_onnx
from profiler.workloads.weights import check_weights, seeded_inputs

FP32_ERROR = 2e-5


def export(name: str, path: Path, dynamo: bool) -> Path:
    """The network's file, as torch's exporters write it."""
    image = torch.zeros(1, 3, exported_models.SIDE, exported_models.SIDE)
    with warnings.catch_warnings():
        # deprecations inside the exporters, and the one of the older exporter itself
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(exported_models.network(name), (image,), path, dynamo=True, verbose=False)
        else:
            torch.onnx.export(exported_models.network(name), (image,), path, dynamo=False)
    return path


@cache
def _read(name: str, dynamo: bool, folder: Path) -> Imported:
    return read_onnx(export(name, folder / f"{name}-{dynamo}.onnx", dynamo))


@pytest.fixture(scope="module", params=[False, True], ids=["torchscript", "dynamo"])
def exporter(request: pytest.FixtureRequest) -> bool:
    if request.param:
        pytest.importorskip("onnxscript")
    return bool(request.param)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


@pytest.mark.parametrize("name", exported_models.networks())
def test_an_exported_network_is_read_whole(name: str, exporter: bool, folder: Path) -> None:
    imported = _read(name, exporter, folder)
    assert imported.unsupported == ()
    check_weights(imported.workload, imported.weights)
    inputs = seeded_inputs(imported.workload)
    with torch.no_grad():
        wanted = exported_models.network(name)(torch.from_numpy(inputs[0]))
    outputs = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    for theirs, ours in zip(wanted if isinstance(wanted, tuple) else (wanted,), outputs, strict=True):
        assert relative_error(theirs.numpy(), ours) <= FP32_ERROR


@pytest.mark.parametrize("name", exported_models.networks())
def test_its_multiply_accumulates_are_those_that_torch_counts(name: str, exporter: bool, folder: Path) -> None:
    torch.backends.mha.set_fastpath_enabled(False)  # calls of which the counter knows nothing
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
            exported_models.network(name)(torch.zeros(1, 3, exported_models.SIDE, exported_models.SIDE))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert counter.get_total_flops() == 2 * _read(name, exporter, folder).workload.macs > 0


@pytest.mark.parametrize("name", exported_models.networks())
def test_torch_runs_it_too(name: str, folder: Path) -> None:
    imported = _read(name, False, folder)
    inputs = seeded_inputs(imported.workload)
    wanted = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    found = run_torchscript(build_torchscript(imported.workload, imported.weights), inputs)
    for theirs, ours in zip(wanted, found, strict=True):
        assert relative_error(theirs, ours) <= FP32_ERROR


@pytest.mark.parametrize("name", exported_models.networks())
def test_litert_runs_it_or_says_what_it_lacks(name: str, folder: Path) -> None:
    imported = _read(name, False, folder)
    inputs = seeded_inputs(imported.workload)
    if name == "swin":  # which cuts images into windows by way of six axes
        with pytest.raises(UnsupportedOperator, match="up to 5 axes"):
            build_tflite(imported.workload, imported.weights)
        return
    wanted = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    found = run_tflite(build_tflite(imported.workload, imported.weights), inputs)
    for theirs, ours in zip(wanted, found, strict=True):
        assert relative_error(theirs, ours) <= 1e-4


@pytest.mark.parametrize("name", ["shufflenet_v2", "densenet"])
def test_full_int8_keeps_near_float(name: str, folder: Path) -> None:
    imported = _read(name, False, folder)
    inputs = seeded_inputs(imported.workload)
    (wanted,) = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    for found in (
        run_tflite(build_tflite_int8(imported.workload, imported.weights), inputs),
        run_onnx(build_onnx_int8(imported.workload, imported.weights), inputs),
    ):
        assert snr_db(wanted, found[0]) >= 20


def test_full_int8_says_what_it_lacks(folder: Path) -> None:
    imported = _read("vit", False, folder)
    with pytest.raises(UnsupportedOperator, match=r"no full int8 \.tflite lowering for layer_norm"):
        build_tflite_int8(imported.workload, imported.weights)
    inputs = seeded_inputs(imported.workload)
    (wanted,) = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    (found,) = run_onnx(build_onnx_int8(imported.workload, imported.weights), inputs)
    assert snr_db(wanted, found) >= 15


@pytest.mark.parametrize("name", exported_models.networks())
def test_its_kernels_hold_every_operator_that_computes(name: str, folder: Path) -> None:
    """Nothing is lost between the file and what a table is asked for, and every kernel can be measured alone."""
    workload = _read(name, False, folder).workload.pruned()
    kernels = cut(workload, "onnxruntime", "fp32")
    assert sum(kernel.workload.macs for kernel in kernels) == workload.macs
    held = {index for kernel in kernels for index in kernel.ops}
    free = {i for i in workload.compute_ops if workload.ops[i].kind in ("constant", "identity", "zero")}
    assert held.isdisjoint(free)
    assert held | free == set(workload.compute_ops)
    for kernel in {kernel.key: kernel for kernel in kernels}.values():
        outputs = run_onnx(build_onnx(kernel.workload), seeded_inputs(kernel.workload))
        assert all(np.isfinite(output).all() for output in outputs), kernel.label


def test_a_workload_survives_being_written_down(folder: Path) -> None:
    for name in ("vit", "swin", "pyramid"):
        workload = _read(name, False, folder).workload
        assert Workload.from_dict(workload.to_dict()).key == workload.key


def test_external_weights_are_read_where_they_are(tmp_path: Path) -> None:
    import onnx

    path = export("resnet18", tmp_path / "model.onnx", dynamo=False)
    whole = read_onnx(path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    apart = read_onnx(path)
    assert apart.workload.key == whole.workload.key
    for index, arrays in whole.weights.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, apart.weights[index][key])


def test_a_dynamic_batch_is_fixed_by_a_given_shape(tmp_path: Path) -> None:
    path, image = tmp_path / "model.onnx", torch.zeros(1, 3, exported_models.SIDE, exported_models.SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported_models.network("shufflenet_v2"),
            (image,),
            path,
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "batch"}},
        )
    imported = read_onnx(path, {"": (2, *image.shape[1:])})
    assert imported.unsupported == ()
    inputs = seeded_inputs(imported.workload)
    with torch.no_grad():
        wanted = exported_models.network("shufflenet_v2")(torch.from_numpy(inputs[0]))
    (found,) = run_onnx(build_onnx(imported.workload, imported.weights), inputs)
    assert relative_error(wanted.numpy(), found) <= FP32_ERROR
