"""Which training-free scores there are, by name: ours and those that installed packages offer."""

from __future__ import annotations

from profiler.extensions import find_class, offered
from search.evrsnas.proxies.base import TrainingFreeScore
from search.evrsnas.proxies.counts import Macs, Params
from search.evrsnas.proxies.jacov import Jacov
from search.evrsnas.proxies.naswot import Naswot
from search.evrsnas.proxies.synflow import Synflow
from search.evrsnas.proxies.zen import Zen

__all__ = ["ENTRY_POINTS", "PROXIES", "find_proxy", "known_names"]

ENTRY_POINTS = "edgecost.proxies"
"""The entry-point group in which another package names its own `TrainingFreeScore` classes."""

PROXIES: dict[str, type[TrainingFreeScore]] = {
    score.name: score for score in (Macs, Params, Synflow, Naswot, Jacov, Zen)
}
"""Our scores by name."""


def known_names() -> tuple[str, ...]:
    """The names of all scores, ours and installed ones, sorted."""
    return tuple(sorted({*PROXIES, *offered(ENTRY_POINTS)}))


def find_proxy(name: str) -> type[TrainingFreeScore]:
    """A score's class by name, ours first.

    Raises:
        ConfigError: for a name that nobody offers, or an entry point that cannot be loaded or is not a
            `TrainingFreeScore`.
    """
    return find_class(name, PROXIES, TrainingFreeScore, ENTRY_POINTS, "training-free score", ", and phi")
