import numpy as np
import pytest
from artefact_runners import relative_error, run_onnx, run_tflite, run_torchscript, snr_db

from profiler.errors import ConfigError
from profiler.tables.formats.hwnasbench import FBNET_OPERATORS, read_hwnasbench
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.torch import build_torchscript
from profiler.workloads.weights import seeded_inputs
from search.spaces import FBNet, find_space

SKIP = len(FBNET_OPERATORS) - 1


@pytest.fixture(scope="module")
def fbnet():
    return FBNet()


def test_it_is_found_by_name_and_has_9_to_the_22_architectures(fbnet):
    assert isinstance(find_space("fbnet"), FBNet)
    assert fbnet.size == 9**22
    assert len(fbnet.edge_groups) == 22
    assert len(set(fbnet.edge_groups)) == 12


def test_text_round_trips_by_code_and_by_name(fbnet):
    arch = fbnet.sample(np.random.default_rng(1))
    assert fbnet.parse(fbnet.describe(arch)) == arch
    assert fbnet.parse("k3_e1 k5_e1_g2 skip" + " 0" * 19).choices[:3] == (0, 5, SKIP)


@pytest.mark.parametrize("text", ["", "0 1 2", " ".join(["9"] * 22), "x" + " 0" * 21, "-1" + " 0" * 21])
def test_malformed_text_is_refused(fbnet, text):
    with pytest.raises(ConfigError):
        fbnet.parse(text)


def test_macs_by_hand(fbnet):
    bare = fbnet.workload(fbnet.architecture((SKIP,) * 22))
    one = fbnet.workload(fbnet.architecture((3, *(SKIP,) * 21)))  # k3 e6 at 16 -> 16 channels, 32 x 32
    grouped = fbnet.workload(fbnet.architecture((1, *(SKIP,) * 21)))  # k3 e1 in two groups
    pixels = 32 * 32
    assert one.macs - bare.macs == pixels * (16 * 96 + 9 * 96 + 96 * 16)
    assert grouped.macs - bare.macs == pixels * (16 * 8 + 9 * 16 + 16 * 8)


def test_a_network_is_the_sum_of_its_layers(fbnet):
    rng = np.random.default_rng(7)
    for _ in range(5):
        arch = fbnet.sample(rng)
        layers = [
            fbnet.layer_workload(place, choice)
            for place, choice in zip(fbnet.places, arch.choices, strict=True)
            if choice != SKIP or not place.residual
        ]
        whole = fbnet.workload(arch)
        parts = [*layers, *fbnet.fixed_workloads()]
        assert whole.macs == sum(w.macs for w in parts)
        assert whole.params == sum(w.params for w in parts)


def test_every_layer_of_the_published_table_is_one_of_the_space(fbnet, data_dir):
    table = read_hwnasbench(data_dir)
    ours = {(place, *operator) for place in fbnet.places for operator in FBNET_OPERATORS if operator is not None}
    theirs = {(b.place, b.kernel, b.expansion, b.groups) for g in (1, 2) for b in table.of("raspi4", g)}
    assert theirs == ours


def test_published_sums_are_those_of_the_measured_networks(fbnet, data_dir):
    import pandas as pd

    table = read_hwnasbench(data_dir)
    rows = pd.read_parquet(data_dir / "help_fbnet_latency.parquet")
    rows = rows[rows["device"] == "fpga"].head(50)
    for text, latency_ms in zip(rows["op_idx"], rows["latency_ms"], strict=True):
        assert table.network_ms("fpga", fbnet.parse(text).choices) == pytest.approx(latency_ms, rel=1e-6)


def test_skipped_layers_of_like_places_are_one_class(fbnet):
    a = [0] * 22
    b = [0] * 22
    a[2], b[3] = SKIP, SKIP  # both at 24 channels
    first, second = fbnet.architecture(tuple(a)), fbnet.architecture(tuple(b))
    assert fbnet.canonical(first) == fbnet.canonical(second)
    assert fbnet.representative(first) == fbnet.representative(second)
    assert fbnet.workload(first).key == fbnet.workload(second).key
    b[1] = SKIP  # where channels change: another network
    assert fbnet.canonical(fbnet.architecture(tuple(b))) != fbnet.canonical(first)


def test_sizes_that_cannot_be_are_refused(fbnet):
    arch = fbnet.architecture((0,) * 22)
    with pytest.raises(ConfigError, match="multiple of 8"):
        fbnet.workload(arch, image_size=36)
    with pytest.raises(ConfigError, match="no macro parameter 'depth'"):
        fbnet.workload(arch, depth=3)
    with pytest.raises(ConfigError, match="runs nothing"):
        fbnet.layer_workload(fbnet.places[2], SKIP)


def test_taps_and_grouped_layers_run(fbnet):
    import onnxruntime

    arch = fbnet.architecture((1, 5, *(SKIP,) * 20))
    workload, taps = fbnet.assemble(arch)
    assert [workload.shape(t)[1] for t in taps] == [24, 64, 1504]
    session = onnxruntime.InferenceSession(build_onnx(workload))
    (out,) = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 32, 32), np.float32)})
    assert out.shape == (1, 100)


@pytest.mark.parametrize("choice", [c for c, op in enumerate(FBNET_OPERATORS) if op is not None and op[2] > 1])
def test_grouped_layers_with_their_shuffles_agree_on_every_runtime(fbnet, choice):
    """At every place: fp32 as ONNX, .tflite and torch have it, full int8 as .tflite and ONNX have it."""
    for place in dict.fromkeys(fbnet.places):
        work = fbnet.layer_workload(place, choice)
        inputs = seeded_inputs(work)
        (wanted,) = run_onnx(build_onnx(work), inputs)
        for found in (run_tflite(build_tflite(work), inputs), run_torchscript(build_torchscript(work), inputs)):
            assert relative_error(wanted, found[0]) <= 1e-4, place
        for found in (run_tflite(build_tflite_int8(work), inputs), run_onnx(build_onnx_int8(work), inputs)):
            assert snr_db(wanted, found[0]) >= 20.0, place
