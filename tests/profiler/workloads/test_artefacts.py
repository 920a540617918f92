from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import sample_workloads
from artefact_runners import run_onnx

from profiler.errors import ArtefactError, StorageError, UnsupportedOperator
from profiler.workloads import artefacts
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.expected import expected_int8_output, expected_output
from profiler.workloads.weights import seeded_inputs

WORKLOAD = sample_workloads.operators()["conv batch_norm"]


@pytest.fixture
def cache(tmp_path):
    return ArtefactCache(tmp_path / "artefacts")


@pytest.fixture
def lowerings(monkeypatch):
    """Counts how often anything is lowered."""
    made = []
    lower = artefacts.lower

    def counting(workload, runtime, precision):
        made.append((workload.key, runtime, precision))
        return lower(workload, runtime, precision)

    monkeypatch.setattr(artefacts, "lower", counting)
    return made


def test_artefact_is_described(cache):
    artefact = cache.get(WORKLOAD, "onnxruntime", "fp32")
    assert artefact.path.read_bytes() == build_onnx(WORKLOAD)
    assert (artefact.format, artefact.layout) == ("onnx", "nchw")
    assert (artefact.runtime, artefact.precision) == ("onnxruntime", "fp32")
    assert artefact.workload_key == WORKLOAD.key
    assert artefact.inputs == ((1, 8, 12, 12),)


@pytest.mark.parametrize(
    ("runtime", "precision", "form", "layout"),
    [
        ("onnxruntime", "int8", "onnx", "nchw"),
        ("litert", "fp32", "tflite", "nhwc"),
        ("litert", "int8", "tflite", "nhwc"),
        ("torch", "fp32", "torchscript", "nchw"),
    ],
)
def test_every_target_has_its_form(cache, runtime, precision, form, layout):
    artefact = cache.get(WORKLOAD, runtime, precision)
    assert (artefact.format, artefact.layout) == (form, layout)
    assert artefact.path.suffix == f".{form}"
    if precision == "fp32":  # what to expect is the float32 answer, whoever is asked
        assert artefact.expected == expected_output(WORKLOAD)
        return
    # what to expect of int8 is what the very file yields here, which is near the float32 answer and not equal to it
    expected = artefact.expected
    assert expected == expected_int8_output(WORKLOAD, runtime, artefact.path.read_bytes())
    truth = np.array(expected_output(WORKLOAD).values)
    assert 0 < np.abs(np.array(expected.values) - truth).max() < 0.1 * np.abs(truth).max()


def test_second_call_reads(cache, lowerings):
    first = cache.get(WORKLOAD, "onnxruntime", "fp32")
    again = ArtefactCache(cache.root).get(WORKLOAD, "onnxruntime", "fp32")
    assert again == first
    assert len(lowerings) == 1


def test_workload_seed_runtime_precision_and_version_have_addresses_of_their_own(cache, lowerings, monkeypatch):
    cache.get(WORKLOAD, "onnxruntime", "fp32")
    cache.get(WORKLOAD, "onnxruntime", "int8")
    cache.get(replace(WORKLOAD, seed=1), "onnxruntime", "fp32")
    cache.get(sample_workloads.mixconv(), "onnxruntime", "fp32")
    monkeypatch.setattr(artefacts, "LOWERING_VERSION", artefacts.LOWERING_VERSION + 1)
    cache.get(WORKLOAD, "onnxruntime", "fp32")
    assert len(lowerings) == 5
    cache.get(replace(WORKLOAD, name="another name"), "onnxruntime", "fp32")
    assert len(lowerings) == 5


@pytest.mark.parametrize("damage", ["truncate", "swap", "remove", "description"])
def test_damaged_entries_are_made_anew(cache, lowerings, damage):
    artefact = cache.get(WORKLOAD, "onnxruntime", "fp32")
    good = artefact.path.read_bytes()
    if damage == "truncate":
        artefact.path.write_bytes(good[:100])
    elif damage == "swap":
        artefact.path.write_bytes(b"\0" + good[1:])
    elif damage == "remove":
        artefact.path.unlink()
    else:
        entry = next(p for p in cache.root.rglob("*.json") if "expected" not in p.name)
        entry.write_text(entry.read_text()[:50])
    again = cache.get(WORKLOAD, "onnxruntime", "fp32")
    assert again == artefact
    assert again.path.read_bytes() == good
    assert len(lowerings) == 2


def test_description_cannot_lead_out_of_the_folder(cache, tmp_path, lowerings):
    artefact = cache.get(WORKLOAD, "onnxruntime", "fp32")
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(artefact.path.read_bytes())
    entry = next(p for p in cache.root.rglob("*.json") if "expected" not in p.name)
    raw = json.loads(entry.read_text())
    entry.write_text(json.dumps({**raw, "path": "../../outside.onnx"}))
    assert cache.get(WORKLOAD, "onnxruntime", "fp32").path == artefact.path


def test_nothing_half_written_stays(cache, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artefacts.Path, "replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        cache.get(WORKLOAD, "onnxruntime", "fp32")
    assert [p for p in cache.root.rglob("*") if p.is_file()] == []


def test_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        ArtefactCache(tmp_path / "file").get(WORKLOAD, "onnxruntime", "fp32")


def test_no_lowering_for_torch_int8(cache):
    with pytest.raises(UnsupportedOperator, match="torch int8"):
        cache.get(WORKLOAD, "torch", "int8")


def test_expected_is_a_sample_of_the_output():
    expected = expected_output(WORKLOAD)
    flat = run_onnx(build_onnx(WORKLOAD), seeded_inputs(WORKLOAD))[0].reshape(-1)
    assert expected.size == flat.size == 16 * 12 * 12
    assert len(expected.indices) == len(set(expected.indices)) == 64
    np.testing.assert_array_equal(flat[list(expected.indices)], np.float32(expected.values))
    assert expected.rms == pytest.approx(np.sqrt(np.mean(flat.astype(np.float64) ** 2)))


def test_small_outputs_are_expected_whole():
    expected = expected_output(sample_workloads.operators()["linear vector"])
    assert expected.indices == tuple(range(10))


def test_zeros_are_expected_as_zeros():
    expected = expected_output(sample_workloads.operators()["zero"])
    assert set(expected.values) == {0.0}
    assert expected.rms == 0.0


def test_outputs_that_are_not_finite_are_refused():
    b = WorkloadBuilder("overflowing")
    x = b.batch_norm(b.conv2d(b.input((1, 4, 4, 4)), 4))
    for _ in range(130):
        x = b.add(x, x)
    with pytest.raises(ArtefactError, match="overflowing yields values that are not finite"):
        expected_output(b.build(x))


def test_torch_is_not_loaded_for_other_runtimes(tmp_path):
    """A campaign without torch targets must stay small in memory."""
    code = (
        "import sys; from pathlib import Path; import sample_workloads\n"
        "from profiler.workloads.artefacts import ArtefactCache\n"
        "assert 'onnxruntime' not in sys.modules and 'onnx' not in sys.modules\n"
        "cache = ArtefactCache(Path(sys.argv[1]))\n"
        "workload = sample_workloads.operators()['relu']\n"
        "for precision in ('fp32', 'int8'):\n"
        "    cache.get(workload, 'onnxruntime', precision)\n"
        "    cache.get(workload, 'litert', precision)\n"
        "assert 'torch' not in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
