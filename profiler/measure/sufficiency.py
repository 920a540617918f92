"""A campaign judges itself: how many of its figures are known as well as was asked for, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot, inf

from profiler.measure.config import MeasureConfig
from profiler.measure.record import Measurement, RoleKind
from profiler.measure.rounds import combine_rounds, rounds_needed
from profiler.measure.watch import estimate_of

__all__ = ["SHARE", "Sufficiency", "Tally"]

SHARE = 0.9
"""Of the figures: enough rounds are so many that these are known well enough."""

_Stretches = dict[int, dict[int, tuple[float, float]]]
"""Median and standard error within the round, in ns, by repetitions and round: all that is kept of a measurement."""


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """What a campaign's figures are worth, by how far its rounds differ.

    Attributes:
        figures: of kernels and blocks (slopes) and of models, from two rounds at least.
        narrow: how many of them have a 95 % interval no wider than was asked for.
        rounds_more: so many rounds more would do for SHARE of them; None where that cannot be told.
    """

    figures: int = 0
    narrow: int = 0
    rounds_more: int | None = None

    @property
    def is_enough(self) -> bool:
        """Whether SHARE of the figures are known as well as was asked for."""
        return self.narrow >= SHARE * self.figures

    def sentence(self) -> str:
        """For people."""
        told = f"of {self.figures} figures {self.narrow} are known as closely as was asked for"
        if self.is_enough:
            return told
        if self.rounds_more is None:
            return f"{told}; for {100 * SHARE:.0f} % of them no number of rounds would do"
        return f"{told}; for {100 * SHARE:.0f} % of them it takes {self.rounds_more} rounds more"


class Tally:
    """Collects the medians of a campaign, and their errors; its samples stay in the journal.

    Args:
        config: how close figures were asked to be.
    """

    def __init__(self, config: MeasureConfig) -> None:
        self._config = config
        self._found: dict[tuple[RoleKind, str], _Stretches] = {}

    def saw(self, measurement: Measurement) -> None:
        """A measurement was journaled; a later one of the same job replaces an earlier one."""
        found = estimate_of(measurement)
        if found is not None:
            role = measurement.role
            stretches = self._found.setdefault((role.kind, role.subject_key), {})
            stretches.setdefault(role.repeats, {})[measurement.round] = (found.median, found.standard_error)

    def sufficiency(self) -> Sufficiency:
        """What all of it is worth."""
        needs: list[float] = []
        for (kind, _), stretches in self._found.items():
            values, errors = _figures(kind, stretches)
            if len(values) < 2:
                continue
            wanted = self._config.half_width_of(kind)
            found = combine_rounds(values, errors)
            if found.median > 0 and found.high - found.median <= wanted * found.median:
                needs.append(0)
            else:
                more = rounds_needed(found, wanted) if found.median > 0 else None
                # the interval may be wider than the rounds alone would make it: then one more is the least
                needs.append(inf if more is None else max(1, more))
        if not needs:
            return Sufficiency()
        enough = sorted(needs)[ceil(SHARE * len(needs)) - 1]
        return Sufficiency(len(needs), needs.count(0), None if enough == inf else int(enough))


def _figures(kind: RoleKind, stretches: _Stretches) -> tuple[list[float], list[float]]:
    """A subject's values up to a factor, one a round, and the standard error of each within its round."""
    if kind == "model":
        alone = stretches.get(1, {}).values()
        return [value for value, _ in alone], [error for _, error in alone]
    longest = max(stretches)
    short, long = stretches.get(longest // 2, {}), stretches[longest]
    both = [(short[r], long[r]) for r in short.keys() & long.keys()] if longest % 2 == 0 else []
    return [b[0] - a[0] for a, b in both], [hypot(a[1], b[1]) for a, b in both]
