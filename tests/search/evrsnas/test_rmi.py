import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from profiler.errors import ConfigError
from search.evrsnas.rmi import alignment, choose_batch, rmi, torch_alignment


def features(seed: int, n: int = 16, p: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p))


def hsic_by_traces(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook form, with explicit centring matrices and traces."""
    n = len(a)
    h = np.eye(n) - np.ones((n, n)) / n
    k, m = a @ a.T, b @ b.T

    def hsic(one: np.ndarray, other: np.ndarray) -> float:
        return np.trace(one @ h @ other @ h) / (n - 1) ** 2

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def test_a_worked_example():
    # centred a is (-1, 0, 1), centred b is (1/3, -2/3, 1/3): K-bar and M-bar are their outer products
    assert rmi(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [0.0], [1.0]])) == pytest.approx(0.0, abs=1e-15)
    # (-1, 0, 1) against (-1, -1, 2): cosine 3 / sqrt(12), squared
    assert rmi(np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [0.0], [3.0]])) == pytest.approx(0.75)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), p=st.integers(1, 40), q=st.integers(1, 40), n=st.integers(3, 33))
def test_agrees_with_the_trace_form_and_lies_in_the_unit_interval(seed, p, q, n):
    a, b = features(seed, n, p), features(seed + 1, n, q)
    assert rmi(a, b) == pytest.approx(hsic_by_traces(a, b), abs=1e-10)
    assert 0 <= rmi(a, b) <= 1
    assert rmi(a, b) == pytest.approx(rmi(b, a), abs=1e-14)


def test_self_similarity_is_one():
    assert rmi(features(0), features(0)) == pytest.approx(1.0, abs=1e-14)


def test_invariant_to_orthogonal_maps_scale_and_shift_but_not_to_others():
    a, b = features(0), features(1)
    rotation = ortho_group.rvs(24, random_state=2)
    assert rmi(3.7 * a @ rotation - 5.0, b) == pytest.approx(rmi(a, b), abs=1e-12)
    stretched = a * np.linspace(0.1, 10, 24)
    assert abs(rmi(stretched, b) - rmi(a, b)) > 1e-3


def test_sees_through_a_large_offset():
    """Float32 features far from zero keep their digits, because the features are centred and not the kernel."""
    a = features(0).astype(np.float32)
    assert rmi(a.astype(np.float64) + 1e5, a) == pytest.approx(1.0, abs=1e-9)


def test_spatial_sizes_need_not_match():
    rng = np.random.default_rng(0)
    assert 0 < rmi(rng.normal(size=(8, 16, 4, 4)), rng.normal(size=(8, 3, 9, 9))) < 1


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -3e7])
@pytest.mark.parametrize("n", [30, 32])
def test_constant_features_have_rmi_zero(constant, n):
    a = np.full((n, 7), constant)
    assert rmi(a, features(0, n)) == 0.0
    assert rmi(a, a) == 0.0
    same_row = np.repeat(features(1, 1), n, axis=0).astype(np.float32)
    assert rmi(same_row, features(0, n)) == 0.0


def test_small_but_real_variation_is_no_constant():
    a = features(0)
    assert rmi(1.0 + 1e-4 * a, a) == pytest.approx(1.0, abs=1e-6)


def test_what_is_not_finite_is_not_a_similarity():
    a = features(0)
    a[3, 3] = np.nan
    assert np.isnan(rmi(a, features(1)))


def test_different_batches_cannot_be_compared():
    with pytest.raises(ConfigError, match="16 and 15"):
        rmi(features(0), features(0, n=15))
    with pytest.raises(ConfigError):
        rmi(features(0, n=1), features(0, n=1))


def test_the_torch_form_agrees_and_has_the_right_gradient():
    a, b = features(0, 6, 5), features(1, 6, 4)
    x = torch.from_numpy(a).requires_grad_()
    y = torch.from_numpy(alignment(b))
    value = (torch_alignment(x) * y).sum()
    assert float(value.detach()) == pytest.approx(rmi(a, b), abs=1e-13)
    assert torch.autograd.gradcheck(lambda t: (torch_alignment(t) * y).sum(), (x,))
    assert float(torch_alignment(torch.ones(6, 3)).abs().max()) == 0.0


def test_the_batch_is_that_of_lowest_loss():
    losses = np.array([0.5, 0.1, 0.9, 0.2, 0.3])
    assert choose_batch(losses, np.zeros(5, dtype=int), 3).tolist() == [1, 3, 4]
    with pytest.raises(ConfigError, match=r"6 .*from 5"):
        choose_batch(losses, np.zeros(5, dtype=int), 6)
    with pytest.raises(ConfigError, match="finite"):
        choose_batch(np.array([0.1, np.nan]), np.zeros(2, dtype=int), 1)


def test_a_balanced_batch_takes_the_easiest_of_every_class():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 10)
    losses = np.concatenate([np.linspace(0, 0.1, 10), np.linspace(1, 1.1, 10), np.linspace(2, 2.1, 10)])
    assert set(labels[choose_batch(losses, labels, 7)]) == {0}
    balanced = choose_batch(losses, labels, 7, balanced=True)
    assert balanced.tolist() == [0, 1, 2, 10, 11, 20, 21]  # the seventh goes to the lowest loss left
    few = np.array([0] * 28 + [1] * 2)
    assert (few[choose_batch(losses, few, 8, balanced=True)] == 1).sum() == 2
