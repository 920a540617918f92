"""The learning rate and the length of a final training, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.errors import ConfigError
from search.s3nas.final.schedule import FINAL_SCHEDULES, PUBLISHED, REDUCED, final_schedule


def test_the_published_schedule_on_imagenet() -> None:
    assert PUBLISHED.steps(1251) == 350 * 1251
    warm = 5 * 1251
    # 0.016 for 256 images is 0.064 for 1024; the decay counts from the first step, in stairs of 2.4 epochs
    assert PUBLISHED.rate(0, 1251, 1024) == pytest.approx(0.064 / (warm + 1))
    assert PUBLISHED.rate(warm // 2, 1251, 1024) == pytest.approx(0.032, rel=1e-3)
    assert PUBLISHED.rate(warm, 1251, 1024) == pytest.approx(0.064 * 0.97**2)
    assert PUBLISHED.rate(24 * 1251 - 1, 1251, 1024) == pytest.approx(0.064 * 0.97**9)
    assert PUBLISHED.rate(24 * 1251 + 1, 1251, 1024) == pytest.approx(0.064 * 0.97**10)


def test_a_cosine_rises_to_its_peak_and_falls_to_zero() -> None:
    schedule = replace(REDUCED, length=100, warmup=20, learning_rate=0.4, decay="cosine")
    rates = [schedule.rate(step, 999, 64) for step in range(100)]
    assert max(rates) == rates[20] == pytest.approx(0.1)
    assert all(a < b for a, b in zip(rates[:20], rates[1:21], strict=True))
    assert all(a > b for a, b in zip(rates[20:], rates[21:], strict=False))
    assert rates[60] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-4


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert replace(REDUCED, warmup=0).rate(0, 10, 256) == REDUCED.learning_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unit", "hours"),
        ("optimiser", "adam"),
        ("decay", "linear"),
        ("precision", "fp16"),
        ("length", 0),
        ("learning_rate", float("nan")),
        ("warmup", 300),
        ("batch_size", 1),
        ("drop_connect", 1.0),
        ("dropout", -0.1),
        ("weight_decay", -1e-5),
        ("recalibration", -1),
        ("report_every", 0),
        ("checkpoint_every", 0),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"'reduced': {field} must be"):
        replace(REDUCED, **{field: value})


def test_presets_by_name() -> None:
    assert final_schedule("published") is PUBLISHED
    assert set(FINAL_SCHEDULES) == {"published", "reduced"}
    with pytest.raises(ConfigError, match="no final schedule 'short': give one of published, reduced"):
        final_schedule("short")
