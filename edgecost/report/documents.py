"""Reading the JSON documents that a report is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from profiler.errors import StorageError

__all__ = ["read_document", "told_as_damaged"]


def read_document(path: Path) -> dict[str, Any] | None:
    """A file's object; None where there is no file, or another document in it.

    Raises:
        StorageError: where it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}); make it again, or remove it") from None
    return found if isinstance(found, dict) else None


@contextmanager
def told_as_damaged(path: Path, what: str, command: str) -> Iterator[None]:
    """Around whatever takes a document apart, so that one with other fields or values becomes a sentence.

    Args:
        path: the document.
        what: it should be, such as "validation by leaving out".
        command: writes one.

    Raises:
        StorageError: in place of what goes wrong by the document's content.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StorageError(f"{path} is no {what} ({error!r}); `{command}` writes one") from None
