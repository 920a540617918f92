"""Search spaces: architectures and the Workloads that they are.

`find_space` resolves a name; a space of one's own is an installed entry point of the group "edgecost.spaces" that
names a `SearchSpace` class without arguments, or simply an object that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from profiler.errors import ConfigError
from profiler.extensions import load_offered, offered
from search.spaces.base import Architecture, SearchSpace, Taps
from search.spaces.fbnet import FBNet
from search.spaces.mixconv import MixConv
from search.spaces.nasbench201 import NasBench201
from search.spaces.supernet import read_supernet

__all__ = ["SPACES", "Architecture", "FBNet", "MixConv", "NasBench201", "SearchSpace", "Taps", "find_space"]

SPACES: dict[str, Callable[[], SearchSpace]] = {"fbnet": FBNet, "mixconv": MixConv, "nasbench201": NasBench201}
"""The spaces that come with the package, by name."""


def find_space(name: str) -> SearchSpace:
    """The space of a name, built in or installed; "mixconv:SUPERNET" is that of a supernet's name or YAML file.

    Raises:
        ConfigError: where there is none of that name, or what is installed under it is no space.
    """
    if name in SPACES:
        return SPACES[name]()
    if name.startswith("mixconv:"):
        return MixConv(read_supernet(name.removeprefix("mixconv:")))
    installed = offered("edgecost.spaces")
    if name not in installed:
        raise ConfigError(f"there is no search space {name!r}; known are {', '.join(sorted({*SPACES, *installed}))}")
    space = load_offered(installed[name])()
    if not isinstance(space, SearchSpace):
        raise ConfigError(
            f"the entry point {name!r} of edgecost.spaces gives {type(space).__name__}, not a SearchSpace"
        )
    return space
