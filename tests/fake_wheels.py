"""Tiny wheels for tests, and stand-ins for runtimes: one that works (the host's own), one that dies at import."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
"""What an older core makes of a build for newer ones."""

_STANDS_IN = """\
import importlib, sys
sys.path.insert(0, {site!r})
del sys.modules[__name__]
sys.modules[__name__] = importlib.import_module(__name__)
"""


def stands_in(name: str) -> str:
    """The text of a package that is the host's own of that name."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return _STANDS_IN.format(site=str(Path(spec.origin).parent.parent))


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    *,
    requires: Sequence[str] = (),
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel that pip accepts; its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    wheel = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    everything = {
        **(files or {f"{name.replace('-', '_')}/__init__.py": f"__version__ = {version!r}\n"}),
        f"{stem}.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{stem}.dist-info/WHEEL": wheel,
    }
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in everything.items())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**everything, f"{stem}.dist-info/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(inner, (1980, 1, 1, 0, 0, 0)), text)
    return path


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
