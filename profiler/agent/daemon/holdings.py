"""Which of the files that a host counts on are here, whole: a name is no proof, after a power cut or on a worn card."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import BinaryIO, Iterator, List, Sequence, Tuple

CHUNK_BYTES = 1 << 20


def _open(path: str) -> BinaryIO:
    """A plain file; OSError for whatever else has its name: a device never ends, a pipe waits, a link leads away."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("not a plain file")
    return os.fdopen(number, "rb")


class Survey:
    """Hashes files a piece at a time, so that whoever does it can do other things in between.

    Args:
        files: path and SHA-256 in hexadecimal of each.

    Attributes:
        missing: the places in `files` of those that are not there as they should be; complete at the end.
    """

    def __init__(self, files: Sequence[Tuple[str, str]]) -> None:
        self.missing: List[int] = []
        self._files = files
        self._steps = self._work()

    def step(self) -> bool:
        """Do a piece; whether there is more to do."""
        return next(self._steps, None) is not None

    def _work(self) -> Iterator[bool]:
        for place, (path, sha256) in enumerate(self._files):
            found = hashlib.sha256()
            try:
                with _open(path) as file:
                    while True:
                        chunk = file.read(CHUNK_BYTES)
                        if not chunk:
                            break
                        found.update(chunk)
                        yield True
            except (OSError, ValueError):
                self.missing.append(place)
                continue
            if found.hexdigest() != sha256:
                self.missing.append(place)
            yield True
