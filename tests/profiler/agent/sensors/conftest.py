"""A leaf whose kernel files lie in a folder of the test's, as real drivers lay them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from profiler.agent.leaf import Leaf


class TreeLeaf(Leaf):
    """Files below `root`, programs out of `says`, and a clock that moves when it is slept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0
        self.says: dict[tuple[str, ...], str] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self, path: str) -> str | None:
        return super().read(str(self.root) + path)

    def glob(self, pattern: str) -> list[str]:
        return [path[len(str(self.root)) :] for path in super().glob(str(self.root) + pattern)]

    def run(self, argv: Sequence[str], timeout_s: float = 5.0) -> str | None:
        return self.says.get(tuple(argv))

    def put(self, folder: str, files: Mapping[str, object]) -> None:
        for name, value in files.items():
            file = Path(f"{self.root}{folder}/{name}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")


@pytest.fixture
def tree(tmp_path: Path) -> TreeLeaf:
    return TreeLeaf(tmp_path)


@pytest.fixture
def entry() -> Callable[..., dict[str, object]]:
    """An entry of a job's `board.sensors`."""

    def make(kind: str, name: str = "", *channels: str, **more: object) -> dict[str, object]:
        return {
            "kind": kind, "name": name, "scope": "module-in", "channels": list(channels), "update_hz": None,
            "forks": False, **more,
        }  # fmt: skip

    return make
