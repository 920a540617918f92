"""The templates of pages, and how a still page is written: one that has no script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "write_still"]


def environment() -> Environment:
    """The report's templates; what came from a board or a file is escaped by them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("edgecost.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def write_still(template: str, out: Path, **values: Any) -> Path:
    """Write a page that extends still.html.j2.

    Raises:
        StorageError: where it cannot be written.
    """
    from search.files import write_text

    write_text(out, environment().get_template(template).render(**values))
    return out
