"""What other installed packages add by entry points: looked up by group and name, loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from profiler.errors import ConfigError

__all__ = ["find_class", "load_offered", "offered"]

T = TypeVar("T")


def offered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; nothing is imported for it."""
    return {point.name: point for point in entry_points(group=group)}


def load_offered(point: EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return point.load()
    except Exception as error:  # whatever somebody else's module raises at import
        raise ConfigError(
            f"the entry point {point.name!r} of {point.group} ({point.value}) cannot be loaded "
            f"({type(error).__name__}: {error}): mend or remove the package that offers it"
        ) from error


def find_class(name: str, ours: Mapping[str, type[T]], base: type, group: str, what: str, besides: str = "") -> type[T]:
    """A class by name, ours first.

    Args:
        name: what is looked for.
        ours: those that come with the package.
        base: what every class of the group derives from.
        group: of the entry points.
        what: what such a class is, for the message.
        besides: stands behind the names that there are.

    Raises:
        ConfigError: for a name that nobody offers, or an entry point that cannot be loaded or is no such class.
    """
    if name in ours:
        return ours[name]
    points = offered(group)
    if name not in points:
        raise ConfigError(f"there is no {what} {name!r}; there are {', '.join(sorted({*ours, *points}))}{besides}")
    found = load_offered(points[name])
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"the entry point {name!r} of {group} is {found!r} and not a {base.__name__}")
    return cast("type[T]", found)
