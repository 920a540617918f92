"""The classic networks are the published ones at full size, and every lowering of them agrees at a small one."""

from __future__ import annotations

from functools import cache

import pytest
from artefact_runners import relative_error, run_onnx, run_tflite, run_torchscript, snr_db

from profiler.errors import ConfigError, UnsupportedOperator
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.onnx_int8 import build_onnx_int8
from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8
from profiler.workloads.builders.torch import build_torchscript
from profiler.workloads.graph import Workload
from profiler.workloads.transform import simplify
from profiler.workloads.weights import seeded_inputs, seeded_weights
from profiler.workloads.zoo import CLASSICS
from profiler.workloads.zoo.layers import divisible

TORCHVISION = {
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "densenet121": (7_978_856, 2_834_161_664),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "googlenet": (6_624_904, 1_498_376_192),
    "mnasnet1_0": (4_383_312, 314_415_872),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "mobilenet_v3_large": (5_483_032, 216_589_760),
    "mobilenet_v3_small": (2_542_856, 56_510_400),
    "regnet_x_400mf": (5_495_976, 413_812_608),
    "regnet_y_400mf": (4_344_144, 401_842_848),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "shufflenet_v2": (2_278_604, 144_907_992),
    "squeezenet1_1": (1_235_496, 349_151_936),
    "vgg11": (132_863_336, 7_609_090_048),
}
"""Parameters and multiply-accumulates at 224 of torchvision 0.29.2's networks without weights: the sizes of
`parameters()`, and half of what torch.utils.flop_counter counts of one forward pass."""

PUBLISHED = {
    "mobilenet_v1": (4_231_976, 569e6),  # Keras' trainable parameters; multiply-adds of the paper's table 8
    "regnet_x_200mf": (2_684_792, 200e6),  # timm's regnetx_002; the size that its name says
    "regnet_y_200mf": (3_162_996, 200e6),  # timm's regnety_002
    "vgg16": (138_357_544, 15.47e9),  # torchvision's documentation
    "vit_b_16": (86_567_656, 17.56e9),  # the same
    "vit_tiny_16": (5_717_416, 1.2537e9),  # torchvision 0.28.0's VisionTransformer(224, 16, 12, 3, 192, 768)
}
"""The same of those that torchvision lacks, or whose count was not made: multiply-accumulates are rounded."""

SMALL = {"densenet121": {"depths": (2, 2, 2, 2)}, "convnext_tiny": {"depths": (1, 1, 1, 1)}}
NORMED = ("convnext_tiny", "vit_b_16", "vit_tiny_16")
"""Those of layer norms, for which full int8 has no .tflite kernel, and ONNX's int8 is coarser than on convolutions."""
FP32_ERROR = 1e-4
INT8_SNR_DB = 20.0


@cache
def small(name: str) -> Workload:
    return CLASSICS[name](0.25, 64, 10, **SMALL.get(name, {}))


@cache
def reference(name: str):
    return run_onnx(build_onnx(small(name)), seeded_inputs(small(name)))[0]


@cache
def quantised(name: str) -> Workload:
    """What is held against fp32 in int8: the network, or its beginning where it is one whose signal gets lost.

    EfficientNet's gates and products leave it less at every block, in both formats alike: 23 dB behind the first
    residual block, about 10 behind the last, with weights that nobody has trained.
    """
    work = small(name)
    if name != "efficientnet_b0":
        return work
    first = next(i for i, op in enumerate(work.ops) if op.kind == "add")
    return Workload(work.ops, ((first, 0),), work.name, seed=work.seed).pruned()


def test_every_classic_has_a_published_count():
    assert {*TORCHVISION, *PUBLISHED} == set(CLASSICS)


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_macs_are_those_of_torchvision(name: str):
    work = CLASSICS[name]()
    assert (work.params, work.macs) == TORCHVISION[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name: str):
    work = CLASSICS[name]()
    params, macs = PUBLISHED[name]
    scales = sum(op.kind == "constant" and work.op_params(i) == 1 for i, op in enumerate(work.ops))
    assert work.params - scales == params  # the scale of an attention is a number in its formula, and not trained
    assert work.macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize("name", CLASSICS)
def test_folding_norms_leaves_one_bias_a_channel(name: str):
    """A folded norm has no scale and shift of its own, and its convolution, which had none, has a bias."""
    work = small(name)
    folded, _ = simplify(work, seeded_weights(work))
    kinds = [op.kind for op in work.ops]
    norms = [i for i, op in enumerate(work.ops) if op.kind == "batch_norm" and kinds[op.inputs[0][0]] == "conv2d"]
    assert len(work.ops) - len(folded.ops) == len(norms)
    assert folded.params == work.params - sum(work.shapes[i][0][1] for i in norms)


@pytest.mark.parametrize("name", CLASSICS)
def test_width_and_resolution_change_what_is_computed(name: str):
    half, half_size = CLASSICS[name](0.5, 128), CLASSICS[name](1.0, 64)
    whole = CLASSICS[name](1.0, 128)
    assert half.params < whole.params
    assert half_size.macs < whole.macs
    assert {half.name, half_size.name, whole.name} == {f"{name} x0.5 @128", f"{name} x1 @64", f"{name} x1 @128"}


@pytest.mark.parametrize(
    ("build", "run"), [(build_torchscript, run_torchscript), (build_tflite, run_tflite)], ids=["torch", "tflite"]
)
@pytest.mark.parametrize("name", CLASSICS)
def test_fp32_lowerings_agree(name: str, build, run):
    got = run(build(small(name)), seeded_inputs(small(name)))[0]
    assert relative_error(reference(name), got) <= FP32_ERROR


@pytest.mark.parametrize(
    ("build", "run"), [(build_onnx_int8, run_onnx), (build_tflite_int8, run_tflite)], ids=["onnx", "tflite"]
)
@pytest.mark.parametrize("name", [name for name in CLASSICS if name not in NORMED])
def test_int8_lowerings_are_near_fp32(name: str, build, run):
    work = quantised(name)
    inputs = seeded_inputs(work)
    assert snr_db(run_onnx(build_onnx(work), inputs)[0], run(build(work), inputs)[0]) >= INT8_SNR_DB


@pytest.mark.parametrize("name", NORMED)
def test_networks_of_layer_norms_have_an_onnx_int8_and_no_tflite_one(name: str):
    work = small(name)
    got = run_onnx(build_onnx_int8(work), seeded_inputs(work))[0]
    assert snr_db(reference(name), got) >= 10.0
    with pytest.raises(UnsupportedOperator, match="layer_norm"):
        build_tflite_int8(work)


def test_a_vision_transformer_takes_whole_patches_only():
    with pytest.raises(ConfigError, match="patches of 16 pixels"):
        CLASSICS["vit_tiny_16"](1.0, 100)


def test_shufflenet_has_the_published_channels_at_its_published_widths():
    """torchvision's parameters() of shufflenet_v2_x0_5, x1_5 and x2_0, as its documentation has them."""
    found = [CLASSICS["shufflenet_v2"](width).params for width in (0.5, 1.5, 2.0)]
    assert found == [1_366_792, 3_503_624, 7_393_996]


def test_widths_round_as_in_mobile_networks():
    """MobileNet V2's rule: multiples of 8, and never less than nine tenths of what was asked for."""
    assert [divisible(c) for c in (1, 12, 18, 26.9, 32, 99)] == [8, 16, 24, 32, 32, 96]
