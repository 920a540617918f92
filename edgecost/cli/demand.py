"""From the options of S3NAS's verbs to budgets, prices and boards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from edgecost.cli.output import Bar
    from edgecost.stages.s3nas.costs import Pricing
    from edgecost.stages.s3nas.demand import Budgets, Measure

__all__ = ["boards", "budgets_of", "pricing_of", "settings_of"]


def budgets_of(targets: Sequence[str], cost: str, in_ms: Sequence[float], in_mj: Sequence[float]) -> Budgets:
    """The budgets that were given.

    Raises:
        ConfigError: where they are in another unit than the cost, or not one a target.
    """
    from edgecost.stages.energy_costs import unit_of
    from edgecost.stages.s3nas.demand import Budgets

    unit = unit_of(cost)
    values, others = (in_ms, in_mj) if unit == "ms" else (in_mj, in_ms)
    if others:
        raise ConfigError(f"a budget of {cost} is given by --budget-{unit}")
    return Budgets(tuple(targets), tuple(values), unit)


def pricing_of(results: Path, costs: str, cost: str, supernet: str = "") -> Pricing:
    """Where costs come from.

    Raises:
        ConfigError: for an unknown source.
    """
    from edgecost.stages.s3nas.costs import SOURCES, Pricing

    source = next((s for s in SOURCES if s == costs), None)
    if source is None:
        raise ConfigError(f"--costs is {', '.join(SOURCES)}, not {costs!r}")
    return Pricing(results, source, "mj" if cost == "energy" else "ms", supernet)


def settings_of(texts: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Settings from NAME=VALUE, values read as YAML: weight=5, form=log, choice_dropout=false.

    Raises:
        ConfigError: for text of another form.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not name or not equals:
                raise ValueError(text)
            found[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"{option} takes NAME=VALUE, such as weight=5, not {text!r}") from None
    return found


def boards(devices: Path | None, effort: str, results: Path, bar: Bar, *, energy: bool) -> Measure:
    """Measuring on the boards of a devices file, with energies or without.

    Raises:
        ConfigError: where there is none.
    """
    from edgecost.stages.s3nas.demand import measure_on
    from edgecost.stages.targets import all_devices

    return measure_on(all_devices(devices), effort, results, bar, energy=energy)
