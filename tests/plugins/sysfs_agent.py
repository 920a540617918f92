"""The board's half of the plug-in "sysfs": the machine as it is, but for power sensors, which lie in a folder.

It travels inside the agent and is no runtime: a target that names it only has it brought along.
"""

from __future__ import annotations

import os

from ..leaf import Leaf

FOLDERS = ("/sys/class/hwmon", "/sys/class/powercap")


class SysfsLeaf(Leaf):
    """Reads what lies below FOLDERS from below the folder that the environment names."""

    def __init__(self, root: str) -> None:
        self._root = root

    def read(self, path: str) -> str | None:
        return super().read(self._place(path))

    def glob(self, pattern: str) -> list[str]:
        place = self._place(pattern)
        return [path[len(place) - len(pattern) :] for path in super().glob(place)]

    def _place(self, path: str) -> str:
        return self._root + path if path.startswith(FOLDERS) else path


def make_leaf() -> SysfsLeaf:
    return SysfsLeaf(os.environ["SYSFS_TREE"])
