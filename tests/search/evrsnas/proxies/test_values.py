"""Training-free scores held against their definitions, computed another way on networks small enough for that."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.builders.torch import WorkloadModule
from search.evrsnas.proxies.base import Probe, Subject
from search.evrsnas.proxies.counts import Macs, Params
from search.evrsnas.proxies.jacov import Jacov
from search.evrsnas.proxies.naswot import Naswot
from search.evrsnas.proxies.synflow import Synflow
from search.evrsnas.proxies.zen import REPEATS, Zen

IMAGES = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)


def chain(norm=False, relus=1):
    """conv - (norm) - relu - pool - linear; with two readers of the ReLU where asked for."""
    b = WorkloadBuilder("chain")
    x = b.conv2d(b.input((1, 3, 8, 8)), 4, kernel=3)
    x = b.relu(b.batch_norm(x) if norm else x)
    tap = x
    if relus == 2:
        tap = x = b.add(b.conv2d(x, 4, kernel=1), b.conv2d(x, 4, kernel=1))
    return Subject(b.build(b.linear(b.flatten(b.global_avg_pool(x)), 3)), (tap,))


def probe(subject, seed=0):
    torch.manual_seed(seed)
    module = WorkloadModule(subject.workload, subject.taps)
    return Probe(module, subject, torch.tensor(IMAGES), torch.Generator().manual_seed(seed))


def test_counts_are_the_workloads_own():
    subject = chain()
    assert Macs().score(subject, IMAGES, 0).value == subject.workload.macs == 8 * 8 * 27 * 4 + 4 * 3
    assert Params().score(subject, IMAGES, 0).value == subject.workload.params


def test_synflow_of_a_chain_is_its_flow_once_a_layer():
    # without biases R is linear in every layer's weights: each layer's sum of w * dR/dw is R itself
    p = probe(chain())
    conv, linear = (m for m in p.module.parts.values() if isinstance(m, nn.Conv2d | nn.Linear))
    with torch.no_grad():
        linear.bias.zero_()
        if conv.bias is not None:
            conv.bias.zero_()
        inside = nn.functional.conv2d(torch.ones(1, 3, 8, 8).double(), conv.weight.double().abs(), padding=1)
        flow = float((inside.mean(dim=(2, 3)) @ linear.weight.double().abs().T).sum())
    assert Synflow()._compute(p) == pytest.approx(math.log(2 * flow), rel=1e-9)


def test_synflow_survives_what_overflows_float32():
    b = WorkloadBuilder("deep")
    x = b.input((1, 3, 8, 8))
    for _ in range(32):
        x = b.conv2d(x, 64, kernel=3)
    subject = Subject(b.build(b.linear(b.flatten(b.global_avg_pool(x)), 3)))
    found = Synflow().score(subject, IMAGES, 0)
    assert found.known
    assert found.value > math.log(3.5e38)


@pytest.mark.parametrize("readers", [1, 2])
def test_naswot_counts_agreements(readers):
    p = probe(chain(relus=readers))
    conv = next(m for m in p.module.parts.values() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        codes = (conv(torch.tensor(IMAGES)) > 0).flatten(1).numpy()
    agree = np.array([[readers * np.sum(a == b) for b in codes] for a in codes], dtype=float)
    assert Naswot()._compute(p) == pytest.approx(np.log(abs(np.linalg.det(agree))))


def test_naswot_of_equal_images_is_no_score():
    same = np.repeat(IMAGES[:1], 4, axis=0)
    found = Naswot().score(chain(), same, 0)
    assert not found.known
    assert "naswot" in found.why


def test_jacov_is_that_of_the_jacobian():
    p = probe(chain())
    rows = []
    for image in torch.tensor(IMAGES):
        jacobian = torch.autograd.functional.jacobian(lambda x: p.module(x[None])[0].sum(), image)
        rows.append(jacobian.double().flatten().numpy())
    values = np.linalg.eigvalsh(np.corrcoef(rows))
    assert Jacov()._compute(p) == pytest.approx(-np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)), rel=1e-4)


def test_jacov_is_highest_for_uncorrelated_reactions():
    def value(correlation):
        v = np.linalg.eigvalsh(np.full((4, 4), correlation) + (1 - correlation) * np.eye(4))
        return -np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5))

    assert value(0.0) > value(0.5) > value(0.99)


def test_zen_adds_what_a_batch_norm_took_away():
    # a norm scales the map by 1 / s, and log s comes back: the same as without the norm, for one channel
    def network(norm):
        b = WorkloadBuilder("one")
        x = b.conv2d(b.input((1, 3, 8, 8)), 1, kernel=3)
        x = b.batch_norm(x) if norm else x
        return Subject(b.build(b.linear(b.flatten(b.global_avg_pool(x)), 3)), (x,))

    plain, normed = Zen()._compute(probe(network(False))), Zen()._compute(probe(network(True)))
    # the pair's statistics differ a little from the first image's
    assert normed == pytest.approx(plain, abs=0.05)
    assert REPEATS >= 2


def test_zen_needs_a_map():
    assert not Zen().score(Subject(chain().workload), IMAGES, 0).known


def test_an_image_that_is_not_a_number_is_seen_also_where_no_norm_spreads_it():
    images = IMAGES.copy()
    images[2, 0, 0, 0] = np.nan
    found = Naswot().score(chain(), images, 0)
    assert not found.known
    assert "an image holds a value that is not a finite number" in found.why
