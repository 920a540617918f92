"""What agents that misbehave have in common: the head of their source, and a session with one of them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.fleet.sessions import attaching
from profiler.fleet.sessions.session import BoardSession, SessionLimits
from profiler.fleet.targets import Device, LeaseTerms, Target
from profiler.fleet.transport.local import LocalTransport

BRIEF = SessionLimits(start_s=10, machine_lease_s=0.2, silence_s=1.0, margin_s=0.5, replay_s=5.0)
SESSION = "0123456789abcdef"

HEAD = """\
import json, os, sys, time
COMMAND, FOLDER = sys.argv[1:3]
SESSION = sys.argv[3] if COMMAND == "attach" else ""
HELLO = {"event": "hello", "protocol": 2, "pid": 1, "start": "1", "boot_id": "b", "session": SESSION,
         "python": "3.11.0", "entries": 0, "running": None, "queued": 0}
REPLY = {"status": "ok", "issues": [], "samples_ns": [5, 6], "runs_per_batch": 1, "load_ns": 1, "first_run_ns": 1,
         "warmup_runs": 1, "output_error": 0.0, "energy_mj": None, "error": "", "env": {}}
BEAT = {"event": "heartbeat", "running": None}

def say(x):
    sys.stdout.write((x if isinstance(x, str) else json.dumps(x)) + "\\n")
    sys.stdout.flush()

def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit()
    return json.loads(line)

def hello(**more):
    said = hear()
    say({**HELLO, **more})
    return said

def started(seq, id):
    say({"event": "started", "seq": seq, "id": id})

def result(seq, id, **more):
    say({"event": "result", "seq": seq, "id": id, **REPLY, **more})

def block():
    while True:
        said = hear()
        if said["op"] == "have":
            lacking = [n for n, (path, _) in enumerate(said["files"]) if not os.path.exists(path)]
            say({"event": "missing", "places": lacking})
        elif said["op"] == "block":
            say({"event": "queued", "jobs": len(said["jobs"])})
            return said["jobs"]
        else:
            sys.exit()
"""

Start = Callable[..., BoardSession]


@contextmanager
def fake_sessions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Makes sessions with an agent whose source (after HEAD) is given; its HOME is `folder`/home."""
    sessions: list[BoardSession] = []

    def make(
        source: str, *, limits: SessionLimits = BRIEF, session: str | None = SESSION, whole: bool = False, **fields: Any
    ) -> BoardSession:
        data = (source if whole else HEAD + source).encode()
        found = data, hashlib.sha256(data).hexdigest()
        monkeypatch.setattr(attaching, "build_agent", lambda plugins: found)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        device = Device(
            id="fake",
            host="",
            user="me",
            targets=(Target("fake", "onnxruntime", "fp32"),),
            python=sys.executable,
            machine=str(folder),
            lease=LeaseTerms(wait_s=0.2),
        )
        sessions.append(BoardSession(replace(device, **fields), LocalTransport(home, "fake"), session, limits))
        return sessions[-1]

    yield make
    for each in sessions:
        each.close()
