"""Why a line misses its target, where that is known: by its claim."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXPLAINED"]

EXPLAINED: Mapping[str, str] = {}
