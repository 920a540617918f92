"""Why a line misses its target, where that is known: by its claim, and by the side on which it misses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from profiler.validation.lines import Line

__all__ = ["ABOVE", "BELOW", "reasons"]

ABOVE: Mapping[str, str] = {
    "95 % intervals that hold the truth, with drift": (
        "on a board that drifts the intervals are wider than they need be: the three rounds lie in order along the "
        "drift, so that their median is nearer to the campaign's median state than that of three random moments, while "
        "their spread counts the whole drift. By benchmarks/drift_in_order.py 96.4 % of such intervals hold the truth "
        "on boards that move by 1 % during a campaign, and 94.8 % where the rounds lie at random moments"
    ),
}
"""Of lines that are above what was asked."""

BELOW: Mapping[str, str] = {}
"""Of lines that are below it."""


def reasons(missed: Iterable[Line]) -> dict[str, str]:
    """What is known of these lines, by their claim."""
    found: dict[str, str] = {}
    for line in missed:
        reason = (ABOVE if line.seen > line.most else BELOW).get(line.claim)
        if reason is not None:
            found[line.claim] = reason
    return found
