"""What a search's costs are counted in, and how its file names them: no energy stands under a name in ms."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["TEXTS", "CostUnit", "named", "unnamed"]

CostUnit = Literal["ms", "mj"]

TEXTS: dict[CostUnit, str] = {"ms": "ms", "mj": "mJ"}
"""The units as people write them."""

_FIELDS = ("budget", "cost", "best_cost", "predicted")


def named(data: Any, unit: CostUnit) -> Any:
    """JSON-able data in which what is called `cost_ms` within a search is called by its unit, at any depth."""
    return _renamed(data, {f"{name}_ms": f"{name}_{unit}" for name in _FIELDS}) if unit != "ms" else data


def unnamed(data: Any, unit: CostUnit) -> Any:
    """What `named` was given."""
    return _renamed(data, {f"{name}_{unit}": f"{name}_ms" for name in _FIELDS}) if unit != "ms" else data


def _renamed(data: Any, names: dict[str, str]) -> Any:
    if isinstance(data, dict):
        return {names.get(name, name): _renamed(value, names) for name, value in data.items()}
    return [_renamed(value, names) for value in data] if isinstance(data, list) else data
