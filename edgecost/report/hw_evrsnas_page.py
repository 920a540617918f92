"""A study of HW-EvRSNAS as one offline page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecost.report.hw_evrsnas import section_of
from edgecost.report.templates import write_still

__all__ = ["write_page"]


def write_page(data: Mapping[str, Any], out: Path, fbnet: Mapping[str, Any] | None = None) -> Path:
    """Write a study as one offline HTML file.

    Raises:
        StorageError: where it cannot be written.
    """
    return write_still("hw_evrsnas_page.html.j2", out, hw_evrsnas=section_of(data, fbnet))
