"""What the report shows of a study of HW-EvRSNAS: regret by method and device, every budget beside its optimum, the
published figures, winners that were measured, ablations, rank correlations, what it took; and FBNet's study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecost.report.hw_evrsnas_charts import charts_of
from profiler.errors import StorageError

__all__ = ["HwEvrsnasSection", "hw_evrsnas_section", "section_of"]

Table = tuple[str, list[str], list[list[str]]]
Rows = Sequence[Mapping[str, Any]]
Cells = tuple[list[str], list[list[str]]]


@dataclass(slots=True)
class HwEvrsnasSection:
    """The section.

    Attributes:
        sentence: what the study came to.
        tables: title, columns, cells.
        charts: heading, a sentence, and charts as HTML whose text is escaped.
        notes: sentences below the tables.
    """

    sentence: str
    tables: list[Table]
    charts: list[tuple[str, str, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def hw_evrsnas_section(results: Path) -> HwEvrsnasSection | None:
    """The section of a results folder; None where no study was made.

    Raises:
        StorageError: where a study's file is damaged.
    """
    from edgecost.stages.evrsnas.files import read_fbnet, read_study

    folder = results / "hw-evrsnas"
    study, fbnet = read_study(folder), read_fbnet(folder)
    try:
        return None if study is None else section_of(study, fbnet)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"the study in {folder} lacks what the report shows of it ({error!r}); make it again by "
            "`edgecost study hw-evrsnas`, or remove it"
        ) from None


def section_of(data: Mapping[str, Any], fbnet: Mapping[str, Any] | None = None) -> HwEvrsnasSection:
    """The section of a study's content, and of FBNet's where there is one.

    Raises:
        KeyError, TypeError: where it is none.
    """
    ablations = data.get("ablations", ())
    found = [
        ("Regret against the exhaustive constrained optimum, in accuracy points, mean over budgets and seeds",
         *_methods(data["summary"])),
        ("CIFAR-100 beside published figures", *_published(data.get("published", {}).get("rows", ()))),
        ("Winners on targets of our own: predicted, measured, budget", *_boards(data.get("boards", ()))),
        ("Every budget: accuracy of the answers, mean over seeds, beside the best that there is",
         *_budgets(data["budgets"])),
        ("Ablation: the penalty, by whole searches", *_penalties(ablations)),
        ("Ablation: mutation, by whole searches", *_mutations(ablations)),
        ("Ablation: scores under other settings. Regret is of the best by score among the scored classes within each "
         "budget, against the most accurate of the very same", *_variants(ablations)),
        ("Rank correlation of scores with test accuracy, one architecture an isomorphism class",
         *_correlations(data["correlations"])),
        ("What it took", *_spent(data)),
        *_of_fbnet(fbnet),
    ]  # fmt: skip
    notes = [f"{name}: {text}." for name, text in data.get("published", {}).get("sources", {}).items()]
    if fbnet is not None:
        notes.append(str(fbnet["sentence"]))
    return HwEvrsnasSection(str(data["sentence"]), [t for t in found if t[2]], charts_of(data), notes)


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "NO", None: "–"}[value]


def _methods(rows: Rows) -> Cells:
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


def _budgets(rows: Rows) -> Cells:
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


def _published(rows: Rows) -> Cells:
    columns = [
        "device", "budget ms", "ours, mean of seeds %", "by seed", "at ms", "paper's follow-up %", "reached",
        "HELP + MetaD2A", "optimum %", "its cost ms",
    ]  # fmt: skip
    cells = [
        [
            row["device"], f"{row['budget_ms']:g}", _figure(row["ours"]),
            ", ".join(_figure(a) for a in row["ours_by_seed"]), ", ".join(f"{c:.2f}" for c in row["cost_by_seed_ms"]),
            "–" if row["paper"] is None else f"{row['paper']:.1f} ± {row['paper_read_within']:g}",
            _yes(row["paper_reached"]),
            "–" if row["help"] is None else
            f"{row['help']:.1f} at {row['help_achieved_ms']:g} ms{'' if row['help_within'] else ', beyond its budget'}",
            _figure(row["optimum"]), f"{row['optimum_cost_ms']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def _boards(rows: Rows) -> Cells:
    columns = [
        "target", "budget", "winner", "seeds", "predicted", "interval", "measured", "its interval", "within budget",
        "within interval", "off %", "accuracy %",
    ]  # fmt: skip
    cells = [
        [
            row["target"], f"{row['budget']:.4g} {row['unit']}", row["architecture"], ", ".join(map(str, row["seeds"])),
            _figure(row["predicted"], 3),
            f"{_figure(row['low'], 3)} to {_figure(row['high'], 3)} ({100 * row['level']:.0f} %)",
            _figure(row["measured"], 3) if row["measured"] is not None else row["status"],
            "–" if row["measured"] is None else f"{row['measured_low']:.3f} to {row['measured_high']:.3f}",
            _yes(row["within_budget"]), _yes(row["within_interval"]), _figure(row["off_pct"], 1),
            _figure(row["accuracy"]),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def _penalties(rows: Rows) -> Cells:
    columns = ["penalty", "", "regret", "worst", "beyond budget", "evaluations"]
    cells = [
        [
            row["setting"], "the default" if row["is_default"] else "", _figure(row["regret"]),
            _figure(row["worst_regret"]), f"{row['infeasible']} of {row['answers']}", _figure(row["evaluations"], 0),
        ]
        for row in rows
        if row["what"] == "penalty"
    ]  # fmt: skip
    return columns, cells


def _mutations(rows: Rows) -> Cells:
    columns = ["mutation", "", "found the best score", "regret", "worst", "evaluations"]
    cells = [
        [
            row["setting"], "the default" if row["is_default"] else "", f"{100 * row['found_best']:.0f} %",
            _figure(row["regret"]), _figure(row["worst_regret"]), _figure(row["evaluations"], 0),
        ]
        for row in rows
        if row["what"] == "mutation"
    ]  # fmt: skip
    return columns, cells


def _variants(rows: Rows) -> Cells:
    columns = [
        "varied", "among", "setting", "classes", "tau", "regret", "tau with macs", "regret with macs", "macs: tau",
        "regret", "budgets",
    ]  # fmt: skip
    cells = [
        [
            row["what"], row["among"], row["setting"], str(row["classes"]), _figure(row["kendall_tau"]),
            _figure(row["regret"]), _figure(row["with_macs"]["kendall_tau"]), _figure(row["with_macs"]["regret"]),
            _figure(row["macs"]["kendall_tau"]), _figure(row["macs"]["regret"]), str(row["budgets"]),
        ]
        for row in rows
        if row["what"] not in ("penalty", "mutation")
    ]  # fmt: skip
    return columns, cells


def _correlations(rows: Rows) -> Cells:
    columns = ["data set", "score", "of accuracies", "Kendall τ", "Spearman ρ", "classes"]
    cells = [
        [
            row["dataset"], row["score"], "all" if not row["above"] else f"from {row['above']:g} %",
            _figure(row["kendall_tau"]), _figure(row["spearman_rho"]), str(row["n"]),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def _spent(data: Mapping[str, Any]) -> Cells:
    columns = ["what", "seconds", "of the processor", "energy", "how that is known"]
    cells = []
    if "search" in data:
        s = data["search"]
        name = f"all {s['searches']} searches, controls too, scores given"
        cells.append([name, _figure(s["wall_s"], 1), _figure(s["cpu_s"], 1), _joules(s["energy_j"]), s["energy_is"]])
    for s in data.get("scoring", ()):
        preset = f", {s['preset']}" if s["preset"] else ""
        name = f"scores {s['identity']}{preset}: {s['architectures']} classes, {s['networks']} networks"
        cells.append([name, _figure(s["seconds"], 0), "–", _joules(s["energy_j"]), s["energy_is"]])
    return columns, cells


def _joules(value: float) -> str:
    return f"{value / 1000:.3g} kJ" if value >= 1000 else f"{value:.3g} J"


def _of_fbnet(data: Mapping[str, Any] | None) -> list[Table]:
    if data is None:
        return []
    columns = ["device", "method", f"mean {data['score']}", "share of budget", "beyond budget", "evaluations"]
    cells = [
        [
            row["device"], row["method"], _figure(row["score"], 3), _figure(row["cost_share"]),
            f"{row['infeasible']} of {row['answers']}", _figure(row["evaluations"], 0),
        ]
        for row in data["summary"]
    ]  # fmt: skip
    answers = [
        [
            row["device"], f"{row['budget']:.4g} {row['unit']}", str(row["seed"]), _figure(row["cost"], 3),
            _figure(row["score"], 3), "yes" if row["feasible"] else "NO", str(row["evaluations"]), row["architecture"],
        ]
        for row in data["rows"]
        if row["method"] == "hw-evrsnas" and row["architecture"] is not None
    ]  # fmt: skip
    own = ["device", "budget", "seed", "cost", "score", "within", "evaluations", "architecture"]
    return [
        (
            "FBNet's space on its four devices: scores reached within the budget; accuracies are not public",
            columns,
            cells,
        ),
        ("FBNet's space: every answer", own, answers),
    ]
