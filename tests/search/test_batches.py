"""Batches: complete epochs, resuming from a step alone, equal parts for several processes, reading ahead."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import ConfigError
from search.augment import flip_and_crop
from search.batches import Batches, fitting, in_order, read_ahead
from search.data import ImageSet
from search.tasks import Images, Indices, Split, task_of

sizes = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 2**40), st.integers(0, 5))
def test_an_epoch_shows_every_image_once_at_most(sizes: tuple[int, int], seed: int, epoch: int):
    n, batch_size = sizes
    batches = Batches(n, batch_size, seed)
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    assert {batches.epoch(s) for s in steps} == {epoch}
    seen = np.concatenate([batches.indices(s) for s in steps])
    assert len(seen) == n // batch_size * batch_size == len(set(seen.tolist()))
    assert 0 <= seen.min() <= seen.max() < n


def test_the_order_depends_on_seed_and_epoch():
    one, other = Batches(100, 100, 0), Batches(100, 100, 1)
    orders = {tuple(b.indices(s).tolist()) for b in (one, other) for s in range(3)}
    assert len(orders) == 6
    assert tuple(range(100)) not in orders
    # the images left out of an epoch are not always the same
    assert len({frozenset(Batches(10, 9, 0).indices(s).tolist()) for s in range(30)}) > 5


@given(sizes, st.integers(0, 99), st.integers(0, 200))
def test_a_step_is_the_same_without_those_before_it(sizes: tuple[int, int], seed: int, step: int):
    whole = Batches(*sizes, seed)
    for s in range(step):
        whole.indices(s)
    resumed = Batches(*sizes, seed)
    assert np.array_equal(whole.indices(step), resumed.indices(step))
    assert whole.generator(step).random() == resumed.generator(step).random()
    assert whole.generator(step).random() != whole.generator(step + 1).random()
    assert whole.generator(step, rank=1).random() != whole.generator(step).random()


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 40), st.integers(0, 9))
def test_processes_share_a_batch_in_equal_parts(world: int, part: int, step: int, seed: int):
    batches = Batches(3 * world * part + 1, world * part, seed)
    parts = [batches.indices(step, rank, world) for rank in range(world)]
    assert {len(p) for p in parts} == {part}
    assert np.array_equal(np.concatenate(parts), batches.indices(step))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="batch of 11 images cannot be drawn from 10: give 1 to 10"):
        Batches(10, 11, 0)
    with pytest.raises(ConfigError, match="batch of 0 images"):
        Batches(10, 0, 0)
    with pytest.raises(ConfigError, match="seed must not be negative"):
        Batches(10, 2, -1)
    with pytest.raises(ConfigError, match="4 images does not divide into 3 equal parts"):
        Batches(10, 4, 0).indices(0, 0, 3)
    with pytest.raises(ConfigError, match="no rank 2 among 2 processes"):
        Batches(10, 4, 0).indices(0, 2, 2)
    assert fitting(10, 128, 7) == Batches(10, 10, 7)
    assert fitting(10, 3, 7) == Batches(10, 3, 7)


def test_nobody_can_change_the_order():
    indices = Batches(10, 5, 0).indices(0)
    with pytest.raises(ValueError, match="read-only"):
        indices[0] = 3


def test_evaluation_sees_every_image_once():
    assert [i.tolist() for i in in_order(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_order(0, 3)) == []


def test_reading_ahead_changes_nothing(toy_images: ImageSet):
    split = task_of(toy_images).train
    batches = Batches(48, 10, 3)
    whole = list(read_ahead(split, batches, range(9), flip_and_crop, rank=1, world=2))
    assert [b.step for b in whole] == list(range(9))
    for step, batch in enumerate(whole):
        indices = batches.indices(step, 1, 2)
        expected = flip_and_crop(split.batch(indices), batches.generator(step, 1))
        assert np.array_equal(batch.images, expected)
        assert np.array_equal(batch.labels, split.labels[indices])
    resumed = list(read_ahead(split, batches, range(6, 9), flip_and_crop, rank=1, world=2))
    assert all(np.array_equal(a.images, b.images) for a, b in zip(whole[6:], resumed, strict=True))
    plain = next(read_ahead(split, batches, range(4, 5)))
    assert np.array_equal(plain.images, split.batch(batches.indices(4)))
    assert list(read_ahead(split, batches, range(0))) == []


@dataclass
class Watched:
    """A split that notes which batches were asked for and refuses some."""

    source: Split
    asked: threading.Semaphore
    good: int

    @property
    def labels(self) -> Indices:
        return self.source.labels

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Indices) -> Images:
        self.asked.release()
        if self.good == 0:
            raise ConfigError("a.png cannot be read")
        self.good -= 1
        return self.source.batch(indices)


def test_the_next_batch_is_read_while_the_caller_computes(toy_images: ImageSet):
    split = Watched(task_of(toy_images).train, threading.Semaphore(0), 99)
    coming = read_ahead(split, Batches(48, 8, 0), range(1000))
    next(coming)
    assert split.asked.acquire(timeout=20)
    assert split.asked.acquire(timeout=20)  # without a further next()
    assert not split.asked.acquire(blocking=False)  # and no further than that
    before = {t.name for t in threading.enumerate() if t.name.startswith("read-ahead")}
    coming.close()
    assert before
    assert not any(t.name in before for t in threading.enumerate())


def test_a_file_that_cannot_be_read_ends_the_batches_where_it_is_met(toy_images: ImageSet):
    split = Watched(task_of(toy_images).train, threading.Semaphore(0), 2)
    coming = read_ahead(split, Batches(48, 8, 0), range(10))
    assert [next(coming).step, next(coming).step] == [0, 1]
    with pytest.raises(ConfigError, match=r"a\.png"):
        next(coming)
