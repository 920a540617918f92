"""A study of S3NAS as tables: methods beside each other, what options cost, what was measured anew, every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

__all__ = ["Table", "study_tables"]

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, cells."""

METHODS = (
    "Methods: mean and standard deviation over seeds; levelled: what was measured, were the machine as fast as in its "
    "table's hour"
)

Rows = Sequence[Mapping[str, Any]]


def study_tables(data: Mapping[str, Any]) -> list[Table]:
    """The tables of a study that `edgecost study s3nas` wrote, those that have rows.

    Raises:
        KeyError, TypeError, ValueError: where it is none.
    """
    found = [
        (METHODS, *_methods(data["methods"])),
        ("h-swish and squeeze-and-excitation at one budget", *_options(data["post_processing"])),
        ("What each option costs on the network that was found, nothing else changed", *_costs(data)),
        ("Networks that the tables were checked by, measured again beside these", *_anchors(data.get("anchors", {}))),
        ("Every network", *_rows(data["rows"])),
    ]
    return [table for table in found if table[2]]


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _methods(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = [
        "method", "target", "seeds", "accuracy %", "sd", "budget ms", "predicted ms", "measured ms", "levelled ms",
        "M parameters", "M MACs", "search s",
    ]  # fmt: skip
    cells = [
        [
            r["method"], r["target"].split("/")[0], str(r["n"]), _percent(r["accuracy"]), _percent(r["accuracy_sd"]),
            _ms(r["budget_ms"]), _ms(r["predicted_ms"]), _ms(r["measured_ms"]), _ms(r.get("levelled_ms")),
            f"{r['params'] / 1e6:.3f}", f"{r['macs'] / 1e6:.2f}", f"{r['search_s']:.0f}",
        ]
        for r in rows
    ]  # fmt: skip
    return columns, cells


def _options(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = ["target", "option", "phi", "predicted ms", "M MACs", "accuracy %", "verdict"]
    cells = [
        [
            r["target"].split("/")[0], o["option"], f"{o['phi']:.2f}", _ms(o["predicted"]), f"{o['macs'] / 1e6:.2f}",
            _percent(o["accuracy"]), o["why"],
        ]
        for r in rows
        for o in r["options"]
    ]  # fmt: skip
    return columns, cells


def _costs(data: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Relative to the plain network: an option's own cost is what it adds."""
    cells = []
    for r in data["post_processing"]:
        predicted = {row["option"]: row for row in r["predicted_option_costs"]}
        measured = {row["option"]: row.get("measured_ms") for row in (r["measured"] or {}).get("options", ())}
        plain, plain_measured = predicted["plain"]["predicted"], measured.get("plain")
        for option, row in predicted.items():
            cells.append(
                [
                    r["target"].split("/")[0], option, _ms(row["predicted"]), _times(row["predicted"], plain),
                    _ms(measured.get(option)), _times(measured.get(option), plain_measured),
                ]
            )  # fmt: skip
    return ["target", "option", "predicted ms", "times plain", "measured ms", "times plain "], cells


def _times(value: float | None, plain: float | None) -> str:
    return "–" if value is None or not plain else f"{value / plain:.2f}"


def _anchors(anchors: Mapping[str, Rows]) -> tuple[list[str], list[list[str]]]:
    cells = []
    for target, rows in anchors.items():
        ratios = sorted(r["measured_ms"] / r["table_ms"] for r in rows if r["measured_ms"] is not None)
        if ratios:
            middle = f"{median(ratios):.3f}"
            cells.append([target.split("/")[0], str(len(ratios)), middle, f"{ratios[0]:.3f}", f"{ratios[-1]:.3f}"])
    return ["target", "networks", "median measured / table", "least", "most"], cells


def _rows(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = [
        "method", "target", "seed", "T_hat ms", "search budget ms", "phi", "predicted ms", "measured ms", "interval ms",
        "accuracy %", "M parameters", "M MACs", "network",
    ]  # fmt: skip
    cells = [
        [
            r["method"], r["target"].split("/")[0], str(r["seed"]), _ms(r["t_hat_ms"]), _ms(r["search_budget_ms"]),
            f"{r['phi']:.2f}", _ms(r["predicted_ms"]), _ms(r["measured_ms"]),
            "–" if r["low_ms"] is None else f"{r['low_ms']:.4g} to {r['high_ms']:.4g}", _percent(r["accuracy"]),
            f"{r['params'] / 1e6:.3f}", f"{r['macs'] / 1e6:.2f}", r["network"],
        ]
        for r in rows
    ]  # fmt: skip
    return columns, cells
