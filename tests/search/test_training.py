import math

import numpy as np
import pytest
import torch

from profiler.errors import ConfigError
from profiler.workloads.builders.torch import WorkloadModule, module_weights
from search.training import _batches, accuracy, learning_rate_at, train_classifier

ARCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
CUT_OFF = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def network(space, text=ARCH):
    return WorkloadModule(space.workload(space.parse(text), cells_per_stage=1, channels=4, num_classes=3, image_size=8))


def test_learns_an_easy_task(space, toy_images):
    module = network(space)
    assert train_classifier(module, toy_images, 25, 0, batch_size=16, image_size=8) > 0.9
    assert not module.training


def test_what_diverges_has_no_accuracy(space, toy_images):
    module = network(space)
    assert math.isnan(train_classifier(module, toy_images, 6, 0, batch_size=16, image_size=8, learning_rate=1e30))
    assert not module.training


def test_is_a_function_of_the_seed(space, toy_images):
    weights = []
    for seed in (0, 0, 1):
        module = network(space)
        train_classifier(module, toy_images, 3, seed, batch_size=16, image_size=8)
        weights.append(np.concatenate([a.ravel() for g in module_weights(module).values() for a in g.values()]))
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_training_forgets_what_the_module_held(space, toy_images):
    module = network(space)
    train_classifier(module, toy_images, 3, 0, batch_size=16, image_size=8)
    again = train_classifier(module, toy_images, 3, 0, batch_size=16, image_size=8)
    assert again == train_classifier(network(space), toy_images, 3, 0, batch_size=16, image_size=8)


def test_a_network_cut_off_from_its_input_trains_to_a_guess(space, toy_images):
    assert train_classifier(network(space, CUT_OFF), toy_images, 3, 0, batch_size=16, image_size=8) == pytest.approx(
        1 / 3
    )


def test_accuracy_counts_over_batches():
    class First(torch.nn.Module):
        def forward(self, x):
            return x[:, :2, 0, 0]

    images = np.zeros((600, 2, 1, 1), dtype=np.float32)
    images[:, 1] = 1.0
    labels = np.array([1] * 450 + [0] * 150)
    assert accuracy(First(), images, labels) == 0.75


def test_an_epoch_shows_every_image_once():
    batches = _batches(50, 10, 12, np.random.default_rng(0))
    assert len(batches) == 12
    assert sorted(np.concatenate(batches[:5])) == list(range(50))
    assert not np.array_equal(batches[0], batches[5])


def test_the_learning_rate_rises_and_falls_to_zero():
    rates = [learning_rate_at(step, 100) for step in range(101)]
    assert max(rates) == rates[20] == 1.0
    assert rates[0] < 0.06
    assert rates[100] == pytest.approx(0.0)
    assert learning_rate_at(0, 1) > 0


def test_no_steps_are_refused(space, toy_images):
    with pytest.raises(ConfigError):
        train_classifier(network(space), toy_images, 0, 0, image_size=8)
