"""The command line of the agent; see the package."""

from __future__ import annotations

import json
import sys
from typing import List, Optional

USAGE = """\
usage: agent.pyz attach WORKDIR SESSION OWNER_JSON WAIT_S
       agent.pyz end WORKDIR PID START
       agent.pyz facts [WORKDIR]
       agent.pyz worker [LIMITS_JSON]
"""

COUNTS = {"attach": (4,), "end": (3,), "facts": (0, 1), "worker": (0, 1)}
"""How many arguments each command takes."""

USAGE_EXIT = 2


def main(arguments: Optional[List[str]] = None) -> int:
    """Run what the first argument names; returns the exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if len(rest) in COUNTS.get(command, ()):
        try:
            return _run(command, rest)
        except ValueError as error:  # a number or JSON that is none
            sys.stderr.write("%s\n" % error)
    sys.stderr.write(USAGE)
    return USAGE_EXIT


def _run(command: str, rest: List[str]) -> int:
    # each command pays for its own modules only: a zipapp compiles them anew every time
    if command == "attach":
        from .relay import attach

        return attach(rest[0], rest[1], rest[2], float(rest[3]))
    if command == "end":
        from .stale import end

        return end(rest[0], int(rest[1]), rest[2])
    if command == "worker":
        from .worker.worker import work

        return work(json.loads(rest[0]) if rest else {})
    from .facts import facts

    sys.stdout.write(json.dumps(facts(rest[0] if rest else None)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
