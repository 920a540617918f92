"""The agent as one file: a zipapp of `profiler/agent`, byte for byte the same wherever it is built."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib import resources

__all__ = ["PACKAGE", "build_agent"]

PACKAGE = "edgecost_agent"
"""What the agent's package is called inside the zipapp."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3

_MAIN = f'''\
"""Starts the agent; older Pythons are told, instead of failing over syntax that they do not know."""

import sys

if sys.version_info < (3, 7):
    sys.stderr.write("the agent needs Python 3.7 or newer, and this is %d.%d\\n" % sys.version_info[:2])
    sys.exit(2)

from {PACKAGE}.__main__ import main

sys.exit(main())
'''


@cache
def build_agent() -> tuple[bytes, str]:
    """The zipapp, and its SHA-256 in hexadecimal; `python3 agent.pyz serve` runs it.

    Nothing of the building machine enters: names are sorted, times and modes fixed, and nothing is compressed (what
    deflate writes depends on the version of zlib).
    """
    sources = {
        f"{PACKAGE}/{file.name}": file.read_bytes()
        for file in resources.files("profiler.agent").iterdir()
        if file.name.endswith(".py")
    }
    sources["__main__.py"] = _MAIN.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, sources[name])
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()
