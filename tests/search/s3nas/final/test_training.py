"""Training the final network: it learns, resumes to the same result, stops where it diverges, keeps averages."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from profiler.errors import ConfigError, TrainingDiverged
from profiler.workloads.builders.torch import build_module
from search.data import ImageSet
from search.s3nas.final.checkpoint import read_state
from search.s3nas.final.evaluation import accuracy_of
from search.s3nas.final.schedule import PUBLISHED, REDUCED
from search.s3nas.final.trained import CoursePoint, Trained
from search.s3nas.final.training import train_network
from search.spaces.mixconv import MixConv
from search.spaces.network import Network, assemble, network_workload
from search.spaces.supernet import read_supernet
from search.tasks import ArraySplit, Images, Indices, Task, task_of

SHORT = replace(REDUCED, length=6, warmup=1, batch_size=16, report_every=4, checkpoint_every=3, recalibration=32)


@pytest.fixture(scope="module")
def network() -> Network:
    """Two stages of the tiny supernet's kind, with residuals and two kernels in a block."""
    space = MixConv(read_supernet("tiny"))
    choices = [1 if len(block.choices) > 1 else 0 for block in space.superblocks]
    return space.network(space.architecture(tuple(choices)), num_classes=3)


@pytest.fixture(scope="module")
def task(toy_images: ImageSet) -> Task:
    return task_of(toy_images)


def flat(trained: Trained) -> NDArray[np.float32]:
    return np.concatenate([array.ravel() for group in trained.weights.values() for array in group.values()])


class Stopped(Exception):
    pass


def stop_at(step: int):
    def progress(point: CoursePoint, total: int) -> None:
        if point.step >= step:
            raise Stopped

    return progress


# ---------------------------------------------------------------- what comes out


def test_learns_an_easy_task_and_says_how(network: Network, task: Task) -> None:
    told: list[tuple[int, int]] = []
    schedule = replace(SHORT, length=30, warmup=6, report_every=10)
    trained = train_network(network, task, schedule, 0, progress=lambda point, n: told.append((point.step, n)))
    assert trained.accuracy > 0.9
    assert told == [(10, 30), (20, 30), (30, 30)]
    assert [point.step for point in trained.course] == [10, 20, 30]
    assert trained.course[-1].loss < trained.course[0].loss
    assert trained.course[-1].learning_rate == schedule.rate(29, 3, 16)
    assert trained.steps == 30
    assert trained.seconds > 0
    assert trained.facts["task"] == "toy"
    module = build_module(network_workload(network), trained.weights)
    assert accuracy_of(module, task.test) == trained.accuracy


