"""YAML texts of supernets and networks: to a mapping, and what is wrong with one in words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from profiler.errors import ConfigError

__all__ = ["read_yaml_text", "words_of", "yaml_mapping"]

_WORDS = {"missing": "it is missing", "extra_forbidden": "there is no such key"}


def read_yaml_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: saying why it cannot be read, without naming it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from None
    except ValueError:  # not UTF-8, or a path that no file system allows
        raise ConfigError("it is not text") from None


def yaml_mapping(text: str, what: str, keys: Iterable[str]) -> dict[Any, Any]:
    """The mapping that a text holds.

    Args:
        text: YAML.
        what: names it in errors: "the network net.yaml".
        keys: those that it may have, for the error.

    Raises:
        ConfigError: where it is not YAML, or no mapping.
    """
    import yaml

    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as the 99th of a month
        raise ConfigError(f"{what} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what} must be a mapping with the keys {', '.join(keys)}")
    return data


def words_of(error: ValidationError) -> str:
    """The first thing that pydantic finds wrong: where, and what."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {_WORDS.get(first['type'], first['msg'].lower())}"
