"""The agent as one file: a zipapp of `profiler/agent` and plug-ins, byte for byte the same wherever it is built."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from profiler.fleet.runtime_spec import AgentPlugin

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

_PLUGINS = """\
\"\"\"Runtimes that plug-ins brought along.\"\"\"

DISTRIBUTIONS = {!r}
"""


@cache
def build_agent(plugins: tuple[AgentPlugin, ...] = ()) -> tuple[bytes, str]:
    """The zipapp, and its SHA-256 in hexadecimal; `python3 agent.pyz attach ...` runs it.

    Nothing of the building machine enters: names are sorted, times and modes fixed, and nothing is compressed (what
    deflate writes depends on the version of zlib).

    Args:
        plugins: further runtimes that the agent is to know (`profiler.fleet.plugins.agent_plugins`).
    """
    sources = dict(_sources(resources.files("profiler.agent"), PACKAGE))
    sources["__main__.py"] = _MAIN.encode()
    for plugin in plugins:
        place = f"{PACKAGE}/plugins/{plugin.name}"
        sources[f"{place}/__init__.py" if plugin.modules else f"{place}.py"] = plugin.source.encode()
        sources.update({f"{place}/{path}": source.encode() for path, source in plugin.modules})
    if plugins:
        named = {plugin.name: plugin.distributions for plugin in sorted(plugins, key=lambda plugin: plugin.name)}
        sources[f"{PACKAGE}/plugins/__init__.py"] = _PLUGINS.format(named).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, sources[name])
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """The modules of a package and of the packages inside it."""
    for file in folder.iterdir():
        if file.name.endswith(".py"):
            yield f"{name}/{file.name}", file.read_bytes()
        elif file.is_dir() and file.joinpath("__init__.py").is_file():
            yield from _sources(file, f"{name}/{file.name}")
