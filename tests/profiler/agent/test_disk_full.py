"""A board whose disk is full, for real: a tiny file system of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Job = dict[str, Any]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A board's folder with 128 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k,nr_inodes=40,mode=700", "none", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"this machine permits no mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    return ballast


def test_a_full_disk_loses_no_result(attach: Callable[..., Any], tiny: Path, file_job: Any, tmp_path: Path) -> None:
    agent = attach(workdir=tiny)
    agent.hello()
    # the journal's own page has room for a few more lines
    block = [file_job(tmp_path / f"{number}.onnx", "onnxruntime") | {"id": f"j{number}"} for number in range(12)]
    ballast = fill(tiny)
    agent.block(*block)
    entries = agent.entries(24)
    assert [entry.seq for entry in entries] == list(range(24))
    journal = agent.folder / "journal.jsonl"
    assert journal.read_bytes().count(b"\n") < 24
    agent.cut()
    again = attach(workdir=tiny)
    assert again.hello(since=4).entries == 24
    assert [entry.id for entry in again.entries(20)] == [entry.id for entry in entries[4:]]
    ballast.unlink()
    assert again.quit() == 0
    assert journal.read_bytes().count(b"\n") == 24


def test_an_agent_that_cannot_even_begin_says_why(attach: Callable[..., Any], tiny: Path) -> None:
    fill(tiny)
    # no more files either
    with pytest.raises(OSError, match="No space left"):
        for number in range(100):
            (tiny / f"{number}").touch()
    status, words = attach(workdir=tiny).close()
    assert status == 73
    assert "No space left on device" in words
