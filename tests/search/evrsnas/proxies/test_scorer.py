import math

import numpy as np
import pytest

from search.evrsnas.evolution import EvolutionConfig, evolve
from search.evrsnas.proxies.counts import Macs
from search.evrsnas.proxies.known import PROXIES
from search.evrsnas.proxies.naswot import Naswot
from search.evrsnas.proxies.scorer import ProxyScorer
from search.evrsnas.scores import ScoreStore, StoredScorer

SMALL = {"channels": 4, "image_size": 16, "batch_size": 6}
UNCONNECTED = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_a_network_that_ignores_its_input_has_no_score(name, space, toy_images):
    scorer = ProxyScorer(space, PROXIES[name](), toy_images, 0, **SMALL)
    arch = space.parse(UNCONNECTED)
    assert math.isnan(scorer([arch])[0])
    assert scorer.why == {arch: "its output does not depend on its input"}


def test_isomorphic_architectures_share_a_score(space, toy_images):
    scorer = ProxyScorer(space, Naswot(), toy_images, 0, **SMALL)
    a = space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    b = space.parse("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    assert a != b
    first, second = scorer([a, b])
    assert first == second


def test_identity_holds_what_scores_depend_on(space, toy_images):
    def identity(proxy=Naswot, seed=0, **changes):
        return ProxyScorer(space, proxy(), toy_images, seed, **{**SMALL, **changes}).identity

    others = [identity(Macs), identity(seed=1), identity(channels=8), identity(batch_size=5), identity(image_size=32)]
    assert len({identity(), *others}) == 6
    assert identity() == identity()


def test_it_fits_the_store_and_the_evolution(space, toy_images, tmp_path):
    scorer = ProxyScorer(space, Macs(), toy_images, 0, **SMALL)
    stored = StoredScorer(space, scorer, ScoreStore(tmp_path / "scores.jsonl"))

    def cost(archs):
        return np.array([1.0 + sum(a.choices) for a in archs])

    found = evolve(space, stored, cost, EvolutionConfig(12.0, 8, 8, 3, penalty_weight=1e7), np.random.default_rng(0))
    assert found.feasible
    assert found.best.score == scorer([found.best.architecture])[0]
    assert stored.computed == found.evaluations