def test_is_a_function_of_the_seed(network: Network, task: Task) -> None:
    first, again, other = (flat(train_network(network, task, SHORT, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_averages_are_kept_whatever_the_last_weights_reach(network: Network, task: Task) -> None:
    schedule = replace(SHORT, recalibration=0)
    averaged = train_network(network, task, replace(schedule, average=0.9), 0)
    last = train_network(network, task, replace(schedule, average=0.0), 0)
    assert averaged.last_accuracy == last.last_accuracy == last.accuracy
    assert not np.array_equal(flat(averaged), flat(last))


def test_statistics_are_taken_anew_from_training_images_as_they_are(network: Network, task: Task) -> None:
    trained = train_network(network, task, replace(SHORT, recalibration=1000, drop_connect=0.9, dropout=0.5), 0)
    workload = network_workload(network)
    conv, norm = workload.compute_ops[:2]
    module = build_module(workload, trained.weights)
    with torch.no_grad():
        seen = module.parts[str(conv)](torch.from_numpy(task.train.batch(np.arange(48))))
    np.testing.assert_allclose(trained.weights[norm]["running_mean"], seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(trained.weights[norm]["running_var"], seen.var((0, 2, 3)), rtol=1e-4)


def test_images_of_the_recalibration_are_drawn_at_random(network: Network, task: Task) -> None:
    """Files may hold them class by class."""

    class Asked(ArraySplit):
        __slots__ = ()
        indices: list[Indices] = []

        def batch(self, indices: Indices) -> Images:
            self.indices.append(indices)
            return super().batch(indices)

    asked = Asked(task.train.batch(np.arange(48)), task.train.labels)
    train_network(network, replace(task, train=asked), SHORT, 0)
    first, second = asked.indices[SHORT.steps(3) :]  # of the last weights and of the averages
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first), np.arange(48))
    assert not np.array_equal(first, np.arange(48))


def test_residual_blocks_begin_as_nothing_where_asked(network: Network, task: Task) -> None:
    still = replace(SHORT, length=1, warmup=0, learning_rate=1e-30, average=0.0)
    workload, places = assemble(network)
    bodies = [workload.ops[a].inputs[0][0] for a in places.additions if a is not None]
    assert bodies
    for zero, wanted in ((True, 0.0), (False, 1.0)):
        weights = train_network(network, task, replace(still, zero_residuals=zero), 0).weights
        for body in bodies:
            assert weights[body]["weight"] == pytest.approx(wanted)


def test_the_published_schedule_runs_in_steps(network: Network, task: Task) -> None:
    schedule = replace(PUBLISHED, length=2, warmup=1, batch_size=24)
    trained = train_network(network, task, schedule, 0)
    assert trained.steps == 4  # two epochs of two batches
    assert np.isfinite(flat(trained)).all()


def test_mixed_precision_trains_alike_but_not_the_same(network: Network, task: Task) -> None:
    full, mixed = (train_network(network, task, replace(SHORT, precision=p), 0) for p in ("fp32", "bf16"))
    assert not np.array_equal(flat(full), flat(mixed))
    assert mixed.course[-1].loss == pytest.approx(full.course[-1].loss, abs=0.1)


def test_images_are_brought_to_the_networks_resolution(network: Network, task: Task) -> None:
    larger = replace(network, resolution=36)
    trained = train_network(larger, task, replace(SHORT, length=2), 0)
    assert trained.facts["note"].endswith("scaled from 32 to 36 pixels")


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("optimiser", ["sgd", "rmsprop"])
def test_an_interrupted_training_comes_to_the_same(
    optimiser: str, network: Network, task: Task, tmp_path: Path
) -> None:
    rate = 0.4 if optimiser == "sgd" else 0.016
    schedule = replace(SHORT, optimiser=optimiser, learning_rate=rate, drop_connect=0.3, dropout=0.2)
    whole = train_network(network, task, schedule, 0)
    with pytest.raises(Stopped):
        train_network(network, task, schedule, 0, out_dir=tmp_path, progress=stop_at(4))
    state = read_state(tmp_path / "checkpoint.pt")
    assert state is not None
    assert state.step == 3
    resumed = train_network(network, task, schedule, 0, out_dir=tmp_path)
    assert np.array_equal(flat(whole), flat(resumed))
    assert (whole.accuracy, whole.last_accuracy, whole.course) == (
        resumed.accuracy, resumed.last_accuracy, resumed.course
    )  # fmt: skip
    assert resumed.seconds > state.seconds
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.yaml", "training.json", "weights.npz"]


def test_a_complete_training_is_read_and_not_done_again(network: Network, task: Task, tmp_path: Path) -> None:
    trained = train_network(network, task, SHORT, 0, out_dir=tmp_path)
    again = train_network(network, task, SHORT, 0, out_dir=tmp_path, progress=stop_at(0))
    assert np.array_equal(flat(trained), flat(again))


def test_ctrl_c_writes_a_checkpoint_first(network: Network, task: Task, tmp_path: Path) -> None:
    schedule = replace(SHORT, report_every=1, checkpoint_every=100)

    def interrupt(point: CoursePoint, total: int) -> None:
        if point.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_network(network, task, schedule, 0, out_dir=tmp_path, progress=interrupt)
    state = read_state(tmp_path / "checkpoint.pt")
    assert state is not None
    assert state.step == 2
    resumed = train_network(network, task, schedule, 0, out_dir=tmp_path)
    assert np.array_equal(flat(resumed), flat(train_network(network, task, schedule, 0)))


def test_another_training_in_the_folder_is_refused(network: Network, task: Task, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train_network(network, task, SHORT, 0, out_dir=tmp_path, progress=stop_at(4))
    with pytest.raises(ConfigError, match="holds another training"):
        train_network(network, task, SHORT, 1, out_dir=tmp_path)
    train_network(network, task, SHORT, 0, out_dir=tmp_path)
    with pytest.raises(ConfigError, match="holds another training"):
        train_network(network, task, replace(SHORT, length=5), 0, out_dir=tmp_path)
    train_network(network, task, replace(SHORT, report_every=1), 0, out_dir=tmp_path)  # does not change the result


# ---------------------------------------------------------------- what goes wrong


class Poisoned(ArraySplit):
    """Training images that are not finite in one batch."""

    __slots__ = ()
    poisoned_batch, served = 4, 0

    def batch(self, indices: Indices) -> Images:
        type(self).served += 1
        images = super().batch(indices)
        return images * np.float32(np.nan) if type(self).served == self.poisoned_batch + 1 else images


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    network: Network, task: Task, tmp_path: Path
) -> None:
    poisoned = Poisoned(task.train.batch(np.arange(48)), task.train.labels)
    with pytest.raises(TrainingDiverged, match=r"the loss of step 4 is nan: .*checkpoint is .*checkpoint\.pt") as stop:
        train_network(network, replace(task, train=poisoned), SHORT, 0, out_dir=tmp_path)
    assert stop.value.step == 4
    state = read_state(tmp_path / "checkpoint.pt")
    assert state is not None
    assert state.step == 3
    assert all(torch.isfinite(tensor).all() for tensor in state.module.values())
    # the images have the same digest, so the training goes on from there
    assert np.array_equal(
        flat(train_network(network, task, SHORT, 0, out_dir=tmp_path)), flat(train_network(network, task, SHORT, 0))
    )


def test_weights_that_are_not_finite_never_reach_a_checkpoint(network: Network, task: Task, tmp_path: Path) -> None:
    schedule = replace(SHORT, length=3, warmup=0, learning_rate=1e38, momentum=0.0, checkpoint_every=1)
    with pytest.raises(TrainingDiverged, match=r"after step 0 the weights .* lower learning rate$"):
        train_network(network, task, replace(schedule, weight_decay=1e38), 0, out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_of_other_classes_is_refused(network: Network, task: Task) -> None:
    with pytest.raises(ConfigError, match="10 classes and toy has 3: set num_classes"):
        train_network(replace(network, num_classes=10), task, SHORT, 0)


def test_a_device_that_is_not_there_is_refused(network: Network, task: Task) -> None:
    with pytest.raises(ConfigError, match="cannot compute on 'tpu9' here"):
        train_network(network, task, SHORT, 0, device="tpu9")
