"""Models that are parameters of other models: `fit` fits copies of them, files keep their names and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predictors.additive import AdditiveModel
from predictors.base import CostModel

__all__ = ["fresh_copy", "plain_recipe", "recipe_of_plain"]


def fresh_copy(recipe: CostModel | None) -> CostModel:
    """A model to fit, with the recipe's parameters; an `AdditiveModel` where there is no recipe."""
    return AdditiveModel() if recipe is None else type(recipe)(**recipe.get_params(deep=False))


def plain_recipe(recipe: CostModel | None) -> dict[str, Any] | None:
    """A recipe by its name and parameters, JSON-able."""
    return None if recipe is None else {"model": recipe.name, "params": recipe.plain_params()}


def recipe_of_plain(data: Mapping[str, Any] | None) -> CostModel | None:
    """What `plain_recipe` was given, whose parameters may be recipes in turn.

    Raises:
        ConfigError: for a model that nobody offers.
    """
    from predictors.models import find_model

    return None if data is None else find_model(str(data["model"]))._of_plain(data["params"])
