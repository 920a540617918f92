from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from profiler.fleet.sessions import identity
from profiler.fleet.sessions.identity import host_id, is_dead, owner_json, passing_session_id, process_start, session_id
from profiler.fleet.targets import Device

DEVICE = Device("rpi5", "rpi5.lan", "me", ())
ROOT = Path(__file__).parents[4]


def test_a_session_is_named_by_host_user_folder_device_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {session_id(DEVICE, Path("/results"), "r1")}
    assert all(re.fullmatch("[0-9a-f]{16,64}", name) for name in names)
    names.add(session_id(DEVICE, Path("/results"), "r2"))
    names.add(session_id(DEVICE, Path("/other"), "r1"))
    names.add(session_id(Device("rpi4", "rpi5.lan", "me", ()), Path("/results"), "r1"))
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    names.add(session_id(DEVICE, Path("/results"), "r1"))
    monkeypatch.setattr(identity, "host_id", lambda: "f" * 16)
    names.add(session_id(DEVICE, Path("/results"), "r1"))
    assert len(names) == 6


def test_a_session_is_found_again_by_another_process_and_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from pathlib import Path; from profiler.fleet.targets import Device\n"
        "from profiler.fleet.sessions.identity import session_id\n"
        "print(session_id(Device('rpi5', 'elsewhere', 'you', ()), Path(sys.argv[1]), 'r1'))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, cwd=ROOT)
    monkeypatch.chdir(tmp_path)
    assert out.stdout.strip() == session_id(DEVICE, Path("x"), "r1")


def test_passing_sessions_differ() -> None:
    assert len({passing_session_id() for _ in range(20)}) == 20


def test_the_owner_is_this_process_on_one_line() -> None:
    said = owner_json()
    assert "\n" not in said
    owner = json.loads(said)
    assert (owner["host"], owner["pid"], owner["start"]) == (host_id(), os.getpid(), process_start(os.getpid()))
    assert re.fullmatch("[0-9a-f]{16}", owner["host"])


def test_a_process_is_dead_when_it_or_its_boot_is_over_and_not_when_it_cannot_be_seen() -> None:
    start = process_start(os.getpid())
    assert start is not None
    assert not is_dead(os.getpid(), start)
    boot, namespace, ticks = start.split()
    assert is_dead(os.getpid(), f"{boot} {namespace} {int(ticks) + 1}"), "its number has passed to another process"
    assert is_dead(os.getpid(), f"0-0 {namespace} {ticks}"), "this host has been rebooted since"
    assert not is_dead(1 << 22, f"{boot} pid:[1] {ticks}"), "it may live in another container"
    assert not is_dead(os.getpid(), "")
    assert not is_dead(os.getpid(), "nonsense")
    with subprocess.Popen(["true"]) as process:
        then = process_start(process.pid)
    assert then is None or is_dead(process.pid, then)
