"""Scores by what a user writes: "phi", or names joined by "+", such as "phi+macs" or "naswot+jacov+macs".

"phi" alone is the score of the plain search. Anything else is a mean of ranks (`ranks.RankedScores`), a single
training-free score too: the penalty weighs an excess of the budget against the score, and so wants one of order one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from profiler.errors import ConfigError
from search.data import ImageSet
from search.evrsnas.beyond.ranks import RankedScores, draw_sample
from search.evrsnas.evolution import ScoreFunction
from search.evrsnas.filling import FillingScorer
from search.evrsnas.proxies.known import find_proxy
from search.evrsnas.proxies.scorer import ProxyScorer
from search.evrsnas.scores import Scorer, ScoreStore, StoredScorer
from search.spaces.base import SearchSpace

__all__ = ["PHI", "NamedScore", "named_score", "parts_of"]

PHI = "phi"
_SAMPLE = 100
"""Architectures among which ranks are taken, unless said otherwise."""


@dataclass(frozen=True)
class NamedScore:
    """A score function and what it is.

    Attributes:
        function: of architectures, higher is better.
        identity: a digest of everything but the architecture that a score depends on.
        facts: JSON-able: the parts, each with its identity, and the sample that ranks are taken in.
        filling: what phi comes from where it comes out of a store.
    """

    function: ScoreFunction
    identity: str
    facts: Mapping[str, Any]
    filling: FillingScorer | None = None


def parts_of(text: str) -> tuple[str, ...]:
    """The names in a combined score, checked.

    Raises:
        ConfigError: for none, one that occurs twice, or one that nobody offers.
    """
    names = tuple(name.strip() for name in text.split("+"))
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"a score is one name or several different ones joined by '+', not {text!r}")
    for name in names:
        if name != PHI:
            find_proxy(name)
    return names


def named_score(
    text: str,
    space: SearchSpace,
    images: ImageSet,
    seed: int,
    store: ScoreStore,
    phi: Callable[[], Scorer],
    *,
    macro: Mapping[str, int] | None = None,
    sample: int = _SAMPLE,
) -> NamedScore:
    """The score that a text names; every part is looked up in the store first.

    Args:
        text: see the module.
        space, images, seed: what is scored, on what, and the seed of batch, weights and sample.
        store: of all scores.
        phi: makes the scorer of RMI, where it is asked for; a `FillingScorer` keeps its scores in its own store.
        macro: `channels`, `cells_per_stage`, `image_size` of the networks that training-free scores see.
        sample: architectures among which ranks are taken.

    Raises:
        ConfigError: as `parts_of` and `RankedScores`.
    """
    names = parts_of(text)
    scorers: dict[str, Scorer] = {
        name: phi() if name == PHI else ProxyScorer(space, find_proxy(name)(), images, seed, **(macro or {}))
        for name in names
    }
    stored: dict[str, Scorer | StoredScorer] = {
        name: scorer if isinstance(scorer, FillingScorer) else StoredScorer(space, scorer, store)
        for name, scorer in scorers.items()
    }
    identities = {name: scorer.identity for name, scorer in scorers.items()}
    phi_scorer = scorers.get(PHI)
    filling = phi_scorer if isinstance(phi_scorer, FillingScorer) else None
    if names == (PHI,):
        return NamedScore(stored[PHI], identities[PHI], {"proxy": PHI, "parts": identities}, filling)
    drawn = draw_sample(space, sample, seed)
    ranked = RankedScores(stored, drawn)
    parts = json.dumps([identities, sample, seed], sort_keys=True)
    identity = hashlib.sha256(f"mean rank 1 {parts}".encode()).hexdigest()[:32]
    facts = {"proxy": text, "parts": identities, "rank_sample": len(drawn), "ranked": ranked.sampled}
    return NamedScore(ranked, identity, facts, filling)
