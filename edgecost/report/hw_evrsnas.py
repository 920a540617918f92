"""What the report shows of a study of HW-EvRSNAS: regret by method and device, every budget beside its optimum, rank
correlations, and the paper's and HELP's figures beside ours on FPGA."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.report.figures import ACCENT, SOFT, WARM, new_plot

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (bokeh's class is called figure)

__all__ = ["HwEvrsnasSection", "accuracies", "hw_evrsnas_section", "section_of", "write_page"]

Table = tuple[str, list[str], list[list[str]]]
Rows = Sequence[Mapping[str, Any]]

PAPER_FPGA_CIFAR100 = {2.0: "64.5", 3.0: "70.3*", 3.5: "71.2", 4.0: "71.9", 4.5: "72.0", 5.0: "72.5", 6.0: "73.3*",
                       7.0: "73.2", 8.0: "73.5"}  # fmt: skip
"""Accuracy in per cent by budget in ms, read off a figure of MO-HDNAS (arXiv 2404.12403), +-0.2, with a star +-0.5."""
HELP_FPGA_CIFAR100 = {4.0: "70.2 at 3.8 ms", 5.0: "71.8 at 4.7 ms", 6.0: "73.5 at 7.4 ms"}
"""HELP with MetaD2A (Lee et al., NeurIPS 2021): accuracy and the latency achieved; the last breaks its budget."""


@dataclass(slots=True)
class HwEvrsnasSection:
    """The section.

    Attributes:
        sentence: what the study came to.
        tables: title, columns, cells.
        series: what is drawn: by device and data set, rows of budget, accuracy, optimum and mean_within.
    """

    sentence: str
    tables: list[Table]
    series: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def hw_evrsnas_section(results: Path) -> HwEvrsnasSection | None:
    """The section of a results folder; None where no study was made, or its file cannot be read."""
    try:
        return section_of(json.loads((results / "hw-evrsnas" / "study.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def section_of(data: Mapping[str, Any]) -> HwEvrsnasSection:
    """The section of a study's content.

    Raises:
        KeyError, TypeError: where it is none.
    """
    series: dict[str, list[dict[str, Any]]] = {}
    for row in data["budgets"]:
        series.setdefault(f"{row['device']}, {row['dataset']}, {row['unit']}", []).append(dict(row))
    found = [
        ("Regret against the exhaustive constrained optimum, in accuracy points, mean over budgets and seeds",
         *_methods(data["summary"])),
        ("Every budget: accuracy of the answers, mean over seeds, beside the best that there is",
         *_budgets(data["budgets"])),
        ("FPGA on CIFAR-100 beside published figures", *_published(data["budgets"])),
        ("Rank correlation of scores with test accuracy, one architecture an isomorphism class",
         *_correlations(data["correlations"])),
    ]  # fmt: skip
    return HwEvrsnasSection(str(data["sentence"]), [table for table in found if table[2]], series)


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _methods(rows: Rows) -> tuple[list[str], list[list[str]]]:
    devices = list(dict.fromkeys(device for row in rows for device in row["regret_by_device"]))
    columns = ["data set", "method", "regret", *devices, "worst", "where", "beyond budget", "evaluations"]
    cells = [
        [
            row["dataset"], row["method"], _figure(row["regret"]),
            *(_figure(row["regret_by_device"].get(device)) for device in devices),
            _figure(row["worst_regret"]), row["worst"] or "–", f"{row['infeasible']} of {row['answers']}",
            _figure(row["evaluations"], 0),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def _budgets(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = ["data set", "device", "budget", "accuracy %", "least", "largest", "optimum %", "its cost", "random %"]
    cells = [
        [
            row["dataset"], row["device"], f"{row['budget']:.4g} {row['unit']}", _figure(row["accuracy"]),
            _figure(row["least"]), _figure(row["largest"]), _figure(row["optimum"]), f"{row['optimum_cost']:.4g}",
            _figure(row["mean_within"]),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def _published(rows: Rows) -> tuple[list[str], list[list[str]]]:
    own = [r for r in rows if r["device"] == "fpga" and r["dataset"] == "cifar100" and r["unit"] == "ms"]
    columns = ["budget ms", "ours, mean of seeds %", "optimum %", "paper's follow-up %", "HELP + MetaD2A"]
    cells = [
        [
            f"{row['budget']:g}", _figure(row["accuracy"]), _figure(row["optimum"]),
            PAPER_FPGA_CIFAR100.get(row["budget"], "–"), HELP_FPGA_CIFAR100.get(row["budget"], "–"),
        ]
        for row in own
    ]  # fmt: skip
    return columns, cells


def _correlations(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = ["data set", "score", "of accuracies", "Kendall τ", "Spearman ρ", "classes"]
    cells = [
        [
            row["dataset"], row["score"], "all" if not row["above"] else f"from {row['above']:g} %",
            _figure(row["kendall_tau"]), _figure(row["spearman_rho"]), str(row["n"]),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def accuracies(rows: Rows, name: str) -> Figure:
    """Accuracy of the answers by budget, the optimum's front behind them."""
    ordered = sorted(rows, key=lambda row: row["budget"])
    known = [row for row in ordered if row["accuracy"] is not None]
    unit = name.rsplit(", ", 1)[-1]
    plot = new_plot(
        title=name, height=300, sizing_mode="stretch_width", x_axis_label=f"budget, {unit}",
        y_axis_label="test accuracy, %",
    )  # fmt: skip
    budgets = [row["budget"] for row in ordered]
    plot.line(budgets, [row["optimum"] for row in ordered], color=SOFT, line_width=3, legend_label="optimum")
    plot.line(
        budgets, [row["mean_within"] for row in ordered], color=WARM, line_dash="dashed", legend_label="random feasible"
    )
    plot.segment(
        [r["budget"] for r in known], [r["least"] for r in known], [r["budget"] for r in known],
        [r["largest"] for r in known], color=ACCENT,
    )  # fmt: skip
    plot.scatter(
        [r["budget"] for r in known], [r["accuracy"] for r in known], size=8, color=ACCENT, legend_label="HW-EvRSNAS"
    )
    plot.legend.location = "bottom_right"
    return plot


def write_page(data: Mapping[str, Any], out: Path) -> Path:
    """Write a study as one offline HTML file.

    Raises:
        StorageError: where it cannot be written.
    """
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from search.files import write_text

    section = section_of(data)
    drawn = {f"hw_evrsnas_{i}": accuracies(rows, name) for i, (name, rows) in enumerate(section.series.items())}
    scripts, plots = components(drawn) if drawn else ("", {})
    environment = Environment(
        loader=PackageLoader("edgecost.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.from_string(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>HW-EvRSNAS</title><style>'
        "body{font:15px/1.5 sans-serif;max-width:1100px;margin:2em auto}td,th{padding:.15em .6em;text-align:left}"
        ".scroll{overflow-x:auto}</style><script>{{ library | safe }}</script></head><body>"
        '{% include "hw_evrsnas.html.j2" %}{{ scripts | safe }}</body></html>\n'
    )
    library = Resources(mode="inline", components=["bokeh"]).render_js()
    write_text(out, template.render(hw_evrsnas=section, plots=plots, scripts=scripts, library=library))
    return out
