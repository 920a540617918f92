"""The agent's side of simulated boards: what stands in for clock, runtime and sysfs. Standard library, Python >= 3.7.

It travels inside the agent as its plug-in `simulated`. The modules that a host needs too (`graph`, `roofline`) import
nothing but their like; the others are imported when they are asked for, since only an agent has what they stand on.
"""

from __future__ import annotations

from typing import Any

__all__ = ["VERSION", "Model", "import_runtime", "make_leaf"]

VERSION = "1.0"
"""Of the runtime: raised whenever the same artefact takes another true time on the same board."""


def make_leaf() -> Any:
    """The leaf of this process (see the agent's `leaf`)."""
    from .leaf import make_leaf as make

    return make()


def import_runtime() -> Any:
    """The runtime as the agent's `runtimes` asks for it; refuses where no board is simulated."""
    from .runtime import import_runtime as find

    return find()


def __getattr__(name: str) -> Any:
    if name == "Model":
        from .runtime import SimulatedModel

        return SimulatedModel
    raise AttributeError(name)
