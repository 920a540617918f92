"""The loss's terms against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from search.s3nas.loss import hinge_log_loss, log_loss, smoothed_cross_entropy


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_above_the_budget_the_hinge_grows_with_the_logarithm() -> None:
    t_hat = tensor(2.6)
    loss = hinge_log_loss(t_hat, tensor(2.5))
    loss.backward()
    assert loss.item() == pytest.approx(15 * math.log(1 + 100 * 0.1))
    assert t_hat.grad is not None
    assert t_hat.grad.item() == pytest.approx(15 * 100 / (1 + 100 * 0.1))


def test_it_is_zero_as_soon_as_the_budget_is_met() -> None:
    t_hat = tensor(2.5, 1.0)
    loss = hinge_log_loss(t_hat, tensor(2.5, 3.0))
    loss.backward()
    assert loss.item() == 0.0
    assert t_hat.grad is not None
    assert t_hat.grad.tolist() == [0.0, 0.0]


def test_targets_add_up() -> None:
    both = hinge_log_loss(tensor(2.6, 7.0), tensor(2.5, 6.0), 2.0)
    alone = [hinge_log_loss(tensor(t), tensor(b), 2.0).item() for t, b in ((2.6, 2.5), (7.0, 6.0))]
    assert both.item() == pytest.approx(sum(alone))


def test_the_log_form_pulls_at_any_cost() -> None:
    t_hat = tensor(2.0, 4.0)
    loss = log_loss(t_hat, 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * math.log(8))
    assert t_hat.grad is not None
    assert t_hat.grad.tolist() == [0.25, 0.125]


def test_label_smoothing_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    logs = logits.log_softmax(1)[0]
    wanted = -(0.9 * logs[1] + 0.1 / 3 * logs.sum())
    assert smoothed_cross_entropy(logits, torch.tensor([1])).item() == pytest.approx(wanted.item())


def test_half_precision_logits_are_summed_in_float32() -> None:
    assert smoothed_cross_entropy(torch.randn(4, 3).bfloat16(), torch.tensor([0, 1, 2, 0])).dtype == torch.float32
