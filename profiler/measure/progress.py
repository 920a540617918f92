"""How a campaign tells what it is doing, without knowing of terminals."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullProgress", "Progress"]


class Progress(Protocol):
    """What a campaign calls while it works; the command line shows it, tests collect it."""

    def start(self, total: int) -> None:
        """The measuring begins: `total` jobs are left to do."""

    def advance(self, label: str) -> None:
        """One job is journaled; `label` says which."""

    def message(self, text: str) -> None:
        """Something people should know, in one line."""


class NullProgress:
    """Tells nobody."""

    def start(self, total: int) -> None:
        """Nothing."""

    def advance(self, label: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""
