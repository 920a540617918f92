"""The command line of the agent; see the package."""

from __future__ import annotations

import sys
from typing import List, Optional

USAGE = "usage: agent.pyz serve | facts | worker\n"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run what the only argument names; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    # imported late: a worker needs nothing of the server, and a server nothing of the worker
    if given == ["serve"]:
        from .jobs import serve

        return serve()
    if given == ["worker"]:
        from .worker import work

        return work()
    if given == ["facts"]:
        import json

        from .facts import facts

        sys.stdout.write(json.dumps(facts()) + "\n")
        return 0
    sys.stderr.write(USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main())
