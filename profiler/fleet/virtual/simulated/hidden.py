"""What a simulated board really fuses: a truth that may differ from the rules by which workloads are cut here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from profiler.workloads.fusion_rules import FUSIONS

__all__ = ["FusionTruth", "as_onnxruntime", "with_changes"]


@dataclass(frozen=True, slots=True)
class FusionTruth:
    """One precision's fusions, in words; see `profiler.workloads.fusion_rules.Fusions` for what they mean.

    Attributes:
        tails: head -> what may follow it inside one kernel, as ("relu", "add", "add relu").
        merges_equal, folds: as of Fusions.
    """

    tails: Mapping[str, tuple[str, ...]]
    merges_equal: bool = False
    folds: Literal["all", "weightless", "none"] = "none"


def as_onnxruntime() -> dict[str, FusionTruth]:
    """By precision: just the rules that simulated targets are cut by."""
    found: dict[str, FusionTruth] = {}
    for (runtime, precision), rules in FUSIONS.items():
        if runtime == "onnxruntime":
            tails = {head: tuple(sorted(" ".join(words) for words in several)) for head, several in rules.tails.items()}
            found[precision] = FusionTruth(tails, rules.merges_equal, rules.folds)
    return found


def with_changes(
    also: Mapping[str, tuple[str, ...]] | None = None, without: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, FusionTruth]:
    """The rules with some tails more and some fewer, in both precisions.

    Args:
        also: head -> tails that are fused besides.
        without: head -> tails that are not fused, nor any that begins with one of them.
    """
    found = {}
    for precision, truth in as_onnxruntime().items():
        tails = {head: set(several) for head, several in truth.tails.items()}
        for head, several in (also or {}).items():
            tails.setdefault(head, set()).update(several)
        for head, several in (without or {}).items():
            tails[head] = {t for t in tails.get(head, set()) if not any(f"{t} ".startswith(f"{w} ") for w in several)}
        found[precision] = replace(truth, tails={head: tuple(sorted(each)) for head, each in tails.items()})
    return found
