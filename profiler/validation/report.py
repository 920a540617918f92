"""The proof as files: proof.json for programs, proof.md for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError, StorageError
from profiler.fleet.inventory.yamltext import write_atomically
from profiler.validation.lines import Line

__all__ = ["Proof", "read_proof", "write_proof"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Proof:
    """All lines, and what they rest on.

    Attributes:
        seed, jobs: as they were given.
        date: UTC, of the day.
        protocol: version of the measuring protocol.
        boards: how many boards were measured, by family.
        measurements: how many single measurements, sentinels included.
        lines: by the name of the claim.
        only: the claims that were asked for; "": all there are.
    """

    seed: int
    jobs: int
    date: str
    protocol: int | str
    boards: Mapping[str, int]
    measurements: int
    lines: Mapping[str, Sequence[Line]]
    only: str = ""

    @property
    def missed(self) -> list[Line]:
        """Lines whose target was not met."""
        return [line for lines in self.lines.values() for line in lines if line.met is False]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; None stands for what is not finite."""
        return {
            "schema": SCHEMA_VERSION,
            "simulated": True,
            "seed": self.seed,
            "jobs": self.jobs,
            "only": self.only,
            "date": self.date,
            "protocol": self.protocol,
            "boards": dict(self.boards),
            "measurements": self.measurements,
            "claims": {name: [_plain(line) for line in lines] for name, lines in self.lines.items()},
        }


def write_proof(proof: Proof, folder: Path, explained: Mapping[str, str]) -> None:
    """Write folder/proof.json and folder/proof.md, each whole or not at all.

    Args:
        proof: what is written.
        folder: made where it does not exist.
        explained: by a line's claim, why it misses its target.

    Raises:
        StorageError: a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}.") from error
    write_atomically(folder / "proof.json", json.dumps(proof.to_dict(), indent=1) + "\n")
    write_atomically(folder / "proof.md", _text(proof, explained))


def read_proof(path: Path) -> dict[str, Any]:
    """What stands in a proof.json.

    Raises:
        ConfigError: it is missing, or none of this version.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = found["schema"] == SCHEMA_VERSION
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no proof: {error}") from None
    if not known:
        raise ConfigError(f"{path} is a proof of version {found['schema']!r}, not {SCHEMA_VERSION}")
    return found


def _plain(line: Line) -> dict[str, Any]:
    values = {name: None if isinstance(v, float) and not isfinite(v) else v for name, v in asdict(line).items()}
    return values | {"met": line.met}


def _text(proof: Proof, explained: Mapping[str, str]) -> str:
    only = f" --only {proof.only}" if proof.only else ""
    boards = ", ".join(f"{count} {family}" for family, count in proof.boards.items())
    parts = [
        "# Proof of the measuring protocol",
        "",
        "Counted on **simulated boards**, whose truth is known; no figure here is one of any hardware. What each line",
        "means and which truth it is held against is in docs/validation.md; the boards are drawn by the seed alone.",
        "",
        f"Seed {proof.seed}, {proof.date}, protocol {proof.protocol}; boards: {boards}; "
        f"{proof.measurements} single measurements. Made by",
        f"`python -m profiler.validation --seed {proof.seed} --jobs {proof.jobs}{only}`.",
        "",
        "Intervals come from resampling whole boards.",
        "",
        "| claim | target | seen | 95 % interval | cases | boards | seed | date | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for lines in proof.lines.values():
        for line in lines:
            mark = _mark(line, explained, notes)
            parts.append(
                f"| {line.claim.strip()} | {line.target} | {_percent(line.seen)} | {_interval(line)} | {line.count} "
                f"| {line.boards or ''} | {proof.seed} | {proof.date} | {mark} |"
            )
    return "\n".join([*parts, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), ""])


def _mark(line: Line, explained: Mapping[str, str], notes: list[str]) -> str:
    words = {True: "met", False: "missed", None: ""}[line.met]
    why = explained.get(line.claim, "") if line.met is False else ""
    if why:
        words = "explained"
    said = "; ".join(part for part in (line.note, why) if part)
    if not said:
        return words
    notes.append(f"{line.claim.strip()}: {said}.")
    return f"{words} ({len(notes)})".strip()


def _percent(value: float) -> str:
    if not isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if abs(value) >= 0.05 else f"{100 * value:.2f} %"


def _interval(line: Line) -> str:
    return f"{_percent(line.low)} to {_percent(line.high)}" if isfinite(line.low) else ""
