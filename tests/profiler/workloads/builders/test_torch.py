from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import sample_workloads
import torch
from artefact_runners import relative_error, run_onnx, run_torchscript

from profiler.errors import ArtefactError, ConfigError
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.onnx import build_onnx
from profiler.workloads.builders.torch import build_module, build_torchscript, module_weights, reset
from profiler.workloads.weights import seeded_inputs, seeded_weights


def tensors(workload, seed=0):
    return [torch.from_numpy(x) for x in seeded_inputs(workload, seed)]


def wide_padding(kind):
    """Pooling that torch has no padding for: more than half a window, and on one side only."""
    b = WorkloadBuilder(kind)
    x = b.input((1, 3, 9, 9))
    options = {"kernel": (3, 2), "stride": (2, 1), "padding": (2, 0, 1, 1)}
    if kind == "max_pool":
        return b.build(b.op(kind, x, **options))
    return b.build(b.op("avg_pool", x, count_include_pad=kind == "counted", **options))


@pytest.mark.parametrize("kind", ["max_pool", "counted", "uncounted"])
def test_pooling_with_any_padding(kind):
    workload = wide_padding(kind)
    (wanted,) = run_onnx(build_onnx(workload), seeded_inputs(workload))
    with torch.no_grad():
        got = build_module(workload).eval()(*tensors(workload))
    assert relative_error(wanted, got.numpy()) < 1e-6


@pytest.mark.parametrize("name", ["nb201 cell", "nb201 cell cut off", "mbconv", "mixconv"])
def test_any_batch_size(name):
    workload = sample_workloads.blocks()[name]
    module = build_module(workload).eval()
    images = [torch.cat([a, b, a]) for a, b in zip(tensors(workload), tensors(workload, 1), strict=True)]
    with torch.no_grad():
        together = module(*images)
        alone = module(*tensors(workload, 1))
    assert together.shape[0] == 3
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
def test_reshaping_within_an_image_takes_any_batch():
    # a channel shuffle; its traced form has constants for shapes
    b = WorkloadBuilder("shuffle")
    x = b.op("reshape", b.conv2d(b.input((1, 3, 6, 6)), 4, kernel=3), shape=(1, 2, 2, 6, 6))
    workload = b.build(b.op("reshape", b.op("transpose", x, perm=(0, 2, 1, 3, 4)), shape=(1, 4, 6, 6)))
    module = build_module(workload).eval()
    images = torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = module(images), torch.cat([module(image[None]) for image in images])
    torch.testing.assert_close(together, alone)
    traced = torch.jit.load(io.BytesIO(build_torchscript(workload)))
    assert "aten::size" not in str(traced.graph)


def test_taps():
    workload = sample_workloads.mobilenet_v2(size=32)
    middle = [(i, 0) for i, op in enumerate(workload.ops) if op.kind == "add"][:2]
    image = tensors(workload)
    module = build_module(workload, taps=middle).eval()
    with torch.no_grad():
        output, tapped = module(*image)
        assert [tuple(t.shape) for t in tapped] == [workload.shape(ref) for ref in middle]
        torch.testing.assert_close(output, build_module(workload).eval()(*image))
        cut = build_module(workload.pruned(), taps=()).workload
        assert cut.key == workload.key


def test_a_tap_keeps_what_no_output_needs():
    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    side = b.sigmoid(x)
    workload = b.build(b.relu(x))
    with torch.no_grad():
        output, (tapped,) = build_module(workload, taps=[side])(*tensors(workload))
    torch.testing.assert_close(tapped, torch.sigmoid(tensors(workload)[0]))
    assert output.min() == 0


def test_taps_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match=r"\(99, 0\) to tap"):
        build_module(sample_workloads.mbconv(), taps=[(99, 0)])


def test_several_outputs_come_as_a_tuple():
    workload = sample_workloads.operators()["several inputs and outputs"]
    with torch.no_grad():
        outputs = build_module(workload)(*tensors(workload))
    assert [tuple(y.shape) for y in outputs] == [workload.shape(ref) for ref in workload.outputs]


def test_weights_come_back_as_they_went_in():
    workload = sample_workloads.nb201_net(cells=1)
    weights = seeded_weights(workload)
    back = module_weights(build_module(workload, weights))
    assert back.keys() == weights.keys()
    for index, arrays in weights.items():
        assert back[index].keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[index][name], array)


def test_trained_weights_are_exported():
    """A few steps of training lower the loss and move the statistics; the ONNX file then computes the trained net."""
    workload = sample_workloads.nb201_net((3, 1, 2, 4, 0, 3), channels=4, cells=1, size=8)
    generator = torch.Generator().manual_seed(0)
    module = build_module(workload)
    reset(module, generator)
    before = module_weights(module)
    images = torch.rand(16, 3, 8, 8, generator=generator)
    labels = torch.arange(16) % 10
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module.train()(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    trained = module_weights(module)
    norm = next(i for i, op in enumerate(workload.ops) if op.kind == "batch_norm")
    assert not np.array_equal(trained[norm]["running_mean"], before[norm]["running_mean"])
    with torch.no_grad():
        wanted = module.eval()(images[:1]).numpy()
    (got,) = run_onnx(build_onnx(workload, trained), [images[:1].numpy()])
    assert relative_error(wanted, got) < 1e-4


def test_exported_weights_do_not_follow_the_module():
    module = build_module(sample_workloads.operators()["linear"])
    weights = module_weights(module)
    before = weights[2]["weight"].copy()
    with torch.no_grad():
        module.parts["2"].weight.zero_()
    np.testing.assert_array_equal(weights[2]["weight"], before)


def test_reset_follows_the_generator_alone():
    workload = sample_workloads.mbconv()
    module = build_module(workload)

    def drawn(seed):
        reset(module, torch.Generator().manual_seed(seed))
        return b"".join(a.tobytes() for arrays in module_weights(module).values() for a in arrays.values())

    assert drawn(1) == drawn(1) != drawn(2)


def test_building_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    build_module(sample_workloads.mbconv())
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ArtefactError, match="needs weights"):
        build_module(sample_workloads.mbconv(), {})


def test_torchscript_has_norms_folded_and_zeros_constant():
    import io
    import warnings

    b = WorkloadBuilder()
    x = b.input((1, 4, 8, 8))
    workload = b.build(b.concat(b.batch_norm(b.conv2d(x, 4, 3)), b.zero(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = str(torch.jit.load(io.BytesIO(build_torchscript(workload))).graph)
    assert "batch_norm" not in graph
    assert "aten::size" not in graph
    assert "aten::zeros" not in graph


def test_torchscript_loads_without_our_code(tmp_path):
    workload = sample_workloads.mixconv()
    path = tmp_path / "mixconv.pt"
    path.write_bytes(build_torchscript(workload))
    code = (
        "import sys, torch; module = torch.jit.load(sys.argv[1])\n"
        "assert module(torch.zeros(1, 32, 14, 14)).shape == (1, 32, 14, 14)\n"
        "assert not any(name.split('.')[0] in ('profiler', 'edgecost') for name in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_torchscript_of_constants_alone():
    workload = sample_workloads.operators()["zero"]
    (output,) = run_torchscript(build_torchscript(workload), seeded_inputs(workload))
    assert output.shape == (1, 8, 12, 12)
    assert not output.any()
