"""What a board remembers from one process to the next: small JSON files in its home, replaced as a whole."""

from __future__ import annotations

import json
import os
from typing import Any


class Store:
    """A file of plain values.

    Attributes:
        value: what it holds; {} where it does not exist yet or is torn.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.value: dict[str, Any] = {}
        self._stamp: Any = None
        self.refresh()

    def refresh(self) -> bool:
        """Read it again where somebody else has written it; whether that was so."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            with open(self.path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            found = {}
        self.value = found if isinstance(found, dict) else {}
        return True

    def save(self) -> None:
        """Write it, whole or not at all."""
        temporary = f"{self.path}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.value, file)
        os.replace(temporary, self.path)
        self._stamp = _stamp(self.path)


def _stamp(path: str) -> Any:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def append_line(path: str, value: dict[str, Any]) -> None:
    """Add a line of JSON to a file."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value, sort_keys=True) + "\n")
