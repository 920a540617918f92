"""The contract of training-free scores, kept by every one of ours and by a stranger's."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from profiler.errors import ConfigError
from search.evrsnas.proxies.base import ProxyScore, TrainingFreeScore
from search.evrsnas.proxies.counts import Macs, Params
from search.evrsnas.proxies.jacov import Jacov
from search.evrsnas.proxies.known import PROXIES, find_proxy, known_names
from search.evrsnas.proxies.naswot import Naswot
from search.evrsnas.proxies.synflow import Synflow
from search.evrsnas.proxies.zen import Zen
from tests.contracts.training_free import TrainingFreeContract
from tests.plugins import norm_score


class TestMacs(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Macs()


class TestParams(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Params()


class TestSynflow(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Synflow()


class TestNaswot(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Naswot()


class TestJacov(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Jacov()


class TestZen(TrainingFreeContract):
    def make(self) -> TrainingFreeScore:
        return Zen()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return tmp_path


class TestStranger(TrainingFreeContract):
    """Of another package, found by its entry point."""

    @pytest.fixture(autouse=True)
    def _installed(self, site: Path) -> None:
        norm_score.install(site)

    def make(self) -> TrainingFreeScore:
        return find_proxy(norm_score.NAME)()

    def test_it_stands_among_the_others(self) -> None:
        assert set(known_names()) == {*PROXIES, norm_score.NAME}


def test_every_score_of_ours_is_run_through_the_contract() -> None:
    classes = [c for c in TrainingFreeContract.__subclasses__() if c is not TestStranger]
    assert {type(c().make()) for c in classes} >= set(PROXIES.values())


def test_an_unknown_score_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no training-free score 'grasp'; there are jacov, macs, .*zen, and phi"):
        find_proxy("grasp")


def test_an_entry_point_that_is_no_score_is_refused(site: Path) -> None:
    norm_score.install(site, "tests.plugins.norm_score:install", "impostor")
    with pytest.raises(ConfigError, match="'impostor' of edgecost.proxies is .* not a TrainingFreeScore"):
        find_proxy("impostor")


@pytest.mark.parametrize(("value", "why"), [(math.nan, ""), (math.inf, "large"), (math.inf, ""), (1.0, "a reason")])
def test_a_score_without_a_number_has_a_reason(value: float, why: str) -> None:
    with pytest.raises(ConfigError, match="finite number or NaN with a reason"):
        ProxyScore(value, why)
