"""Where everything of a session lies on a board."""

from __future__ import annotations

import os
from typing import NamedTuple


class Place(NamedTuple):
    """Absolute paths.

    Attributes:
        workdir: the host's folder on this board.
        session: the session's name.
        folder: the session's own.
        lease: who has the board.
        socket: where relays meet the daemon.
        journal: its memory.
        card: who the daemon is: number and start of its process, and the boot.
        log: what it says to people.
    """

    workdir: str
    session: str
    folder: str
    lease: str
    socket: str
    journal: str
    card: str
    log: str

    @classmethod
    def of(cls, workdir: str, session: str) -> Place:
        """The places of a session."""
        workdir = os.path.abspath(workdir)
        folder = os.path.join(workdir, "sessions", session)
        names = ("socket", "journal.jsonl", "agent.json", "agent.log")
        return cls(workdir, session, folder, lease_of(workdir), *(os.path.join(folder, name) for name in names))


def lease_of(workdir: str) -> str:
    """The file that is locked by whoever uses the board."""
    return os.path.join(workdir, "lease")
