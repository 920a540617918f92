"""Which images a training step sees: a pure function of seed and step, so that a run resumes from the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from search.augment import Augmentation
from search.tasks import Images, Indices, Split

__all__ = ["Batch", "Batches", "fitting", "in_order", "read_ahead"]

_ORDER, _AUGMENT = 0, 1
"""The purposes for which numbers are drawn: each has a stream of its own."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a training run.

    Every epoch goes through the images in an order of its own, drawn from (seed, epoch); what is left after the last
    full batch is left out of that epoch. Step s is batch s % steps_per_epoch of epoch s // steps_per_epoch.

    Attributes:
        n: number of training images.
        batch_size: images of a step, over all processes.
        seed: draws the orders.
    """

    n: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.n:
            raise ConfigError(f"a batch of {self.batch_size} images cannot be drawn from {self.n}: give 1 to {self.n}")
        if self.seed < 0:
            raise ConfigError(f"a seed must not be negative: {self.seed}")

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the images."""
        return self.n // self.batch_size

    def epoch(self, step: int) -> int:
        """The epoch, from 0, to which a step, from 0, belongs."""
        return step // self.steps_per_epoch

    def indices(self, step: int, rank: int = 0, world: int = 1) -> Indices:
        """The images of a step, or the equal contiguous part of them that one of several processes sees.

        Args:
            step: from 0.
            rank: which process, from 0.
            world: number of processes.

        Returns:
            (batch_size / world,) places in the training split.

        Raises:
            ConfigError: where the batch does not divide into `world` parts or there is no such rank.
        """
        if world < 1 or self.batch_size % world:
            raise ConfigError(f"a batch of {self.batch_size} images does not divide into {world} equal parts")
        if not 0 <= rank < world:
            raise ConfigError(f"there is no rank {rank} among {world} processes: they count from 0")
        epoch, batch = divmod(step, self.steps_per_epoch)
        part = self.batch_size // world
        start = batch * self.batch_size + rank * part
        return _order(self.n, self.seed, epoch)[start : start + part]

    def generator(self, step: int, rank: int = 0) -> np.random.Generator:
        """A generator for what is drawn for the images of one step in one process: the augmentation."""
        return np.random.default_rng((self.seed, _AUGMENT, step, rank))


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> Indices:
    """An epoch's order; the last two are kept, since every step of an epoch asks for it."""
    order = np.random.default_rng((seed, _ORDER, epoch)).permutation(n).astype(np.int64)
    order.setflags(write=False)
    return order


def fitting(n: int, batch_size: int, seed: int) -> Batches:
    """`Batches` whose batch is no larger than the training set."""
    return Batches(n, min(batch_size, n), seed)


def in_order(n: int, batch_size: int) -> Iterator[Indices]:
    """Every image once, in order, for evaluation; the last batch may be smaller."""
    for start in range(0, n, batch_size):
        yield np.arange(start, min(start + batch_size, n), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one process sees in one step: images (b, channels, h, w) and labels (b,)."""

    step: int
    images: Images
    labels: NDArray[np.int64]


def read_ahead(
    split: Split,
    batches: Batches,
    steps: range,
    augment: Augmentation | None = None,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """The batches of `steps`, the next one being read and augmented while the caller computes on the last.

    The reading ahead changes nothing but time. One thread reads; it ends with the iterator.

    Args:
        split: the training images.
        batches: which images a step sees.
        steps: steps wanted; a resumed run starts where it stopped, `range(done, total)`.
        augment: applied to every batch; None: nothing is.
        rank, world: which part of every batch, see `Batches.indices`.

    Raises:
        ConfigError: where a file cannot be read, or the batch does not divide.
    """

    def read(step: int) -> Batch:
        indices = batches.indices(step, rank, world)
        images = split.batch(indices)
        if augment is not None:
            images = augment(images, batches.generator(step, rank))
        return Batch(step, images, split.labels[indices])

    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        coming: Future[Batch] | None = None
        for step in steps:
            following = reader.submit(read, step)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
