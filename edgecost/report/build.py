"""Collects what a results folder holds and writes it as one offline HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgecost.report import boards_figures, cuts_figures, figures, s3nas_figures, trust_figures
from edgecost.report.collect import ReportData, collect
from edgecost.report.predictors import draw_predictors
from edgecost.report.spread import QUANTITIES
from edgecost.report.templates import environment
from edgecost.report.validation import validations, write_validations

__all__ = ["render", "write_report"]


def write_report(results: Path, out: Path) -> Path:
    """Write the report of a results folder; of one without runs but with validations, the page of these.

    Raises:
        StorageError: when the folder holds neither, or the file cannot be written.
    """
    from search.files import write_text

    found = None if any(results.glob("*/*/run.json")) else validations(results)
    if found is not None:
        return write_validations(found, out)
    write_text(out, render(collect(results)))
    return out


def _draw(data: ReportData) -> dict[str, Any]:
    drawn: dict[str, Any] = {**_draw_trust(data), **_draw_cuts(data)}
    if data.kernels:
        drawn["heat"] = figures.heat_map(data.kernels, [t["name"] for t in data.targets])
    if data.parity:
        drawn["parity"] = figures.parity(data.parity, data.parity_titles)
    if data.predictors is not None and any(data.predictors.points.values()):
        drawn["left_out"] = draw_predictors(data.predictors)
    if data.search is not None:
        drawn["course"] = figures.course(data.search["course"])
        drawn["evaluations"] = figures.evaluations(
            data.search["evaluations"], data.search["budget_ms"], data.search["best"]
        )
    if data.winner is not None and data.winner["layers"]:
        drawn["layers"] = figures.layers(data.winner["layers"], "Where the winner's time goes, by kernel (predicted)")
    for index, run in enumerate(data.s3nas.runs if data.s3nas is not None else ()):
        if run.course:
            drawn[f"s3nas_course_{index}"] = s3nas_figures.search_course(run.course, run.targets)
        drawn[f"s3nas_networks_{index}"] = s3nas_figures.networks(run.networks)
    for index, rows in enumerate(data.s3nas.compared if data.s3nas is not None else ()):
        drawn[f"s3nas_methods_{index}"] = s3nas_figures.methods(rows)
    return drawn


def _draw_trust(data: ReportData) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if data.trust is None:
        return drawn
    label, spread = data.trust.label, data.trust.spread
    for name, found in spread.boxes.items():
        if found:
            title, axis = QUANTITIES[name]
            drawn[f"trust_{name}"] = trust_figures.boxes(found, title + label, axis, spread.limits.get(name))
    for index, course in enumerate(data.trust.boards):
        panels = boards_figures.board(course, label)
        if panels is not None:
            drawn[f"trust_board_{index}"] = panels
    for index, (name, points) in enumerate(data.trust.energy.points.items()):
        drawn[f"trust_energy_{index}"] = trust_figures.energies(points, f"{name}{label}")
    return drawn


def _draw_cuts(data: ReportData) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if data.cuts is None:
        return drawn
    for index, (name, rows) in enumerate(data.cuts.errors.items()):
        drawn[f"cuts_errors_{index}"] = cuts_figures.errors(rows, name)
    for index, (name, found) in enumerate(data.cuts.shares.items()):
        drawn[f"cuts_shares_{index}"] = cuts_figures.shares(found["pairs"], found["threshold"], name)
    return drawn


def render(data: ReportData) -> str:
    """The HTML text; everything that came from a board or a file is escaped by the template."""
    from bokeh.embed import components
    from bokeh.resources import Resources

    drawn = _draw(data)
    scripts, divs = components(drawn) if drawn else ("", {})
    plots = dict.fromkeys(("heat", "parity", "left_out", "course", "evaluations", "layers"), "") | divs
    library = Resources(mode="inline", components=["bokeh"]).render_js()
    template = environment().get_template("template.html.j2")
    return template.render(data=data, hw_evrsnas=data.hw_evrsnas, plots=plots, scripts=scripts, script_library=library)
