"""Which packages a runtime needs on a board, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from profiler.errors import ConfigError
from profiler.fleet.plugins import runtime_spec
from profiler.fleet.targets import Device, Target

__all__ = ["Package", "below", "packages", "targets_by_runtime"]

_FALL_BACKS: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    # tflite-runtime's last release imports beside numpy 2, and then fails when a model is loaded
    ("ai-edge-litert",): (("tflite-runtime", "numpy<2"),),
}
"""What is tried when no version of a runtime's usual packages will do."""

_NUMPY = "numpy"
"""The agent hands inputs over as arrays; torch, for one, comes without."""

_GPU_LIBRARIES = ("nvidia-", "cuda-", "triton")


@dataclass(frozen=True, slots=True)
class Package:
    """What pip is asked for, to have one runtime.

    Attributes:
        requirements: the runtime's own distribution, and whatever must be asked for beside it.
        cpu: whether a build for GPUs, with its gigabytes of libraries, is not wanted.
    """

    requirements: tuple[str, ...]
    cpu: bool = True

    @property
    def name(self) -> str:
        """Of the distribution that is the runtime."""
        return canonicalize_name(Requirement(self.requirements[0]).name)

    def limited(self, limit: str) -> tuple[Requirement, ...]:
        """The requirements, with a further specifier such as "<1.30" for the runtime itself."""
        first, *others = (Requirement(text) for text in self.requirements)
        first.specifier &= limit
        return (first, *others)

    def unwanted(self, name: str) -> bool:
        """Whether a distribution of that name is there for GPUs only, and none is wanted."""
        return self.cpu and name.startswith(_GPU_LIBRARIES)


def packages(runtime: str, accelerators: Iterable[str] = ("",)) -> tuple[Package, ...]:
    """What is tried for a runtime, the preferred first; () where it needs nothing installed.

    A build for an accelerator runs on the CPU too, so it serves the other targets of its runtime as well.

    Raises:
        ConfigError: there is no such runtime, or its accelerators need different packages.
    """
    spec = runtime_spec(runtime)
    usual = spec.requirements_for()
    special = {spec.requirements_for(accelerator) for accelerator in accelerators} - {usual}
    if len(special) > 1:
        raise ConfigError(
            f"{runtime} needs {' or '.join(sorted(' '.join(words) for words in special))} for these accelerators, and "
            "one environment holds one of them: make two devices of it, each with a workdir of its own"
        )
    if special:
        return (Package((*special.pop(), _NUMPY), cpu=False),)
    return tuple(Package((*words, _NUMPY)) for words in (usual, *_FALL_BACKS.get(usual, ())) if words)


def below(version: str) -> str:
    """The specifier for releases older than this one's series: "<1.31" for 1.31.1."""
    found = Version(version)
    return f"<{found.major}.{found.minor}"


def targets_by_runtime(device: Device, runtimes: Iterable[str] | None = None) -> dict[str, tuple[Target, ...]]:
    """The device's targets by runtime, of these runtimes only where some are named.

    Raises:
        ConfigError: none of the device's targets has a runtime that is named.
    """
    found: dict[str, tuple[Target, ...]] = {}
    for target in device.targets:
        found[target.runtime] = (*found.get(target.runtime, ()), target)
    for runtime in runtimes or ():
        if runtime not in found:
            raise ConfigError(
                f"{device.id} has no target with the runtime {runtime!r}, only {', '.join(found)}: add one to its "
                "targets in devices.yaml, by which the runtime is tried"
            )
    return {runtime: targets for runtime, targets in found.items() if not runtimes or runtime in runtimes}
