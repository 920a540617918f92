"""Training a final network from scratch; its schedule is in `schedule`. This module imports torch.

    trained = train_network(network, load_task("digits"), REDUCED, seed=0, out_dir=Path("results/final"))

What is kept are the moving averages of the weights, by rule and not because they did better on the test images.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from profiler.errors import ConfigError, TrainingDiverged
from profiler.workloads.builders.torch import WorkloadModule, build_module, module_weights, reset
from search.augment import augmentation_for, augmentation_named
from search.batches import Batch, fitting, read_ahead
from search.s3nas.final.beginnings import begin_as_identity
from search.s3nas.final.checkpoint import FinalState, read_state, write_state
from search.s3nas.final.dropping import Dropping
from search.s3nas.final.evaluation import accuracy_of, recalibrate
from search.s3nas.final.schedule import FinalSchedule
from search.s3nas.final.trained import CoursePoint, Trained, read_trained, write_trained
from search.s3nas.loss import smoothed_cross_entropy
from search.s3nas.optimiser import Average, parameter_groups, rmsprop, set_rate
from search.s3nas.running.distributed import torch_device
from search.s3nas.running.interrupts import Interrupts
from search.spaces.network import Network, Places, assemble
from search.tasks import Task
from search.threads import torch_threads

__all__ = ["train_network"]

_RECIPE = 1
"""Part of the identity: raised whenever the same schedule would train otherwise."""


def train_network(
    network: Network,
    task: Task,
    schedule: FinalSchedule,
    seed: int,
    *,
    out_dir: Path | None = None,
    progress: Callable[[CoursePoint, int], None] | None = None,
    device: str = "cpu",
    threads: int | None = 1,
) -> Trained:
    """Train a network from fresh weights.

    On one machine, kind of device and number of threads the result is a function of the other arguments, whether or
    not the training was interrupted.

    Args:
        network: the network.
        task: the images, brought to the network's resolution where theirs is another.
        schedule: how.
        seed: draws weights, order of the images, augmentation and what is dropped.
        out_dir: where checkpoints go, from which an interrupted training continues, and at last the trained network;
            one that is complete there is read and not trained again.
        progress: is told of every point of the course, and of the number of steps in all. Ctrl-C ends the step under
            way and, with an `out_dir`, writes a checkpoint before it ends the training.
        device: as torch names it.
        threads: how many torch may use; see `search.threads`.

    Raises:
        ConfigError: where network and task do not fit, or `out_dir` holds another training.
        StorageError: where `out_dir` cannot be read or written.
        TrainingDiverged: where the loss or a weight is no longer finite; the last good checkpoint stays.
    """
    _check(network, task)
    task = task.at(network.resolution)
    identity = _identity(network, task, schedule, seed)
    if out_dir is not None and (done := read_trained(out_dir)) is not None:
        _own(done.identity, identity, out_dir)
        return done
    with torch_threads(threads):
        training = _Training(network, task, schedule, seed, torch_device(device), identity)
        checkpoint = None if out_dir is None else out_dir / "checkpoint.pt"
        if checkpoint is not None and (state := read_state(checkpoint)) is not None:
            _own(state.identity, identity, checkpoint.parent)
            training.restore(state)
        training.run(checkpoint, progress)
        trained = training.finish()
    if out_dir is not None:
        write_trained(trained, out_dir)
        (out_dir / "checkpoint.pt").unlink(missing_ok=True)
    return trained


class _Training:
    """One training under way."""

    def __init__(
        self, network: Network, task: Task, schedule: FinalSchedule, seed: int, device: torch.device, identity: str
    ) -> None:
        self.network, self.task, self.schedule, self.seed = network, task, schedule, seed
        self.device, self.identity = device, identity
        self.batches = fitting(len(task.train), schedule.batch_size, seed)
        self.total = schedule.steps(self.batches.steps_per_epoch)
        workload, places = assemble(network)
        self.module = build_module(workload)
        _initialise(self.module, places, schedule, seed)
        self.module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dropping = Dropping(self.module, places, schedule.drop_connect, schedule.dropout, device)
        self.optimiser = _optimiser(self.module, schedule)
        self.average = Average(self.module, schedule.average)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.course: list[CoursePoint] = []

    def run(self, checkpoint: Path | None, progress: Callable[[CoursePoint, int], None] | None) -> None:
        """All steps that are left."""
        schedule = self.schedule
        augment = augmentation_named(schedule.augmentation or augmentation_for(self.task))
        self.module.train()
        began = time.perf_counter() - self.seconds
        reading = read_ahead(self.task.train, self.batches, range(self.step, self.total), augment)
        with Interrupts() as interrupts, closing(cast(Generator[Batch, None, None], reading)):
            for batch in reading:
                rate = schedule.rate(self.step, self.batches.steps_per_epoch, self.batches.batch_size)
                loss = self._update(batch, rate)
                if not math.isfinite(loss):
                    raise TrainingDiverged(f"the loss of step {self.step} is {loss}: {_remedy(checkpoint)}", self.step)
                self.losses.append(loss)
                self.step += 1
                self.seconds = time.perf_counter() - began
                if self.step % schedule.report_every == 0 or self.step == self.total:
                    self._report(rate, progress)
                if self.step % schedule.checkpoint_every == 0 or self.step == self.total or interrupts.asked:
                    self._save(checkpoint)
                if interrupts.asked:
                    raise KeyboardInterrupt

    def _update(self, batch: Batch, rate: float) -> float:
        """One step; returns its loss."""
        set_rate(self.optimiser, rate)
        self.dropping.at(self.seed, self.step)
        images = torch.from_numpy(batch.images).to(self.device).contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(batch.labels).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.schedule.precision == "bf16"):
            logits = self.module(images)
        loss = smoothed_cross_entropy(logits, labels, self.schedule.label_smoothing)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.update(self.step)
        return loss.item()

    def _report(self, rate: float, progress: Callable[[CoursePoint, int], None] | None) -> None:
        """A point of the course."""
        self.course.append(CoursePoint(self.step, float(np.mean(self.losses)), rate))
        self.losses.clear()
        if progress is not None:
            progress(self.course[-1], self.total)

    def _save(self, checkpoint: Path | None) -> None:
        """Write a checkpoint, of finite weights only."""
        for name, tensor in self.module.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise TrainingDiverged(
                    f"after step {self.step - 1} the weights {name} are no longer finite: {_remedy(checkpoint)}",
                    self.step - 1,
                )
        if checkpoint is not None:
            write_state(checkpoint, self._state())

    def finish(self) -> Trained:
        """Evaluate the last weights and the averages, and keep the averages."""
        accuracies = []
        for values in (None, self.average.values):
            if values is not None:
                self.module.load_state_dict(values, strict=False)  # counts of batch norms have no average
            if self.schedule.recalibration:
                recalibrate(self.module, self.task.train, self.schedule.recalibration, self.seed, self.device)
            accuracies.append(accuracy_of(self.module, self.task.test, self.device))
        facts = {
            "task": self.task.name, "note": self.task.note, "task_digest": self.task.digest, "seed": self.seed,
            "device": str(self.device), "schedule": self.schedule.to_dict(),
        }  # fmt: skip
        return Trained(
            self.network, module_weights(self.module), accuracies[1], accuracies[0], tuple(self.course), self.seconds,
            self.total, self.identity, facts,
        )  # fmt: skip

    def restore(self, state: FinalState) -> None:
        """Go on from a checkpoint."""
        self.module.load_state_dict(state.module)
        self.average.load(state.average)
        self.optimiser.load_state_dict(state.optimiser)
        self.step, self.seconds = state.step, state.seconds
        self.losses = list(state.losses)
        self.course = [CoursePoint(*point) for point in state.course]

    def _state(self) -> FinalState:
        return FinalState(
            self.identity, self.step, self.seconds, dict(self.module.state_dict()), dict(self.average.values),
            self.optimiser.state_dict(), list(self.losses),
            [(point.step, point.loss, point.learning_rate) for point in self.course],
        )  # fmt: skip


def _initialise(module: WorkloadModule, places: Places, schedule: FinalSchedule, seed: int) -> None:
    reset(module, torch.Generator().manual_seed(seed))
    for part in module.parts.values():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0 - schedule.norm_momentum
    if schedule.zero_residuals:
        begin_as_identity(module, places)


def _optimiser(module: nn.Module, schedule: FinalSchedule) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = parameter_groups(module, schedule.weight_decay)
    if schedule.optimiser == "rmsprop":
        return rmsprop(groups, schedule.learning_rate, momentum=schedule.momentum)
    return torch.optim.SGD(groups, schedule.learning_rate, schedule.momentum, nesterov=schedule.momentum > 0)


def _check(network: Network, task: Task) -> None:
    if task.channels != 3:
        raise ConfigError(f"networks read images of three channels; those of {task.name} have {task.channels}")
    if network.num_classes != task.num_classes:
        raise ConfigError(
            f"the network has {network.num_classes} classes and {task.name} has {task.num_classes}: set num_classes in "
            "the network's file"
        )


def _identity(network: Network, task: Task, schedule: FinalSchedule, seed: int) -> str:
    settings = {k: v for k, v in schedule.to_dict().items() if k not in ("name", "report_every", "checkpoint_every")}
    what = [_RECIPE, network.to_dict(), task.digest, settings, seed]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _own(found: str, wanted: str, folder: Path) -> None:
    if found != wanted:
        raise ConfigError(
            f"{folder} holds another training (other network, images, schedule or seed): give another folder, or "
            "delete that one"
        )


def _remedy(checkpoint: Path | None) -> str:
    kept = "" if checkpoint is None or not checkpoint.exists() else f"; the last good checkpoint is {checkpoint}"
    return f"train with a lower learning rate{kept}"
