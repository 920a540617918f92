"""One file a claim: which families of boards it needs, and how it is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from profiler.validation.claims import bias, coverage, drift, energy, fusion, refresh, throttle, todays_tools
from profiler.validation.lines import Line, Record

__all__ = ["CLAIMS", "Claim"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim.

    Attributes:
        families: whose boards it is counted on.
        judge: makes lines of the records of these families, by family.
    """

    families: tuple[str, ...]
    judge: Callable[[Mapping[str, Sequence[Record]]], list[Line]]


CLAIMS: dict[str, Claim] = {
    "coverage": Claim(("quiet", "drifting"), coverage.judge),
    "bias": Claim(("quiet", "drifting"), bias.judge),
    "throttle": Claim(("hot", "quiet", "drifting"), throttle.judge),
    "drift": Claim(("stepping",), drift.judge),
    "energy": Claim(("metered", "stepless"), energy.judge),
    "refresh": Claim(("metered",), refresh.judge),
    "fusion": Claim(("fusing",), fusion.judge),
    "todays-tools": Claim(("quiet", "drifting", "hot"), todays_tools.judge),
}
"""By the names that --only takes."""
