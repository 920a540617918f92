"""What the report shows of S3NAS: runs below RESULTS/s3nas, stage by stage, and tables of studies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecost.report.s3nas_study import Table, study_tables

__all__ = ["S3nasRun", "S3nasSection", "s3nas_section"]

RUNS_DRAWN = 6
"""So many runs, the newest, are drawn; all are in the table."""

STAGES = (("search", "search.json", "searched"), ("scale", "scaling.json", "scaled"),
          ("postprocess", "postprocess.json", "post-processed"))  # fmt: skip
HIDDEN = ("exports", "folder", "network")
"""Columns of a study that are too wide for a table."""


@dataclass(slots=True)
class S3nasRun:
    """One run.

    Attributes:
        name: of its folder.
        sentence: what the search came to.
        course: rows with step, phase, cross_entropy and t_hat (one figure a target).
        targets: rows with target, budget (of the search) and unit.
        networks: (name, [{stage, block, kernels, se}]) of what was found and of what became of it.
        rows: formatted rows of the table of results.
        options: formatted rows of post-processing's options.
        extras: formatted rows of what each option costs with nothing else changed.
        exports: formatted rows of the exported files.
    """

    name: str
    sentence: str
    course: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    networks: list[tuple[str, list[dict[str, Any]]]]
    rows: list[dict[str, str]]
    options: list[dict[str, str]] = field(default_factory=list)
    extras: list[dict[str, str]] = field(default_factory=list)
    exports: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class S3nasSection:
    """The section.

    Attributes:
        runs: those that are drawn, the newest first.
        rows: the rows of all runs together.
        studies: (title, columns, rows) of every table of a study.
        compared: the rows of studies that compare methods; they are drawn.
        notes: what could not be read.
    """

    runs: list[S3nasRun]
    rows: list[dict[str, str]]
    studies: list[Table]
    notes: list[str]
    compared: list[list[dict[str, Any]]] = field(default_factory=list)


def s3nas_section(results: Path) -> S3nasSection | None:
    """What there is of S3NAS in a results folder; None where there is nothing. What cannot be read is a note."""
    folder = results / "s3nas"
    found = sorted(folder.glob("*/search.json"), key=lambda path: -path.stat().st_mtime)
    runs: list[S3nasRun] = []
    notes: list[str] = []
    for path in found:
        try:
            runs.append(_run(path.parent))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            notes.append(f"The run {path.parent.name} could not be read: {type(error).__name__} {error}.")
    studies: list[Table] = []
    compared = []
    for path in sorted(folder.glob("*.json")):
        tables, rows = _study(path, notes)
        studies += tables
        if rows:
            compared.append(rows)
    if not runs and not studies and not notes:
        return None
    return S3nasSection(runs[:RUNS_DRAWN], [row for run in runs for row in run.rows], studies, notes, compared)


# -------------------------------------------------------------------- one run


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{path.name} holds no mapping")
    return found


def _run(folder: Path) -> S3nasRun:
    stages = {stage: _read(folder / name) for stage, name, _ in STAGES}
    final, verified = _read(folder / "final" / "final.json"), _read(folder / "verify.json")
    course = _read(folder / "result.json").get("course", [])
    search = stages["search"]
    names = {"search": "found", "scale": "scaled", "postprocess": "post-processed"}
    networks = [(names[stage], _blocks(data["network"])) for stage, data in stages.items() if data]
    rows: list[dict[str, str]] = []
    for stage, _, label in STAGES:
        if stages[stage]:
            rows += _rows(folder.name, label, stages[stage], final, verified)
    post = stages["postprocess"]
    return S3nasRun(
        folder.name,
        str(search["sentence"]),
        _course(course, search),
        [dict(row) for row in search["targets"]],
        networks,
        rows,
        [_option(row, str(post["unit"])) for row in post.get("options", [])],
        [_extra(row) for row in post.get("option_costs", [])],
        [_export(row) for row in final.get("exports", [])],
    )


def _course(course: Sequence[Mapping[str, Any]], search: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of the course, and the network that came out as the last."""
    if not course:
        return []
    last = {"step": search["steps"], "phase": 2, "cross_entropy": None, "t_hat": search["t_hat"]}
    return [*(dict(row) for row in course), last]


