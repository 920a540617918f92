from dataclasses import replace

import numpy as np
import pytest
import torch

from profiler.errors import ConfigError, TrainingDiverged
from search.evrsnas.reference import read_reference, resnet20, trained_reference


def test_resnet20_is_the_published_network():
    workload, taps = resnet20()
    assert workload.params == 269_722
    assert workload.macs == 40_551_040
    assert [workload.shape(t) for t in taps] == [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    assert all(workload.ops[i].kind == "relu" for i, _ in taps)
    assert resnet20(image_size=16)[0].params == workload.params


def test_the_shortcuts_drop_pixels_and_pad_channels(toy_reference):
    """Against the definition written out with torch's functions, for the first halving block."""
    from profiler.workloads.builders.torch import WorkloadModule, build_module

    workload = toy_reference.workload
    add = next(i for i, op in enumerate(workload.ops) if op.kind == "add" and workload.shapes[i][0][1] == 32)
    concat = workload.ops[add].inputs[1]
    module = build_module(workload, toy_reference.weights, (toy_reference.taps[0], concat)).eval()
    assert isinstance(module, WorkloadModule)
    with torch.no_grad():
        _, (before, shortcut) = module(torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    expected = torch.nn.functional.pad(before[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
    torch.testing.assert_close(shortcut, expected)


def test_losses_are_cross_entropies(toy_reference, toy_images):
    losses = toy_reference.losses(toy_images.test_images, toy_images.test_labels)
    logits, features = toy_reference.features(toy_images.test_images)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits), torch.from_numpy(toy_images.test_labels), reduction="none"
    )
    assert losses == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-6)
    assert [f.shape[:2] for f in features] == [(24, 16), (24, 32), (24, 64)]


def test_features_do_not_depend_on_the_batch(toy_reference, toy_images):
    _, together = toy_reference.features(toy_images.test_images[:4])
    _, alone = toy_reference.features(toy_images.test_images[:1])
    assert together[2][:1] == pytest.approx(alone[2], rel=1e-3, abs=1e-4)


def test_weights_are_read_by_their_names(toy_weights, toy_reference, toy_images):
    read = read_reference(toy_weights, toy_images)
    assert read.digest == toy_reference.digest
    assert toy_weights.name in read.origin


def test_unfit_weight_files_are_refused(tmp_path, toy_weights, toy_images):
    with pytest.raises(ConfigError, match=r"nowhere\.npz"):
        read_reference(tmp_path / "nowhere.npz", toy_images)
    torn = tmp_path / "torn.npz"
    torn.write_bytes(toy_weights.read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"torn\.npz"):
        read_reference(torn, toy_images)
    arrays = dict(np.load(toy_weights))
    lacking = tmp_path / "lacking.npz"
    np.savez(lacking, **{k: v for k, v in arrays.items() if k != "layer2.1.bn2.running_var"})
    with pytest.raises(ConfigError, match=r"lacks 'layer2\.1\.bn2\.running_var'"):
        read_reference(lacking, toy_images)
    other = tmp_path / "other.npz"
    np.savez(other, **{**arrays, "linear.weight": np.zeros((10, 64), dtype=np.float32)})
    with pytest.raises(ConfigError, match=r"linear\.weight.*\(10, 64\).*\(3, 64\)"):
        read_reference(other, toy_images)


def test_an_object_array_is_not_unpickled(tmp_path, toy_images):
    path = tmp_path / "evil.npz"
    np.savez(path, **{"conv1.weight": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ConfigError, match=r"evil\.npz"):
        read_reference(path, toy_images)


def test_training_is_seeded_cached_and_mended(tmp_path, toy_images):
    first = trained_reference(toy_images, 3, tmp_path, steps=1)
    (cached,) = tmp_path.glob("reference-*.npz")
    again = trained_reference(toy_images, 3, tmp_path, steps=1)
    assert again.digest == first.digest
    assert again.accuracy == first.accuracy
    cached.write_bytes(cached.read_bytes()[:1000])
    mended = trained_reference(toy_images, 3, tmp_path, steps=1)
    assert mended.digest == first.digest
    assert trained_reference(toy_images, 4, tmp_path, steps=1).digest != first.digest
    assert len(list(tmp_path.glob("reference-*.npz"))) == 2


def test_a_reference_that_diverges_is_none_and_is_not_kept(tmp_path, toy_images):
    spoiled = replace(toy_images, train_images=np.full_like(toy_images.train_images, np.nan))
    with pytest.raises(TrainingDiverged, match="take another seed, or name weights with --reference"):
        trained_reference(spoiled, 3, tmp_path, steps=1)
    assert list(tmp_path.iterdir()) == []


def test_the_public_weights_reach_their_published_accuracy(data_dir):
    from search.data import load_images

    reference = read_reference(data_dir / "resnet20_cifar10.npz", load_images(str(data_dir)))
    assert reference.accuracy == pytest.approx(0.925, abs=0.002)
