"""The search: one supernet trained in two phases, read out at the end. This module imports torch.

    result = run_s3nas(space, load_task("digits"), [costs], [2.5], REDUCED, seed=0, out_dir=Path("results/search"))

Everything random is a function of seed, step and process, so that a search that was interrupted goes on from its
checkpoint to the same result, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from profiler.errors import ConfigError, TrainingDiverged
from profiler.measure.progress import NullProgress, Progress
from search.augment import augmentation_for, augmentation_named
from search.batches import Batch, fitting, read_ahead
from search.s3nas.config import S3nasConfig
from search.s3nas.costs.blockcosts import UNITS, BlockCosts, check_budgets
from search.s3nas.final.beginnings import begin_as_identity
from search.s3nas.optimiser import Average, set_rate
from search.s3nas.running.asked import Asked, accuracies, result_of, stored
from search.s3nas.running.checkpoint import SearchState, read_state, write_state
from search.s3nas.running.distributed import Ranks, process_group
from search.s3nas.running.interrupts import Interrupts
from search.s3nas.running.objective import Losses, Objective, search_optimiser
from search.s3nas.running.result import CHECKPOINT, SearchPoint, SupernetResult, point_of, write_result
from search.s3nas.supernet import SupernetModule
from search.spaces.base import Architecture
from search.spaces.mixconv import MixConv
from search.tasks import Task
from search.threads import torch_threads

__all__ = ["run_s3nas"]

_STREAM = 5
"""From which what is dropped is drawn."""


def run_s3nas(
    space: MixConv,
    task: Task,
    costs: Sequence[BlockCosts],
    budgets: Sequence[float],
    config: S3nasConfig,
    seed: int,
    out_dir: Path,
    *,
    progress: Progress | None = None,
    device: str = "cpu",
    threads: int | None = 1,
) -> SupernetResult:
    """Search a supernet for a network within budgets, and write what was found to `out_dir` (see `result`).

    A complete search of the same kind in `out_dir` is returned as it is; one that was stopped is continued. Ctrl-C
    writes a checkpoint before it ends the search. Under torchrun all processes share the work, see `distributed`.

    Args:
        space: the supernet's.
        task: the images, brought to the supernet's resolution.
        costs: the tables of one or several targets.
        budgets: one a target, in its table's unit.
        config: how it is searched.
        seed: draws weights, order of the images, augmentation and what is dropped.
        out_dir: the search's folder.
        progress: is told of every step.
        device: as torch names it.
        threads: how many torch may use; see `search.threads`.

    Raises:
        ConfigError: where budgets, task or device do not fit, or `out_dir` holds another search.
        StorageError: where `out_dir` cannot be read or written.
        TrainingDiverged: where the loss or a weight is no longer finite; the last good checkpoint stays.
    """
    check_budgets(costs, budgets)
    if task.channels != 3:
        raise ConfigError(f"supernets read images of three channels; those of {task.name} have {task.channels}")
    task = task.at(space.supernet.resolution)
    with torch_threads(threads), process_group(device) as ranks:
        asked = Asked(space, task, tuple(costs), tuple(budgets), config, seed, ranks.world)
        done = stored(asked, out_dir)
        if done is not None:
            return done
        with torch.random.fork_rng([ranks.device] if ranks.device.type == "cuda" else []):
            return _Search(asked, ranks, out_dir / CHECKPOINT, progress or NullProgress()).run()


class _Search:
    """One search under way."""

    def __init__(self, asked: Asked, ranks: Ranks, checkpoint: Path, progress: Progress) -> None:
        self.asked, self.config, self.ranks, self.checkpoint = asked, asked.config, ranks, checkpoint
        self.progress = progress if ranks.first else NullProgress()
        task, config, seed = asked.task, asked.config, asked.seed
        self.batches = fitting(len(task.train), config.batch_size, seed)
        self.batches.indices(0, ranks.rank, ranks.world)  # refuses a batch that does not divide
        first, second = config.phases(self.batches.steps_per_epoch)
        self.first, self.total = first, first + second
        self.supernet = SupernetModule(
            asked.space, task.num_classes, bn_momentum=1.0 - config.norm_momentum, dropout=config.dropout
        )
        self.supernet.reset(torch.Generator().manual_seed(seed))
        if config.zero_residuals:
            begin_as_identity(self.supernet.module, self.supernet.places)
        self.objective = Objective(self.supernet, asked.costs, asked.budgets, config)
        # measured on one CPU core: half the time of the other layout; tensor cores take it too
        self.objective.to(device=ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = search_optimiser(self.supernet, config)
        self.average = Average(self.supernet, config.average)
        self.course: list[SearchPoint] = []
        self.step, self.seconds, self.saved = 0, 0.0, 0

    # ---------------------------------------------------------------- the loop

    def run(self) -> SupernetResult:
        """All steps that are left, the evaluation and the files."""
        self._resume()
        self._train(self.ranks.wrapped(self.objective))
        self._save()
        ranks = self.ranks
        reached = accuracies(self.supernet, self.average.values, self.asked.task, ranks)
        found = self._architecture(agreed=True)
        result = result_of(self.asked, found, reached, tuple(self.course), self.step, self.seconds, ranks.device)
        if ranks.first:
            write_result(result, self.checkpoint.parent)
        return result

    def _train(self, module: nn.Module) -> None:
        config, task, ranks = self.config, self.asked.task, self.ranks
        augment = augmentation_named(config.augmentation or augmentation_for(task))
        most = self.total + (config.overtime if config.form == "hinge" else 0)
        self.progress.start(max(self.total, self.step), self.step)
        module.train()
        began = time.perf_counter() - self.seconds
        reading = read_ahead(task.train, self.batches, range(self.step, most), augment, ranks.rank, ranks.world)
        with Interrupts() as interrupts, closing(cast(Generator[Batch, None, None], reading)):
            for batch in reading:
                if self.step >= self.total and self.asked.met(self._architecture(agreed=True)):
                    break
                if self.step == self.total:
                    self.progress.message(f"a budget is not met yet: up to {most - self.total} further steps")
                    self.progress.start(most, self.step)
                stopped = self._advance(module, batch, interrupts.asked)
                self.seconds = time.perf_counter() - began
                due = self.step % config.checkpoint_every == 0 or self.step in (self.first, self.total)
                if due or stopped:
                    self._save()
                if stopped:
                    raise KeyboardInterrupt

    def _advance(self, module: nn.Module, batch: Batch, asked: bool) -> bool:
        """One step; returns whether any process has been asked to stop."""
        phase = 1 if self.step < self.first else 2
        if self.step == self.first:
            self.progress.message(f"phase {phase} begins at step {self.step}")
        self.objective.enter(phase)
        rate = self.config.rate(self.step, self.batches.steps_per_epoch, self.batches.batch_size)
        due = self.step % self.config.record_every == 0 or self.step in (self.first - 1, self.total - 1)
        seen = self._architecture() if self.ranks.first and (due or self.step >= self.total) else None
        losses = self._update(module, batch, rate)
        loss, entropy, accuracy, stop = self.ranks.mean(
            torch.stack([*losses, torch.tensor(float(asked), device=self.ranks.device)]).detach()
        ).tolist()
        if not math.isfinite(loss):
            raise TrainingDiverged(f"the loss became {loss} {self._place()}: {self._remedy()}", self.step)
        if seen is not None:
            t_hat = tuple(table.cost(seen) for table in self.asked.costs)
            text = self.asked.space.describe(seen)
            self.course.append(SearchPoint(self.step, phase, loss, entropy, accuracy, t_hat, text, rate))
        self.step += 1
        self.progress.advance(self._label())
        return bool(stop > 0)

    def _update(self, module: nn.Module, batch: Batch, rate: float) -> Losses:
        device = self.ranks.device
        set_rate(self.optimiser, rate)
        torch.manual_seed(self._seed_of_step())
        images = torch.from_numpy(batch.images).to(device, non_blocking=True)
        losses: Losses = module(
            images.contiguous(memory_format=torch.channels_last), torch.from_numpy(batch.labels).to(device)
        )
        self.optimiser.zero_grad()
        losses.loss.backward()  # type: ignore[no-untyped-call]
        if self.objective.phase == 1 and self.config.clip > 0:
            nn.utils.clip_grad_norm_(self.supernet.parameters(), self.config.clip)
        self.optimiser.step()
        self.average.update(self.step)
        return losses

    def _seed_of_step(self) -> int:
        entropy = (self.asked.seed, _STREAM, self.step, self.ranks.rank)
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])

    # ---------------------------------------------------------------- where it stands

    def _architecture(self, agreed: bool = False) -> Architecture:
        """The present read-out; `agreed`: that of the first process."""
        architecture = self.supernet.architecture()
        if not agreed:
            return architecture
        choices = self.ranks.of_first([float(choice) for choice in architecture.choices])
        return self.asked.space.architecture(tuple(int(choice) for choice in choices))

    def _label(self) -> str:
        """The last point in one line, the present architecture last since it is long."""
        if not self.course:
            return ""
        last = self.course[-1]
        spent = ", ".join(
            f"{t:.4g}/{budget:.4g} {UNITS[table.unit]}"
            for t, budget, table in zip(last.t_hat, self.asked.budgets, self.asked.costs, strict=True)
        )
        return f"phase {last.phase}: T_hat {spent}, loss {last.loss:.3f}: {last.architecture}"

    def _place(self) -> str:
        if self.step < self.first:
            return f"in step {self.step} of phase 1 ({self.first} steps)"
        return f"in step {self.step - self.first} of phase 2 ({self.total - self.first} steps)"

    def _remedy(self) -> str:
        kept = "nothing was saved before" if not self.saved else f"the checkpoint of step {self.saved} is kept"
        return f"{kept}; search with a lower learning rate than {self.config.learning_rate:g}"

    # ---------------------------------------------------------------- checkpoints

    def _save(self) -> None:
        if not self.ranks.first or self.saved == self.step:
            return
        tensors: list[Tensor] = [t for t in self.supernet.state_dict().values() if t.is_floating_point()]
        if not torch.stack(torch._foreach_norm(tensors)).isfinite().all():
            raise TrainingDiverged(
                f"a weight is no longer finite after step {self.step - 1}: {self._remedy()}", self.step - 1
            )
        state = SearchState(
            self.asked.parts, self.step, self.seconds, dict(self.supernet.state_dict()), dict(self.average.values),
            self.optimiser.state_dict(), [asdict(point) for point in self.course],
        )  # fmt: skip
        write_state(self.checkpoint, state)
        self.saved = self.step

    def _resume(self) -> None:
        state = read_state(self.checkpoint, self.asked.parts)
        if state is not None:
            self.supernet.load_state_dict(state.supernet)
            self.average.load(state.average)
            self.optimiser.load_state_dict(state.optimiser)
            self.course = [point_of(point) for point in state.course]
            self.step, self.seconds, self.saved = state.step, state.seconds, state.step
            self.progress.message(f"continued at step {self.step}")
        if self.ranks.of_first([float(self.step)]) != [float(self.step)]:
            raise ConfigError(f"not all processes see {self.checkpoint}: name a folder that all of them share")
