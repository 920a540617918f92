"""Whether energies are as near to the truth as their uncertainty says, and refused where there is nothing to see.

A sensor's gain and offset are drawn as its data sheet allows them. The truth is the power that running adds in the
reference state, times the mean duration of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import numpy as np

from profiler.validation.lines import Line, Record, share, tries_of

__all__ = ["judge"]

_WITHIN, _REFUSED = 0.93, 0.99


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    metered, stepless = records["metered"], records["stepless"]
    figures = [[row for row in record["rows"] if row["energy_mj"] is not None] for record in metered]
    within = share([[_within(row) for row in rows if row["energy_u_mj"] is not None] for rows in figures])
    without = sum(row["energy_u_mj"] is None for rows in figures for row in rows)
    uncertainties = [row["energy_u_mj"] / row["energy_mj"] for rows in figures for row in rows if row["energy_u_mj"]]
    middle = f"median U {100 * float(np.median(uncertainties)):.2f} %" if uncertainties else "no figure"
    bounds = [
        [row["energy_upper_mj"] >= row["true_mj"] for row in record["rows"] if row["energy_upper_mj"] is not None]
        for record in [*metered, *stepless]
    ]
    nothing = share([[row["energy_mj"] is None for row in record["rows"]] for record in stepless])
    single = share([_single(record) for record in metered])
    rows = sum(len(record["rows"]) for record in metered)
    return [
        Line.of_share(
            "net energies within their stated uncertainty (k = 2)", "at least 93 %", within, least=_WITHIN,
            note=f"{within.count} of {rows} have a figure; {middle}; {without} figures without a U",
        ),
        Line.of_share("  the same of single rounds", "", single),
        Line.of_share(
            "refused where the power step is below what the sensor can show", "at least 99 %", nothing, least=_REFUSED
        ),
        Line.of_share("  upper bounds that hold", "", share(bounds)),
    ]  # fmt: skip


def _within(row: Mapping[str, Any]) -> bool:
    return bool(abs(row["energy_mj"] - row["true_mj"]) <= row["energy_u_mj"])


def _single(record: Record) -> list[bool]:
    """Whether each round's own U holds; against the latency that its process truly had, which no single round can
    tell from the network's."""
    true_mj = {row["key"]: row["true_mj"] for row in record["rows"]}
    found = []
    for each in tries_of(record):
        if each["role"] == "model" and each["energy_mj"] is not None and not each["truth"]["second_mode"]:
            level = each["truth"]["own"] * exp(each["truth"]["drift"])
            found.append(bool(abs(each["energy_mj"] - level * true_mj[each["key"]]) <= each["energy_u_mj"]))
    return found
