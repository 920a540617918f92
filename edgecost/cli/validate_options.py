"""Which options of `edgecost validate` go together: one that would be ignored is refused."""

from __future__ import annotations

import typer

from profiler.errors import ConfigError

__all__ = ["check_options"]

_MEASURED = ("--target", "--results", "--max-mape", "--json")

WAYS: dict[str, tuple[str, ...]] = {
    "--protocol": ("--data", "--sources", "--targets", "--samples", "--seeds", "--out", "--json"),
    "--cuts": _MEASURED,
    "--left-out": (*_MEASURED, "--seeds", "--out"),
    "": _MEASURED,
}
"""What each way of validating takes; closure, which has no option of its own, is ""."""


def check_options(context: typer.Context) -> None:
    """Hold the options that were given on the command line against the way of validating that they choose.

    Raises:
        ConfigError: two ways are asked for, or an option that the way does not read.
    """
    given = [parameter.opts[0] for parameter in context.command.params if _was_given(context, parameter.name)]
    ways = [option for option in given if option in WAYS]
    if len(ways) > 1:
        raise ConfigError(f"{_listed(ways)} are different validations; give one of them")
    way = ways[0] if ways else ""
    idle = [option for option in given if option not in (*WAYS[way], *ways)]
    if idle:
        called = f"`validate {way}`" if way else "plain `validate`"
        elsewhere = [name for name, takes in WAYS.items() if name and all(option in takes for option in idle)]
        theirs = f"; {_listed(idle)} can stand with {' or '.join(elsewhere)}" if elsewhere else ""
        raise ConfigError(f"{called} does not read {_listed(idle)}, but only {_listed(WAYS[way])}{theirs}")


def _was_given(context: typer.Context, name: str | None) -> bool:
    """Whether an option stands on the command line, were it with the value that it has anyway."""
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"


def _listed(options: list[str] | tuple[str, ...]) -> str:
    *rest, last = options
    return f"{', '.join(rest)} and {last}" if rest else last
