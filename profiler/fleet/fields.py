"""What the fields of a board's messages may hold: names, numbers within bounds, text made safe to show."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from profiler.measure.record import ISSUES

__all__ = [
    "MAX_NS",
    "MAX_TEXT",
    "EnvValue",
    "Finite",
    "Issue",
    "Name",
    "Nanoseconds",
    "NotNegative",
    "ProcessId",
    "Text",
    "escape",
]

MAX_NS = 10**15
"""Eleven days: no batch, load or first run lasts longer."""

MAX_TEXT = 500


def escape(text: str, limit: int = MAX_TEXT) -> str:
    r"""Text from a board as a terminal may show it: at most `limit` characters, none of which does anything.

    Control characters (and with them all terminal sequences), line breaks, characters that turn the direction of
    writing, invisible ones and lone surrogates are spelled out as \x1b, \n, \u202e. Backslashes stay as they are, so
    escaping twice is escaping once. HTML needs its own escaping on top.
    """
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _known_issue(code: str) -> str:
    if code not in ISSUES:
        raise ValueError("not an issue code")
    return code


Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(escape)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Issue = Annotated[str, AfterValidator(_known_issue)]
ProcessId = Annotated[int, Field(ge=1, le=2**31)]
Nanoseconds = Annotated[int, Field(ge=1, le=MAX_NS)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
EnvValue = bool | Annotated[int, Field(ge=-(2**63), le=2**63)] | Finite | Text | None
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
