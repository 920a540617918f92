"""RMSProp against TensorFlow's formula, groups, stairs and averages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search.s3nas.optimiser import Average, decayed, parameter_groups, rmsprop, set_rate, staircase


def tensorflow(gradients: list[float], rate: float) -> float:
    """Where TensorFlow's RMSProp takes a variable from 0."""
    variable, mean, momentum = 0.0, 1.0, 0.0
    for g in gradients:
        mean = 0.9 * mean + 0.1 * g * g
        momentum = 0.9 * momentum + rate * g / (mean + 1e-3) ** 0.5
        variable -= momentum
    return variable


# while the mean of squares falls past epsilon the two differ most, see the module
@pytest.mark.parametrize(("gradient", "tolerance"), [(3.0, 0.02), (-0.5, 0.05), (1e-4, 0.2)])
def test_rmsprop_agrees_with_tensorflows(gradient: float, tolerance: float) -> None:
    variable = nn.Parameter(torch.zeros(1))
    optimiser = rmsprop([{"params": [variable]}], 0.01)
    gradients = [gradient * (1 + 0.1 * (n % 3)) for n in range(60)]
    for g in gradients:
        variable.grad = torch.tensor([g])
        optimiser.step()
    assert variable.item() == pytest.approx(tensorflow(gradients, 0.01), rel=tolerance)


def test_only_batch_norms_are_spared_the_decay() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decaying, plain = parameter_groups(module, 1e-5)
    assert decaying["weight_decay"], plain["weight_decay"] == (1e-5, 0.0)
    assert [p.shape for p in plain["params"]] == [(4,), (4,)]  # type: ignore[attr-defined]
    assert len(decaying["params"]) == 4  # type: ignore[arg-type]


def test_the_rate_of_a_group_may_be_a_multiple() -> None:
    optimiser = torch.optim.SGD(
        [{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))], "rate_factor": 5.0}], 1.0
    )
    set_rate(optimiser, 0.1)
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 0.5]


def test_stairs() -> None:
    assert [staircase(s, 1.0, 2.5, 0.5) for s in range(6)] == [1, 1, 1, 0.5, 0.5, 0.25]


def test_averages_begin_with_a_short_memory() -> None:
    assert decayed(0.9999, 0) == 0.1
    assert decayed(0.9999, 90) == 0.91
    assert decayed(0.9999, 10**6) == 0.9999


def test_an_average_follows_parameters_and_statistics() -> None:
    module = nn.BatchNorm2d(2)
    average = Average(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
        assert module.running_mean is not None
        module.running_mean.fill_(1.0)
    average.update(100)
    assert average.values["weight"].tolist() == [2.0, 2.0]
    assert average.values["running_mean"].tolist() == [0.5, 0.5]
    assert "num_batches_tracked" not in average.values
    other = Average(module)
    other.load(average.values)
    assert other.values["weight"].tolist() == [2.0, 2.0]
