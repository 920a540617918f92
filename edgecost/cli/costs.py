"""The cost table as the verbs read it: what stays out of it, or should have, is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecost.cli.output import say

if TYPE_CHECKING:
    from profiler.tables.table import CostTable

__all__ = ["read_table"]


def read_table(results: Path, *, with_emulated: bool = False) -> CostTable:
    """The table of all runs below a folder; on stderr a sentence for whatever was left out of it.

    Raises:
        StorageError: there is no run, or one cannot be read.
        ConfigError: some are of simulated boards and others are not.
    """
    from edgecost.stages.costs import emulated_note, load_table

    table = load_table(results, with_emulated=with_emulated)
    note = emulated_note(table)
    for sentence in (*((note,) if note else ()), *table.notes):
        say(sentence)
    return table
