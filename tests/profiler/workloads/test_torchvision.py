"""torchvision's own networks at full size, where it is installed: both exporters' files are read whole and alike."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.importer import read_onnx
from profiler.workloads.zoo import CLASSICS

pytest.importorskip("torchvision", reason="torchvision is not installed; its networks cannot be exported")

OURS = {
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "shufflenet_v2_x1_0": "shufflenet_v2",
    "squeezenet1_1": "squeezenet1_1",
    "regnet_x_400mf": "regnet_x_400mf",
    "efficientnet_b0": "efficientnet_b0",
}
"""torchvision's name -> that in our zoo."""


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = importlib.import_module("torchvision.models").get_model(name, weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # as after training: exporters leave zeros out, and then nothing is seen of the shifts
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    return model


def run(model: bytes | str, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", OURS)
def test_a_network_is_read_whole_and_is_the_one_of_the_zoo(name: str, dynamo: bool, tmp_path: Path) -> None:
    if dynamo:
        pytest.importorskip("onnxscript", reason="onnxscript is not installed; torch's newer exporter needs it")
    model, image = network(name), torch.randn(1, 3, 224, 224)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporters
        torch.onnx.export(model, (image,), path, dynamo=dynamo, **({"verbose": False} if dynamo else {}))
    imported = read_onnx(path)
    assert imported.unsupported == ()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    ours = CLASSICS[OURS[name]]()
    assert 2 * imported.workload.macs == counter.get_total_flops() == 2 * ours.macs
    assert sum(p.numel() for p in model.parameters()) == ours.params
    theirs = run(str(path), image.numpy())
    found = run(build_onnx(imported.workload, imported.weights), image.numpy())
    assert np.abs(found - theirs).max() <= 1e-4 * np.abs(theirs).max()
