"""One thing found out about a board, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from profiler.fleet.messages import escape

__all__ = ["Finding", "Level", "error", "ok", "warning"]

Level = Literal["ok", "warning", "error"]

MAX_TEXT = 600


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found out.

    Attributes:
        level: "ok", "warning" (it works, with a doubt) or "error" (it does not work).
        what: one sentence; safe to show.
        remedy: what to do; "" when nothing needs doing, or when `what` is an error's sentence, which says it.
    """

    level: Level
    what: str
    remedy: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding("ok", escape(what, MAX_TEXT))


def warning(what: str, remedy: str) -> Finding:
    """It works, with a doubt."""
    return Finding("warning", escape(what, MAX_TEXT), escape(remedy, MAX_TEXT))


def error(what: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding("error", escape(what, MAX_TEXT), escape(remedy, MAX_TEXT))
