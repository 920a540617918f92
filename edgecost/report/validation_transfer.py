"""What the page of validations says of a transfer protocol: methods beside published figures, transfer by target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from edgecost.report.correlation_dots import DotRow, correlation_dots
from edgecost.report.documents import told_as_damaged
from edgecost.report.figures import ACCENT, COOL, INK, WARM
from edgecost.report.formats import figure_text, percent_text

__all__ = ["METHOD_COLUMNS", "TransferProtocol", "transfer_protocol"]

OWN = "transfer"
MEAN = "mean"
METHOD_COLUMNS = ("method", "Spearman", "within 5 %", "within 10 %", "in interval %", "half width %")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TransferProtocol:
    """One file.

    Attributes:
        name: of the file.
        sentence: protocol, devices, samples, seeds.
        notes: what to know of the published figures.
        means: method -> mean Spearman over the targets, as text.
        published: the published means that compare, as text; "–" for none.
        methods: rows of `METHOD_COLUMNS`.
        own: the method that `by_target` is of: transfer, where it is among them.
        target_columns, by_target: the same of every target, with published figures of single targets.
        chart: as HTML whose text is escaped.
    """

    name: str
    sentence: str
    notes: list[str]
    means: dict[str, str]
    published: str
    methods: list[list[str]]
    own: str
    target_columns: list[str]
    by_target: list[list[str]]
    chart: str


def transfer_protocol(path: Path) -> TransferProtocol:
    """What a file holds that `edgecost validate --protocol NAME --out FILE` wrote.

    Raises:
        StorageError: it is none, or cannot be read.
    """
    from edgecost.stages.protocols import COMMAND, WHAT, read_protocol

    with told_as_damaged(path, WHAT, COMMAND):
        return _protocol(path.stem.removeprefix("transfer-"), read_protocol(path))


def _protocol(name: str, data: Mapping[str, Any]) -> TransferProtocol:
    by_method: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in data["summary"]:
        by_method[row["method"]][row["target"]] = row
    methods = _ordered(list(by_method))
    own = OWN if OWN in by_method else methods[0]
    published = _comparable(data)
    means = {method: by_method[method][MEAN] for method in methods}
    rows = [[method, *_cells(means[method], _sd(data["rows"], method))] for method in methods]
    rows += [[f"published: {method}", f"{value:.3f}", "–", "–", "–", "–"] for method, value in published.items()]
    by_target, columns = _by_target(data, by_method[own])
    drawn = [_dots(method, own, by_method[method]) for method in methods]
    drawn += [
        DotRow(f"published: {method}", WARM, value, _of_targets(data["published_by_target"].get(method, {}), data))
        for method, value in published.items()
    ]
    return TransferProtocol(
        name=name,
        sentence=_sentence(data),
        notes=_notes(data),
        means={method: figure_text(row["spearman"], 3) for method, row in means.items()},
        published=", ".join(f"{method} {value:.3f}" for method, value in published.items()) or "–",
        methods=rows,
        own=own,
        target_columns=columns,
        by_target=by_target,
        chart=correlation_dots("Spearman correlation by method", drawn, "mean over targets; small: single targets"),
    )


def _ordered(methods: Sequence[str]) -> list[str]:
    """Files have them from the plainest to the most elaborate, and the ceiling last."""
    from predictors.transfer.validation.methods import CEILING

    return sorted(methods, key=lambda method: (method == CEILING, -methods.index(method)))


def _comparable(data: Mapping[str, Any]) -> dict[str, float]:
    """Published means over the very targets of the file: as published, or of what was published of single ones."""
    found = {} if data["missing_targets"] else dict(data["published_mean_spearman"])
    for method, of in data["published_by_target"].items():
        if all(target in of for target in data["targets"]):
            found.setdefault(method, fmean(of[target] for target in data["targets"]))
    return found


def _notes(data: Mapping[str, Any]) -> list[str]:
    if not data["published_mean_spearman"]:
        return []
    notes = [f"Published: {data['published_origin']}."]
    if missing := data["missing_targets"]:
        said = ", ".join(f"{method} {value:.3f}" for method, value in data["published_mean_spearman"].items())
        n = len(missing) + len(data["targets"])
        notes.append(
            f"The published means ({said}) are over {n} targets, of which {', '.join(missing)} are not in the data: "
            "they do not compare with means over the others."
        )
        if _comparable(data):
            notes.append("What is published of single targets does; shown is its mean over those at hand.")
    return notes


def _sentence(data: Mapping[str, Any]) -> str:
    known = f"{data['source_samples']} architectures known of each"
    if data["sources"]:
        sources = f"from {', '.join(data['sources'])} ({known})"
    elif data["protocol"].startswith("leave-one-out"):
        sources = f"each from all the others ({known})"
    else:
        sources = "without sources"
    return (
        f"Protocol {data['protocol']}, space {data['space']}: to {', '.join(data['targets'])}, {sources}; "
        f"{data['samples']} architectures measured on each target, {len(data['seeds'])} seeds, "
        f"intervals meant to hold {100 * data['level']:g} %."
    )


def _cells(row: Row, sd: float | None) -> list[str]:
    spearman = figure_text(row["spearman"], 3)
    return [
        spearman if sd is None or row["spearman"] is None else f"{spearman} ± {sd:.3f}",
        *(percent_text(row.get(name)) for name in ("within_5", "within_10", "covered", "half_width")),
    ]


def _sd(rows: Sequence[Row], method: str) -> float | None:
    """Standard deviation over seeds of the mean over targets; None with one seed, or where a seed lacks a figure."""
    by_seed: dict[int, list[float | None]] = defaultdict(list)
    for row in rows:
        if row["method"] == method:
            by_seed[row["seed"]].append(row["spearman"])
    values = [value for of in by_seed.values() for value in of]
    if len(by_seed) < 2 or None in values:
        return None
    return pstdev(fmean(v for v in of if v is not None) for of in by_seed.values())


def _by_target(data: Mapping[str, Any], own: Mapping[str, Row]) -> tuple[list[list[str]], list[str]]:
    published = data["published_by_target"]
    several = len(data["seeds"]) > 1
    rows = [
        [
            target, *_cells(own[target], own[target]["spearman_sd"] if several else None),
            percent_text(own[target].get("transfer_share"), 0),
            *(figure_text(of.get(target), 3) for of in published.values()),
        ]
        for target in data["targets"]
    ]  # fmt: skip
    columns = ["target", *METHOD_COLUMNS[1:], "by sources %", *(f"published: {method}" for method in published)]
    return rows, columns


def _dots(method: str, own: str, rows: Mapping[str, Row]) -> DotRow:
    from predictors.transfer.validation.methods import CEILING

    color = ACCENT if method == own else INK if method == CEILING else COOL
    values = {target: row["spearman"] for target, row in rows.items() if target != MEAN}
    return DotRow(method, color, rows[MEAN]["spearman"], [(t, v) for t, v in values.items() if v is not None])


def _of_targets(published: Mapping[str, float], data: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(target, published[target]) for target in data["targets"] if target in published]
