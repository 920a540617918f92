"""What nobody has come back for: the journals of old sessions, and agents of earlier versions."""

from __future__ import annotations

import os
import shutil
import sys
from typing import List

from ..place import Place

SESSIONS_KEPT = 20
AGENTS_KEPT = 4
"""So many of each stay, the most recently used ones: a count, since a board's clock is nothing to go by."""


def tidy(place: Place) -> int:
    """Remove the oldest sessions and agents beyond those that are kept, never this session's or this agent; how many.

    Only the holder of the lease may: no other session has an agent running then.
    """
    sessions = os.path.join(place.workdir, "sessions")
    old = [path for path in _newest_first(sessions) if path != os.path.realpath(place.folder)][SESSIONS_KEPT:]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    agents = [path for path in _newest_first(os.path.join(place.workdir, "agent")) if path.endswith(".pyz")]
    unused = [path for path in agents if path != os.path.realpath(sys.argv[0])][AGENTS_KEPT:]
    for path in unused:
        try:
            os.unlink(path)
        except OSError:
            continue
    return len(old) + len(unused)


def _newest_first(folder: str) -> List[str]:
    found = []
    try:
        folder = os.path.realpath(folder)
        for entry in os.scandir(folder):
            try:
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
            except OSError:
                continue
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]
