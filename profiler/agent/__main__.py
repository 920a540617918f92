"""The command line of the agent; see the package."""

from __future__ import annotations

import json
import sys
from typing import List, Optional

from .facts import facts
from .jobs import serve
from .worker import work

USAGE = "usage: agent.pyz serve | facts | worker\n"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run what the only argument names; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["serve"]:
        return serve()
    if given == ["worker"]:
        return work()
    if given == ["facts"]:
        sys.stdout.write(json.dumps(facts()) + "\n")
        return 0
    sys.stderr.write(USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main())
