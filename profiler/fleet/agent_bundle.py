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
_MAIN = f"import sys\n\nfrom {PACKAGE}.__main__ import main\n\nsys.exit(main())\n"


@cache
def build_agent() -> tuple[bytes, str]:
    """The zipapp and its SHA-256; `python3 agent.pyz serve` runs it."""
    sources = {f"{PACKAGE}/{f.name}": f.read_bytes() for f in resources.files("profiler.agent").iterdir() if f.name.endswith(".py")}
    sources["__main__.py"] = _MAIN.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()
