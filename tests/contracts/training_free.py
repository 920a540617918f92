"""What every training-free score has to keep, as tests to inherit.

class TestMyScore(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return MyScore()
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from profiler.errors import ConfigError
from profiler.workloads.graph import Workload
from search.evrsnas.proxies.base import ProxyScore, Subject, TrainingFreeScore
from search.spaces import FBNet, NasBench201
from search.spaces.base import SearchSpace

NB201 = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
UNCONNECTED = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SIZE = 16


def subject(text: str = NB201) -> Subject:
    space = NasBench201()
    return Subject(*space.assemble(space.parse(text), **space.reduced(4, 1, SIZE, 10)))


def pictures(n: int = 6, seed: int = 0, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, size, size)).astype(np.float32)


class TrainingFreeContract:
    """Inherit, implement `make`, and name the class Test..."""

    def make(self) -> TrainingFreeScore:
        """A fresh score."""
        raise NotImplementedError

    def test_it_has_a_short_name(self) -> None:
        assert self.make().name.isidentifier()
        assert self.make().name != "phi"  # that is RMI's

    def test_a_network_has_a_finite_score(self) -> None:
        found = self.make().score(subject(), pictures(), 0)
        assert found.known
        assert isinstance(found.value, float)
        assert math.isfinite(found.value)

    @pytest.mark.parametrize("space", [NasBench201(), FBNet()], ids=lambda s: s.name)
    def test_networks_differ(self, space: SearchSpace) -> None:
        rng = np.random.default_rng(4)
        drawn = [space.sample(rng) for _ in range(3)]
        size = 32 if space.name == "fbnet" else SIZE
        networks = [Subject(*space.assemble(a, **space.reduced(4, 1, size, 10))) for a in drawn]
        values = {self.make().score(n, pictures(3, size=size), 0).value for n in networks}
        assert len(values) > 1  # of the same size some may be

    def test_the_same_seed_gives_the_same_score(self) -> None:
        first = self.make().score(subject(), pictures(), 3)
        torch.rand(5)  # whatever the global generator was used for
        assert self.make().score(subject(), pictures(), 3) == first

    def test_what_it_says_it_sees_it_sees(self) -> None:
        score = self.make()
        first = score.score(subject(), pictures(), 0)
        assert (score.score(subject(), pictures(), 1) != first) == score.sees_weights
        assert (score.score(subject(), pictures(seed=1), 0) != first) == score.sees_images

    def test_the_name_of_a_network_changes_nothing(self) -> None:
        one = subject()
        other = Subject(Workload(one.workload.ops, one.workload.outputs, "another name", seed=99), one.taps)
        assert self.make().score(other, pictures(), 0) == self.make().score(one, pictures(), 0)

    def test_it_leaves_everything_as_it_was(self) -> None:
        images = pictures()
        before, state, threads = images.copy(), torch.random.get_rng_state(), torch.get_num_threads()
        network = subject()
        key = network.workload.key
        self.make().score(network, images, 0)
        np.testing.assert_array_equal(images, before)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.get_num_threads() == threads
        assert network.workload.key == key
        assert torch.is_grad_enabled()

    def test_a_network_that_ignores_its_input_raises_nothing(self) -> None:
        found = self.make().score(subject(UNCONNECTED), pictures(), 0)
        assert found.known == math.isfinite(found.value)
        assert found.known or found.why

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_what_is_not_a_number_is_no_score(self, bad: float) -> None:
        images = pictures()
        images[0, 0, 0, 0] = bad
        found = self.make().score(subject(), images, 0)
        assert found.known != self.make().sees_images
        if not found.known:
            assert math.isnan(found.value)
            assert "not a finite number" in found.why

    @pytest.mark.parametrize("shape", [(6, 3, 8, 8), (1, 3, SIZE, SIZE), (6, 1, SIZE, SIZE), (3, SIZE, SIZE)])
    def test_images_that_do_not_fit_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ConfigError, match=r"takes two or more images of shape \(3, 16, 16\)"):
            self.make().score(subject(), np.zeros(shape, dtype=np.float32), 0)

    def test_the_answer_is_typed(self) -> None:
        assert isinstance(self.make().score(subject(), pictures(), 0), ProxyScore)
