"""What a runtime is to the host: how files are made for it, what it can be asked for, and what runs it on a board."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from profiler.errors import ConfigError
from profiler.fleet.targets import PRECISIONS, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from profiler.workloads.graph import Workload

__all__ = ["NAME", "OWN_KERNELS", "AgentPlugin", "Layout", "RuntimeSpec"]

Layout = Literal["nchw", "nhwc"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""Runtimes, accelerators and suffixes become parts of ids, file names and module names."""

OWN_KERNELS = "none"
"""`fuses_like` of a runtime that executes every operator as a kernel of its own."""


@dataclass(frozen=True, slots=True)
class AgentPlugin:
    """What of a plug-in travels to a board.

    Attributes:
        name: of the runtime, and of the module among the agent's plug-ins.
        source: of that module; of its `__init__` where it is a package.
        distributions: see RuntimeSpec.
        modules: of a package, the other modules: path below its folder, and source.
    """

    name: str
    source: str
    distributions: tuple[str, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """A runtime as the host sees it.

    Attributes:
        name: small letters, digits and underscores.
        precisions: what it can be measured in.
        lower: makes the file that it loads, with seeded weights; raises ArtefactError or UnsupportedOperator.
        suffix: of that file; also names its format.
        layout: how the file has images laid out: "nchw" or "nhwc".
        accelerators: what may be asked for; "" is the runtime's own default.
        distributions: under which names it is packaged, in the order in which the agent prefers them.
        requirements: what provisioning installs, by accelerator; "" stands in for those that are not named.
        agent_module: the module that runs on the board, as a file, as the folder of a package, or as its text; None for
            built-in runtimes.
        fuses_like: the built-in runtime whose rules of fusion and isolation apply; "none": every operator a kernel.
        int8_reference: the first output of a full int8 file for `seeded_inputs`, channel-first, in real values, as
            this machine finds it; None: an int8 output is held against float32.
        version: raised whenever `lower` gives other bytes for the same workload; part of the artefacts' addresses.
    """

    name: str
    precisions: tuple[Precision, ...]
    lower: Callable[[Workload, Precision], bytes]
    suffix: str
    layout: Layout = "nchw"
    accelerators: tuple[str, ...] = ("",)
    distributions: tuple[str, ...] = ()
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    agent_module: Path | str | None = None
    fuses_like: str = OWN_KERNELS
    int8_reference: Callable[[Workload, bytes], NDArray[Any]] | None = None
    version: str = ""

    def __post_init__(self) -> None:
        what = f"the runtime {self.name!r}"
        for value in (self.name, self.suffix, *filter(None, self.accelerators)):
            if not NAME.fullmatch(value):
                raise ConfigError(
                    f"{what}: {value!r} is no name: use at most 32 small letters, digits and underscores, and begin "
                    "with a letter"
                )
        if not self.precisions or not set(self.precisions) <= set(PRECISIONS):
            raise ConfigError(f"{what}: precisions are some of {', '.join(PRECISIONS)}, not {self.precisions!r}")
        if self.layout not in ("nchw", "nhwc"):
            raise ConfigError(f'{what}: the layout is "nchw" or "nhwc", not {self.layout!r}')
        if self.fuses_like not in (OWN_KERNELS, "onnxruntime", "litert", "torch"):
            raise ConfigError(
                f'{what}: fuses_like is the name of a built-in runtime or "{OWN_KERNELS}", not {self.fuses_like!r}'
            )

    def requirements_for(self, accelerator: str = "") -> tuple[str, ...]:
        """What a board needs installed, as pip names it."""
        return self.requirements.get(accelerator, self.requirements.get("", ()))

    def agent_plugin(self) -> AgentPlugin | None:
        """What is sent to boards; None for a built-in runtime.

        Raises:
            ConfigError: the module's file cannot be read.
        """
        if self.agent_module is None:
            return None
        if isinstance(self.agent_module, str):
            return AgentPlugin(self.name, self.agent_module, self.distributions)
        place = self.agent_module
        try:
            if not place.is_dir():
                return AgentPlugin(self.name, place.read_text("utf-8"), self.distributions)
            found = {path.relative_to(place).as_posix(): path.read_text("utf-8") for path in place.rglob("*.py")}
            source = found.pop("__init__.py")
        except (OSError, UnicodeDecodeError, KeyError) as error:
            problem = "it has no __init__.py" if isinstance(error, KeyError) else error
            raise ConfigError(
                f"the agent module {place} of the runtime {self.name!r} cannot be read ({problem}): "
                "install the plug-in anew"
            ) from error
        return AgentPlugin(self.name, source, self.distributions, tuple(sorted(found.items())))
