from dataclasses import replace

import pytest
import torch

from search.evrsnas.lockstep import Lockstep
from search.evrsnas.scoring import RmiScorer, ScorePreset

TINY = ScorePreset("tiny", channels=4, cells_per_stage=1, image_size=16, steps=2, batch_size=8, pool=24, balanced=True)
VARIED = (15_624, 4_321, 7_000, 12_345, 77, 0)


@pytest.fixture
def make(space, toy_images, toy_reference):
    return lambda **changes: RmiScorer(space, replace(TINY, **changes), toy_reference, toy_images, 0)


def test_together_is_as_alone(make, space):
    scorer = make()
    networks = [(space.at(i), n) for i in VARIED for n in (0, 1)]
    together = scorer.courses(networks)
    for (arch, network), course in zip(networks, together, strict=True):
        alone = scorer.course(arch, network)
        assert [p.step for p in course.points] == [p.step for p in alone.points] == [0, 2]
        for ours, theirs in zip(course.points, alone.points, strict=True):
            assert ours.rmis == pytest.approx(theirs.rmis, abs=2e-3)
            assert ours.cross_entropy == pytest.approx(theirs.cross_entropy, abs=5e-3)


def test_outputs_and_gradients_are_the_networks_own(make, space):
    scorer = make()
    modules = [scorer._fresh(space.at(i), 0) for i in (12_345, 15_624, 12_345)]
    together = Lockstep(modules)
    x = torch.from_numpy(scorer.batch.images)
    answers = together(x)
    for module, (logits, taps) in zip(modules, answers, strict=True):
        expected, expected_taps = module(x)
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)
        for ours, theirs in zip(taps, expected_taps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    answers[1][0].square().sum().backward()
    learned = sum(int((p.grad != 0).sum()) for p in together.parameters() if p.grad is not None)
    assert 0 < learned <= sum(p.numel() for p in modules[1].parameters())


def test_operators_of_several_networks_run_as_one(make, space):
    scorer = make()
    modules = [scorer._fresh(space.at(15_624), i) for i in range(4)]
    assert len(Lockstep(modules).groups) == len(Lockstep(modules[:1]).groups)


def test_a_network_that_diverges_troubles_no_other(make, space):
    scorer = make(steps=3)
    modules = [(space.at(12_345), 0), (space.at(15_624), 0)]
    calm = scorer.courses(modules)
    original = scorer._fresh

    def spoilt(arch, network):
        module = original(arch, network)
        if arch == modules[0][0]:
            with torch.no_grad():
                next(module.parameters()).fill_(float("nan"))
        return module

    scorer._fresh = spoilt
    diverged, other = scorer.courses(modules)
    assert (diverged.points, diverged.diverged_at) == ((), 0)
    assert other.diverged_at is None
    assert other.at(3).phi == pytest.approx(calm[1].at(3).phi, abs=1e-3)


def test_networks_of_other_spaces_run_together(toy_images, toy_reference):
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet

    space = MixConv(read_supernet("tiny"))
    scorer = RmiScorer(space, TINY, toy_reference, toy_images, 0)
    networks = [(space.minimal, 0), (space.maximal, 0)]
    for course, (arch, network) in zip(scorer.courses(networks, (0,)), networks, strict=True):
        assert course.at(0).phi == pytest.approx(scorer.course(arch, network, (0,)).at(0).phi, abs=1e-3)
