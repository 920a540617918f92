"""All checks by name, and what comes of running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.tables.audit.checks.fit import drift, exact_sum, outliers
from profiler.tables.audit.checks.ordering import contained, more_work
from profiler.tables.audit.checks.power import constant_power, power, too_fast, units
from profiler.tables.audit.checks.spread import deviation, few_measurements, intervals, same_work
from profiler.tables.audit.checks.values import (
    comments,
    copied_values,
    duplicated_keys,
    missing,
    not_positive,
    rounding,
    same_in_a_row,
    sentinels,
)
from profiler.tables.audit.figures import SEVERITIES, Figures, Finding, Severity

__all__ = ["CHECKS", "Audit", "Check", "audit"]

Check = Callable[[Figures], Iterator[Finding]]

CHECKS: Mapping[str, Check] = {
    "table": comments,
    "missing": missing,
    "not_positive": not_positive,
    "sentinel": sentinels,
    "duplicated": duplicated_keys,
    "copied": copied_values,
    "same_in_a_row": same_in_a_row,
    "rounding": rounding,
    "units": units,
    "too_fast": too_fast,
    "power": power,
    "constant_power": constant_power,
    "deviation": deviation,
    "count": few_measurements,
    "interval": intervals,
    "same_work": same_work,
    "contained": contained,
    "more_work": more_work,
    "exact_sum": exact_sum,
    "outlier": outliers,
    "drift": drift,
}
"""By the name that their findings bear."""


@dataclass(frozen=True)
class Audit:
    """What was looked at and what was found.

    Attributes:
        tables: the figures, device by device.
        findings: in the order of devices and checks.
    """

    tables: tuple[Figures, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def summary(self) -> list[dict[str, Any]]:
        """Device, check, severity, number and the first finding's reason, gravest first within a device."""
        order: Mapping[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}
        numbers = Counter((f.device, f.check, f.severity) for f in self.findings)
        # a finding about all rows sums up those about single ones
        spoken = sorted(self.findings, key=lambda f: f.index is not None)
        first = {(f.device, f.check, f.severity): f.reason for f in reversed(spoken)}
        devices = list(dict.fromkeys(f.device for f in self.findings))
        keys = sorted(numbers, key=lambda key: (devices.index(key[0]), order[key[2]]))
        return [
            {"device": d, "check": c, "severity": s, "findings": numbers[d, c, s], "reason": first[d, c, s]}
            for d, c, s in keys
        ]


def audit(tables: Sequence[Figures], checks: Iterable[str] = ()) -> Audit:
    """Run checks (by default all) on every device's figures.

    Raises:
        KeyError: there is no check of such a name.
    """
    chosen = [CHECKS[name] for name in checks] or list(CHECKS.values())
    found = [finding for figures in tables for check in chosen for finding in check(figures)]
    return Audit(tuple(tables), tuple(found))
