"""What some faults need: a small disk that can be filled, and a clock that can be set; both where they can be had."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_FILLER = "filler"


@contextlib.contextmanager
def small_disk(path: Path, size_mb: float) -> Iterator[bool]:
    """A tmpfs of that size at `path`; False where this process may not mount one."""
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={int(size_mb * 1024)}k,mode=700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:  # lazily: an agent may still have its journal open
            subprocess.run(["umount", "-l", str(path)], capture_output=True, check=True)


def fill(disk: Path, leaving_bytes: int = 0) -> None:
    """Fill a disk to the last byte, or nearly."""
    with contextlib.suppress(OSError), open(disk / _FILLER, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
        if leaving_bytes:
            file.truncate(max(0, file.tell() - leaving_bytes))


def is_full(disk: Path) -> bool:
    """Whether not even a byte can be written."""
    try:
        (disk / "probe").write_bytes(b"x" * 4096)
    except OSError as error:
        return error.errno == errno.ENOSPC
    finally:
        with contextlib.suppress(OSError):
            (disk / "probe").unlink()
    return False


def make_room(disk: Path) -> None:
    """Take away what `fill` brought."""
    (disk / _FILLER).unlink(missing_ok=True)


def faketime_library() -> Path | None:
    """The library that lets a process believe in another time, where it is installed."""
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        found = sorted(folder.glob("**/faketime/libfaketime.so.1"))
        if found:
            return found[0]
    return None


class Clock:
    """The wall clock of a board that can be set, as by hand or by a time server; its steady clocks go on.

    Python sleeps until a moment of the steady clock, which the library mistakes for one of the wall clock; so on such a
    board it sleeps by select instead.

    Args:
        home: of the board.
        library: see `faketime_library`.
    """

    def __init__(self, home: Path, library: Path) -> None:
        self._file = home / "clock"
        self.python = home / "python-with-clock"
        self.step(0)
        site = home / "clock-site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(
            "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
        )
        self.python.write_text(
            "#!/bin/sh\n"
            f"export LD_PRELOAD='{library}' FAKETIME_TIMESTAMP_FILE='{self._file}'\n"
            f"export PYTHONPATH='{site}'\n"
            "export FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1\n"
            f'exec "{sys.executable}" "$@"\n'
        )
        self.python.chmod(0o700)

    def step(self, seconds: float) -> None:
        """Set it so much off the true time."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{seconds:+f}\n")
        os.replace(temporary, self._file)

    def seen(self) -> float:
        """What a Python on the board takes for the time now."""
        out = subprocess.run(
            [self.python, "-c", "import time; print(time.time())"], capture_output=True, check=True, text=True
        )
        return float(out.stdout)
