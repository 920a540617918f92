"""The program that lowers workloads for `profiler.measure.lowering`; its arguments are a folder and a time in seconds.

A request is a line {"workload", "runtime", "precision"}; the answer a line {} when the artefact is in the folder, or
{"error": the error's type, "message", "operators"}. It ends when its input ends, or when nobody has asked for so long.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from profiler.errors import ArtefactError, ConfigError, EdgeCostError, UnsupportedOperator
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.graph import Workload

__all__ = ["main"]


def answer(line: bytes, cache: ArtefactCache) -> dict[str, Any]:
    """Lower one workload."""
    request = json.loads(line)
    workload = Workload.from_dict(request["workload"])
    try:
        cache.get(workload, request["runtime"], request["precision"])
    except UnsupportedOperator as error:
        return {"error": "UnsupportedOperator", "message": str(error), "operators": list(error.operators)}
    except (ArtefactError, ConfigError, EdgeCostError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"error": "ArtefactError", "message": f"workload {workload.name or workload.key} needs too much memory"}
    return {}


def main(root: str, idle_s: float) -> None:
    """Answer until nobody asks any more."""
    # libraries chatter on stdout: the conversation keeps the real one
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cache = ArtefactCache(Path(root))
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        try:
            line = requests.get(timeout=idle_s)
        except queue.Empty:
            os._exit(0)  # not by returning: the thread is inside a read that nobody ends
        out.write(json.dumps(answer(line, cache)).encode() + b"\n")
        out.flush()


def _listen(requests: queue.Queue[bytes]) -> None:
    """Take requests in; where nobody is there any more, end the process in the middle of whatever it lowers."""
    with os.fdopen(0, "rb", closefd=False) as source:
        for line in source:
            requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
