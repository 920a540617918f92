"""How a report writes names and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["figure_text", "named", "percent_text", "short_names"]


def short_names(target_ids: Sequence[str]) -> dict[str, str]:
    """Device ids where they say enough, whole target ids where a device has several targets."""
    devices = [t.split("/", 1)[0] for t in target_ids]
    return {t: d if devices.count(d) == 1 else t for t, d in zip(target_ids, devices, strict=True)}


def named(target: Mapping[str, Any]) -> str:
    """The id of a document's target, and that it is simulated where it is."""
    return f"{target['target']}{' (simulated)' if target['emulation'] == 'simulated' else ''}"


def figure_text(value: float | None, digits: int = 1) -> str:
    """A figure with so many decimals, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share or a relative error in per cent, a dash where there is none."""
    return figure_text(None if share is None else 100.0 * share, digits)
