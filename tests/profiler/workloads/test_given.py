"""A file that is given, measured as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from artefact_runners import run_onnx, run_tflite

from profiler.errors import ArtefactError, ConfigError
from profiler.fleet.sessions.session import BoardSession
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.local import LocalTransport
from profiler.measure.campaign import Campaign
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import model_jobs
from profiler.measure.journal import read_journal
from profiler.workloads.artefacts import ArtefactCache, lower
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.tflite import build_tflite_int8
from profiler.workloads.given import GivenFile
from profiler.workloads.graph import Workload
from profiler.workloads.weights import Weights, seeded_inputs, seeded_weights

CONFIG = MeasureConfig(
    rounds=1, min_batch_s=0.0005, warmup_runs=1, warmup_s=0.0, min_batches=3, target_half_width=0.5, cap_s=0.05,
    cool_s=0.0, sentinel_jobs=0, retries=0,
)  # fmt: skip


def network() -> Workload:
    b = WorkloadBuilder("tiny")
    x = b.relu(b.conv2d(b.input((1, 3, 8, 8)), 8, kernel=3))
    return b.build(b.linear(b.flatten(b.global_avg_pool(x)), 4))


def other_weights() -> Weights:
    return {i: {n: 3 * a for n, a in group.items()} for i, group in seeded_weights(network()).items()}


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "trained.onnx"
    path.write_bytes(build_onnx(network(), other_weights()))
    return path


def test_the_file_is_the_artefact_and_its_own_output_is_expected(onnx: Path, tmp_path: Path) -> None:
    artefact = GivenFile(onnx, network(), "fp32").get(network(), "onnxruntime", "fp32")
    seeded = ArtefactCache(tmp_path / "cache").get(network(), "onnxruntime", "fp32")
    assert (artefact.path, artefact.inputs, artefact.layout) == (onnx, seeded.inputs, seeded.layout)
    assert artefact.sha256 != seeded.sha256
    flat = run_onnx(onnx.read_bytes(), seeded_inputs(network()))[0].ravel()
    np.testing.assert_allclose(artefact.expected.values, flat[list(artefact.expected.indices)], rtol=1e-6)
    assert artefact.expected.values != seeded.expected.values


def test_an_int8_tflite_file(tmp_path: Path) -> None:
    path = tmp_path / "trained.tflite"
    path.write_bytes(build_tflite_int8(network(), other_weights()))
    artefact = GivenFile(path, network(), "int8").get(network(), "litert", "int8")
    flat = run_tflite(path.read_bytes(), seeded_inputs(network()))[0].ravel()
    np.testing.assert_allclose(artefact.expected.values, flat[list(artefact.expected.indices)], rtol=1e-6)


def test_a_board_measures_the_file_and_its_output_is_checked(onnx: Path, tmp_path: Path) -> None:
    target = Target("here", "onnxruntime", "fp32")
    device = Device(
        "here", "localhost", "me", (target,), python=sys.executable, workdir="~/work", machine=tmp_path.name
    )
    (tmp_path / "home").mkdir()

    def connect(device: Device, session: str) -> BoardSession:
        return BoardSession(device, LocalTransport(tmp_path / "home", device.id), session)

    source = GivenFile(onnx, network(), "fp32")
    result = Campaign(connect, source, tmp_path / "results", CONFIG).run(device, target, model_jobs([network()]), "r1")
    assert result.failures == {}
    (record,) = read_journal(result.run_dir / "journal.jsonl").measurements
    assert record.output_error is not None
    assert record.output_error < 1e-5
    assert record.artefact_sha256 == source.get(network(), "onnxruntime", "fp32").sha256


def test_what_the_file_is_not_is_refused(onnx: Path, tmp_path: Path) -> None:
    source = GivenFile(onnx, network(), "fp32")
    b = WorkloadBuilder("another")
    another = b.build(b.relu(b.input((1, 4))))
    for workload, runtime, precision in (
        (another, "onnxruntime", "fp32"),
        (network(), "onnxruntime", "int8"),
        (network(), "litert", "fp32"),
    ):
        with pytest.raises(ArtefactError, match=r"trained\.onnx is tiny in fp32; it cannot be measured as"):
            source.get(workload, runtime, precision)
    with pytest.raises(ConfigError, match=r"cannot read .*nothing\.onnx"):
        GivenFile(tmp_path / "nothing.onnx", network(), "fp32")
    script = tmp_path / "it.torchscript"
    script.write_bytes(lower(network(), "torch", "fp32"))
    with pytest.raises(ArtefactError, match=r"runs \.onnx and \.tflite files, not \.torchscript"):
        GivenFile(script, network(), "fp32").get(network(), "torch", "fp32")
