"""What a report shows, read from a results folder: plain values, one section each, absent where there is no file."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.report.closure import closure_section
from edgecost.report.cuts import CutsSection, cuts_section
from edgecost.report.documents import read_document
from edgecost.report.formats import figure_text, short_names
from edgecost.report.hw_evrsnas import HwEvrsnasSection, hw_evrsnas_section
from edgecost.report.predictors import PredictorsSection, predictors_section
from edgecost.report.s3nas import S3nasSection, s3nas_section
from edgecost.report.trust import TrustSection, trust_section

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["DISCLAIMERS", "ReportData", "collect", "disclaimer"]

DISCLAIMERS = {
    "loopback": (
        "These six boards are one machine: this machine's CPU in six configurations, not six boards. Servers, runtimes "
        "and measurements are real; the figures say nothing about a Raspberry Pi, a Jetson or any other board."
    ),
    "simulated": (
        "There are no such boards: they are simulated, to test how boards are measured. Servers, agent, campaign and "
        "statistics are real; every figure is made up, and none says anything about any hardware."
    ),
}
"""What a report says first, by what stood in for the boards."""


@dataclass(slots=True)
class ReportData:
    """Everything the template shows.

    Attributes:
        kernels: rows of the heat map.
        parity: target -> points of its parity plot.
        closure: formatted rows of the closure table.
        twice: formatted rows of closure beside the noise floor by measuring twice.
        trust: spread, boards and energy, None where there is no table.
        cuts: how networks were cut, None where that was not tried.
        predictors: what they are worth on what was left out, None where nothing was.
        search, winner, training: sections of the search, None where nothing was searched or verified.
        s3nas: the section of S3NAS, None where there is no run of it.
        hw_evrsnas: the study of HW-EvRSNAS, None where there is none.
    """

    title: str
    created: str
    version: str
    host: str
    disclaimer: str
    targets: list[dict[str, Any]]
    kernels: list[dict[str, Any]]
    cards: list[dict[str, str]] = field(default_factory=list)
    parity: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    parity_titles: dict[str, str] = field(default_factory=dict)
    closure: list[dict[str, Any]] = field(default_factory=list)
    twice: list[dict[str, Any]] = field(default_factory=list)
    trust: TrustSection | None = None
    cuts: CutsSection | None = None
    predictors: PredictorsSection | None = None
    search: dict[str, Any] | None = None
    winner: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    s3nas: S3nasSection | None = None
    hw_evrsnas: HwEvrsnasSection | None = None
    notes: list[str] = field(default_factory=list)


def collect(results: Path) -> ReportData:
    """Read a results folder.

    Raises:
        ConfigError: when it holds no run.
        StorageError: when a file in it is damaged.
    """
    from edgecost import __version__
    from edgecost.stages.costs import load_table

    table = load_table(results)
    headers = _run_headers(results)
    targets = _targets(table, headers)
    data = ReportData(
        title="What networks cost here, and which is best within a budget",
        created=datetime.now().astimezone().isoformat(sep=" ", timespec="minutes"),
        version=__version__,
        host=_host(headers),
        disclaimer=disclaimer(header["device"].get("emulation") for header in headers.values()),
        targets=targets,
        kernels=_kernels(table),
    )
    closed = closure_section(table, read_document(results / "closure.json"))
    data.parity, data.closure, data.notes = closed.parity, closed.rows, list(closed.notes)
    data.twice = closed.twice
    data.parity_titles, data.cards = closed.titles, [closed.card] if closed.card else []
    names = {t["id"]: t["name"] for t in targets}
    data.trust = trust_section(table, names)
    if data.trust.spread.figures:
        data.cards.append(_gate_card(data.trust))
    data.cuts = cuts_section(results)
    data.predictors = predictors_section(results)
    _add_search(data, table, results)
    data.hw_evrsnas = hw_evrsnas_section(results)
    data.s3nas = s3nas_section(results)
    if data.s3nas is not None:
        data.notes += data.s3nas.notes
    data.notes += table.notes
    if table.corrupt_lines:
        data.notes.append(f"{table.corrupt_lines} corrupt journal lines were skipped.")
    if blind := sorted({names[r.target_id] for r in table.rows() if "sensor_missing" in r.issues}):
        where = "" if len(blind) == len(targets) else f" on {', '.join(blind)}"
        said = f"No power sensor could be read{where}: energy is null with the code sensor_missing, never a guess."
        data.notes.append(said)
    return data


def disclaimer(emulations: Iterable[str | None]) -> str:
    """What a report says first where such things stood in for boards; "" where boards were measured."""
    found = set(emulations)
    return " ".join(text for name, text in DISCLAIMERS.items() if name in found)


def _run_headers(results: Path) -> dict[str, dict[str, Any]]:
    headers: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("*/*/run.json")):
        header = read_document(path)
        if header is not None and "target" in header and "device" in header:
            headers.setdefault(str(header.get("target_id", path.parent)), header)
    return headers


def _host(headers: dict[str, dict[str, Any]]) -> str:
    for header in headers.values():
        facts = header.get("facts") or {}
        cpu = facts.get("cpu_model") or facts.get("cpu") or platform.processor()
        cores = facts.get("logical_cores") or facts.get("cores") or ""
        return f"{cpu}, {cores} cores" if cores else str(cpu)
    return ""


def _targets(table: CostTable, headers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    names = short_names([t.id for t in table.targets])
    rows: list[dict[str, Any]] = []
    for target in sorted(table.targets, key=lambda t: t.id):
        mine = table.rows(target_id=target.id, with_failed=True)
        header = headers.get(target.id, {})
        runtimes = (header.get("facts") or {}).get("runtimes") or {}
        version = runtimes.get(target.runtime, "") if isinstance(runtimes, dict) else ""
        doubts = {"sensor_missing", "unpinned"}
        energies = [r.energy_mj for r in mine if r.energy_mj is not None]
        rows.append(
            {
                "id": target.id,
                "name": names[target.id],
                "description": (header.get("device") or {}).get("description", ""),
                "runtime": f"{target.runtime} {version}".strip(),
                "kernels": sum(r.kind == "kernel" for r in mine),
                "blocks": sum(r.kind == "block" for r in mine),
                "models": sum(r.kind == "model" for r in mine),
                "flagged": sum(bool(set(r.issues) - doubts) for r in mine),
                "failed": sum(r.status != "ok" for r in mine),
                "energy": f"{len(energies)} rows" if energies else "no sensor",
            }
        )
    return rows


def _kernels(table: CostTable) -> list[dict[str, Any]]:
    from edgecost.stages.costs import row_dict

    names = short_names([t.id for t in table.targets])
    rows = []
    for row in table.rows(kind="kernel"):
        plain = {**row_dict(row), "target": names[row.target_id]}
        codes = [c for c in row.issues if c not in ("sensor_missing", "unpinned")]
        rows.append({**plain, "marginal_us": plain["latency_us"], "issues": " ".join(codes) or "–"})
    order: dict[str, float] = defaultdict(float)
    for r in rows:
        order[r["label"]] = max(order[r["label"]], r["marginal_us"] or 0.0)
    return sorted(rows, key=lambda r: -order[r["label"]])


def _gate_card(trust: TrustSection) -> dict[str, str]:
    spread = trust.spread
    detail = f"{spread.passed} of {spread.figures} on {len(spread.rows)} targets{trust.label}"
    share = f"{100 * spread.passed / spread.figures:.0f} %"
    return {"label": "figures that pass the gate", "value": share, "detail": detail, "tone": ""}


def _add_search(data: ReportData, table: CostTable, results: Path) -> None:
    studies = sorted((results / "search").glob("*.json"), key=lambda p: p.stat().st_mtime)
    verified = read_document(results / "verify.json")
    named = Path(verified["study"]).name if verified else ""
    chosen = next((p for p in studies if p.name == named), studies[-1] if studies else None)
    study = read_document(chosen) if chosen else None
    if study is None or "budget_ms" not in study:  # the section's figures are in ms
        return
    data.search = study
    data.winner = {
        "architecture": study["best"]["label"],
        "sentence": verified["sentence"] if verified else "Not measured yet: `edgecost verify` does it.",
        "figures": [],
        "layers": _layers(table, study),
    }
    if verified:
        data.winner["figures"] = [
            ("budget, ms", figure_text(verified["budget_ms"], 3)),
            ("predicted, ms", figure_text(verified["predicted_ms"], 3)),
            ("measured, ms", figure_text(verified["measured_ms"], 3)),
            ("95 % interval, ms", f"{figure_text(verified['low_ms'], 3)} – {figure_text(verified['high_ms'], 3)}"),
        ]
        good = verified["within_budget"]
        data.cards.append(
            {
                "label": f"winner on {verified['target'].split('/')[0]}",
                "value": f"{verified['measured_ms']:.2f} ms",
                "detail": f"{'within' if good else 'NOT within'} a budget of {verified['budget_ms']:.2f} ms",
                "tone": "good" if good else "bad",
            }
        )
    _add_training(data, read_document(results / "training.json"))


def _layers(table: CostTable, study: dict[str, Any]) -> list[dict[str, Any]]:
    """Predicted cost of the winner by kernel, equal kernels together."""
    from edgecost.stages.costs import fit_model
    from edgecost.stages.spaces import space_of

    if study["target"] not in {t.id for t in table.targets}:
        return []
    space = space_of(study)
    workload = space.workload(space.architecture(tuple(study["best"]["choices"])))
    together: dict[tuple[str, str], dict[str, Any]] = {}
    for part in fit_model(table, study["target"]).estimate(workload).by_op:
        entry = together.setdefault(
            (part.label, part.source), {"label": part.label, "source": part.source, "latency_ms": 0.0, "count": 0}
        )
        entry["latency_ms"] += part.latency_ms
        entry["count"] += 1
    return list(together.values())


def _add_training(data: ReportData, training: dict[str, Any] | None) -> None:
    if training is None:
        return
    data.training = {
        "sentence": training["sentence"],
        "rows": [
            {
                "name": r["name"],
                "accuracy": figure_text(r["accuracy_pct"], 1),
                "macs": figure_text(r["macs_m"], 1),
                "latency": figure_text(r["predicted_ms"], 2),
            }
            for r in training["rows"]
        ],
    }
    winner = next((r for r in training["rows"] if r["role"] == "winner"), None)
    if winner is not None:
        card = {
            "label": "winner's test accuracy",
            "value": "diverged" if winner["accuracy_pct"] is None else f"{winner['accuracy_pct']:.1f} %",
            "detail": training["data"],
            "tone": "",
        }
        data.cards.append(card)
