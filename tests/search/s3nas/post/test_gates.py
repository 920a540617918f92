"""Scores of gates: by hand, in batches, and of a network that was really trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from profiler.errors import ArtefactError, ConfigError
from profiler.workloads.builders.torch import build_module, module_weights
from profiler.workloads.weights import Weights
from search.data import ImageSet
from search.s3nas.post.gates import gate_variability, lowest, spread_batches, task_gates
from search.s3nas.post.transforms import remove_se, with_activation, with_se
from search.spaces.network import Block, Network, Stage, assemble, network_workload
from search.spaces.supernet import Head, Stem
from search.tasks import ArraySplit, task_of
from search.training import train_classifier

NETWORK = with_se(Network(
    "made-up", 16, 3, Stem(8, 3, 2),
    (Stage(8, 1, (Block(((3, 2),)), Block(((3, 2), (5, 2))))), Stage(16, 2, (Block(((5, 2),)),))), Head(16),
))  # fmt: skip


@pytest.fixture(scope="module")
def trained(toy_images: ImageSet) -> tuple[float, Weights]:
    """A small network, trained for a few seconds."""
    module = build_module(network_workload(NETWORK))
    accuracy = train_classifier(module, toy_images, 30, 0, batch_size=24, image_size=16)
    return accuracy, module_weights(module)


def images(toy_images: ImageSet) -> NDArray[np.float32]:
    return task_of(toy_images).at(16).train.batch(np.arange(48))


def test_scores_of_a_trained_network_are_those_by_hand(trained: tuple[float, Weights], toy_images: ImageSet) -> None:
    accuracy, weights = trained
    assert accuracy > 0.9
    workload, places = assemble(NETWORK)
    module = build_module(workload, weights, [(gate, 0) for gate in places.gates if gate is not None]).eval()
    with torch.inference_mode():
        gates = module(torch.from_numpy(images(toy_images)))[1]
    expected = [float(gate.flatten(1).double().std(dim=0, correction=0).mean()) for gate in gates]
    found = gate_variability(NETWORK, weights, [images(toy_images)])
    assert found == pytest.approx(expected, rel=1e-6)
    assert ((found > 0.0) & (found < 0.5)).all()
    assert len(set(found)) == 3


def test_batches_change_nothing(trained: tuple[float, Weights], toy_images: ImageSet) -> None:
    whole = images(toy_images)
    batches = [whole[:5], whole[5:6], whole[6:48]]
    found = gate_variability(NETWORK, trained[1], batches)
    assert found == pytest.approx(gate_variability(NETWORK, trained[1], [whole]), rel=1e-5)


def test_a_gate_that_never_moves_scores_nothing(trained: tuple[float, Weights], toy_images: ImageSet) -> None:
    workload, places = assemble(NETWORK)
    gate = places.gates[1]
    assert gate is not None
    conv = workload.ops[gate].inputs[0][0]
    still = {index: dict(arrays) for index, arrays in trained[1].items()}
    still[conv]["weight"] = np.zeros_like(still[conv]["weight"])
    found = gate_variability(NETWORK, still, [images(toy_images)])
    assert found[1] == pytest.approx(0.0, abs=1e-12)
    assert lowest(found, 1) == (1,)


def test_blocks_without_a_gate_have_no_score(toy_images: ImageSet) -> None:
    network = with_activation(remove_se(NETWORK, [0]), "hswish")
    weights = module_weights(build_module(network_workload(network)))
    found = gate_variability(network, weights, [images(toy_images)])
    assert np.isnan(found).tolist() == [True, False, False]


def test_what_cannot_be_judged_is_an_error(trained: tuple[float, Weights], toy_images: ImageSet) -> None:
    bare = remove_se(NETWORK, [0, 1, 2])
    with pytest.raises(ConfigError, match="no gate to judge"):
        gate_variability(bare, trained[1], [images(toy_images)])
    for batches in ([], [images(toy_images)[:1]]):
        with pytest.raises(ConfigError, match="two at least"):
            gate_variability(NETWORK, trained[1], batches)
    with pytest.raises(ArtefactError):
        gate_variability(remove_se(NETWORK, [0]), trained[1], [images(toy_images)])


def test_the_lowest_are_first_and_unknown_ones_never() -> None:
    scores = np.array([0.3, np.nan, 0.1, 0.3, 0.05])
    assert [lowest(scores, n) for n in (0, 1, 3)] == [(), (4,), (4, 2, 0)]
    assert lowest(scores, 4) == (4, 2, 0, 3)
    assert lowest(np.full(200, 0.25), 90) == tuple(range(90))
    with pytest.raises(ConfigError, match="4 blocks have"):
        lowest(scores, 5)


def test_images_are_spread_over_a_sorted_split() -> None:
    split = ArraySplit(np.arange(100, dtype=np.float32).reshape(100, 1, 1, 1), np.arange(100) // 50)
    found = list(spread_batches(split, 5, 3))
    assert [len(b) for b in found] == [3, 2]
    assert np.concatenate(found).ravel().tolist() == [0.0, 25.0, 50.0, 74.0, 99.0]
    assert sum(len(b) for b in spread_batches(split, 1000, 64)) == 100


def test_a_task_is_judged_at_the_network_s_resolution(trained: tuple[float, Weights], toy_images: ImageSet) -> None:
    found = task_gates(task_of(toy_images), 48)(NETWORK, trained[1])
    assert found == pytest.approx(gate_variability(NETWORK, trained[1], [images(toy_images)]), rel=1e-5)