def _blocks(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every block of a network: its stage, and (kernel, expansion) of its parts."""
    from search.spaces.network import parse_network

    parsed = parse_network(network, "of a run")
    return [
        {"stage": index + 1, "text": block.text, "kernels": block.kernels, "se": block.se}
        for index, stage in enumerate(parsed.stages)
        for block in stage.blocks
    ]


def _rows(
    run: str, label: str, stage: Mapping[str, Any], final: Mapping[str, Any], verified: Mapping[str, Any]
) -> list[dict[str, str]]:
    """One row a target."""
    trained = final if final.get("key") == stage["key"] else {}
    accuracy = trained.get("accuracy", stage.get("accuracy"))
    rows = []
    for target in stage["targets"]:
        measured = target.get("measured")
        if measured is None and verified.get("stage") == stage["stage"]:
            found = [v for v in verified["targets"] if v["target"] == target["target"]]
            measured = found[0]["measured_ms"] if found and target["unit"] == "ms" else None
        unit = "ms" if target["unit"] == "ms" else "mJ"
        rows.append(
            {
                "run": run,
                "stage": label,
                "target": str(target["target"]),
                "budget": f"{target['budget']:.4g} {unit}",
                "predicted": _number(target["predicted"], unit),
                "measured": _number(measured, unit),
                "params": f"{stage['params']:,}",
                "macs": f"{stage['macs']:,}",
                "resolution": str(stage["resolution"]),
                "accuracy": "–" if accuracy is None else f"{100 * accuracy:.2f} %",
                "seconds": "–" if stage.get("seconds") is None else f"{stage['seconds']:.0f} s",
            }
        )
    return rows


def _option(row: Mapping[str, Any], unit: str) -> dict[str, str]:
    return {
        "option": str(row["option"]),
        "phi": f"{row['phi']:.2f}",
        "predicted": _number(row["predicted"], unit),
        "measured": _number(row["measured"], unit),
        "params": f"{row['params']:,}",
        "macs": f"{row['macs']:,}",
        "accuracy": f"{100 * row['accuracy']:.2f} %",
        "why": str(row["why"]),
        "kept": "kept" if row["kept"] else "",
    }


def _extra(row: Mapping[str, Any]) -> dict[str, str]:
    shares = {name: row.get(name) for name in ("predicted_extra", "measured_extra")}
    return {
        "target": str(row["target"]),
        "option": str(row["option"]),
        **{name: "–" if share is None else f"{100 * share:+.1f} %" for name, share in shares.items()},
    }


def _export(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "file": str(row["file"]),
        "kib": f"{row['bytes'] / 1024:.0f}",
        "accuracy": f"{100 * row['accuracy']:.2f} %",
        "agreement": f"{100 * row['agreement']:.2f} %",
        "max_error": f"{row['max_error']:.1e}",
    }


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.4g} {unit}"


# -------------------------------------------------------------------- studies


def _study(path: Path, notes: list[str]) -> tuple[list[Table], list[dict[str, Any]]]:
    """The tables of a study's file, and what of it is drawn; of another that holds rows, one table of whatever columns
    it has."""
    try:
        data = _read(path)
        if data.get("kind") == "s3nas-study":
            return study_tables(data), list(data["rows"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        notes.append(f"{path.name} could not be read: {type(error).__name__} {error}.")
        return [], []
    rows = data.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return [], []
    columns = [c for c in dict.fromkeys(key for row in rows for key in row) if c not in HIDDEN]
    cells = [[_cell(row.get(c), c) for c in columns] for row in rows]
    return [(str(data.get("title", path.stem)), columns, cells)], []


def _cell(value: Any, column: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        share = column.startswith("accuracy") and not column.endswith("pct")
        return f"{100 * value:.2f} %" if share else f"{value:.4g}"
    if isinstance(value, Sequence):
        return ", ".join(_cell(v, column) for v in value)
    return json.dumps(value)
