"""Whatever a hostile board does, the host answers with a typed, printable error, in bounded memory and time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.attacks import ATTACKS
from tests.faults.hostile import HostileBoard
from tests.faults.sources import ROOT

MOST_EXTRA_MB = 200.0
MOST_S = 60.0
"""All limits of a visit are of seconds; this is for machines with a lot else to do."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")


class Visitor:
    """The process of visitor.py, replaced when it hangs."""

    def __init__(self, board: HostileBoard, work: Path) -> None:
        self._board = board
        self._work = work
        self._process: subprocess.Popen[str] | None = None

    def visit(self, patience: float = 1.0) -> dict[str, Any]:
        """What came of a visit; all of its limits are `patience` times a second or two."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.visitor"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self._work)},
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        request = {
            "port": self._board.port, "key": str(self._board.key), "fingerprint": self._board.fingerprint,
            "work": str(self._work), "pause_s": self._board.attack.pause_s, "patience": patience,
        }  # fmt: skip
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], MOST_S)[0]:
            self.close()
            return {"error": "", "text": f"it hung for {MOST_S:g} s", "typed": False, "told": [], "extra_mb": 0}
        found = json.loads(process.stdout.readline() or '{"text": "the host crashed", "typed": false}')
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileBoard]:
    with HostileBoard(tmp_path_factory.mktemp("hostile")) as up:
        yield up


@pytest.fixture(scope="module")
def visitor(board: HostileBoard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    made = Visitor(board, tmp_path_factory.mktemp("visitor"))
    yield made
    made.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_host_holds(board: HostileBoard, visitor: Visitor, name: str) -> None:
    board.attack, expected = ATTACKS[name]
    found = visitor.visit()
    if found["error"] == "DeviceTimeout" and "DeviceTimeout" not in expected:
        found = visitor.visit(patience=8.0)  # this machine is busy
    assert found["typed"], f"{found.get('error')}: {found['text'][:500]}"
    assert found["error"] in expected, found["text"][:500]
    assert found["text"].isprintable(), ascii(found["text"])
    assert len(found["text"]) < 1200
    assert all("\x1b" not in text and text.isprintable() for text in found["told"])
    assert found["extra_mb"] <= MOST_EXTRA_MB, f"{found['extra_mb']:.0f} MB more, {found['text'][:200]}"


def test_a_board_that_is_not_hostile_is_measured(board: HostileBoard, visitor: Visitor) -> None:
    """The host that holds against all of them is one that would have worked."""
    board.attack = ATTACKS["facts with everything in them"][0]
    found = visitor.visit(patience=8.0)
    assert found["error"] == "", found["text"]
    assert len(found["told"]) == 3
