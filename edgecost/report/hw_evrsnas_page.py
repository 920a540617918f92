"""A study of HW-EvRSNAS as one offline page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecost.report.hw_evrsnas import section_of

__all__ = ["write_page"]

_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>HW-EvRSNAS</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><style>'
    "body{font:14px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;color:#1d2733}"
    "h2{margin-top:1.6em}table{border-collapse:collapse;font-size:12.5px}"
    "td,th{padding:.15em .7em .15em 0;text-align:left;border-bottom:1px solid #e1e5ea;vertical-align:top}"
    "p{max-width:95ch}.scroll{overflow-x:auto}</style></head><body>"
    '{% include "hw_evrsnas.html.j2" %}</body></html>\n'
)


def write_page(data: Mapping[str, Any], out: Path, fbnet: Mapping[str, Any] | None = None) -> Path:
    """Write a study as one offline HTML file.

    Raises:
        StorageError: where it cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from search.files import write_text

    environment = Environment(
        loader=PackageLoader("edgecost.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    write_text(out, environment.from_string(_PAGE).render(hw_evrsnas=section_of(data, fbnet)))
    return out
