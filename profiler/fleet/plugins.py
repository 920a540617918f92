"""The runtimes there are: those that come with the project, and those that a plug-in brings.

Everything that depends on a runtime's name asks here. A plug-in is a `RuntimeSpec`, found as an entry point of the
group "edgecost.runtimes" in an installed package (its name there is the runtime's name), or passed in by `using`.
docs/runtimes.md says how one is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError
from profiler.fleet.runtime_spec import AgentPlugin, RuntimeSpec
from profiler.fleet.targets import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from profiler.workloads.graph import Workload

__all__ = [
    "GROUP",
    "AgentPlugin",
    "RuntimeSpec",
    "agent_plugins",
    "check_configuration",
    "is_known",
    "known_names",
    "known_runtimes",
    "rules_of",
    "runtime_spec",
    "using",
]

GROUP = "edgecost.runtimes"
"""The group of entry points that plug-ins are found by."""

# -------------------------------------------------------------------- those that come with the project


def _onnx(workload: Workload, precision: Precision) -> bytes:
    if precision == "int8":
        from profiler.workloads.builders.onnx_int8 import build_onnx_int8

        return build_onnx_int8(workload)
    from profiler.workloads.builders.onnx import build_onnx

    return build_onnx(workload)


def _tflite(workload: Workload, precision: Precision) -> bytes:
    from profiler.workloads.builders.tflite import build_tflite, build_tflite_int8

    return build_tflite_int8(workload) if precision == "int8" else build_tflite(workload)


def _torchscript(workload: Workload, precision: Precision) -> bytes:
    from profiler.workloads.builders.torch import build_torchscript

    return build_torchscript(workload)


def _onnx_reference(workload: Workload, data: bytes) -> NDArray[Any]:
    from profiler.workloads.expected import run_onnx

    return run_onnx(workload, data)


def _tflite_reference(workload: Workload, data: bytes) -> NDArray[Any]:
    from profiler.workloads.expected import run_litert

    return run_litert(workload, data)


_BUILT_IN: Mapping[str, RuntimeSpec] = {
    spec.name: spec
    for spec in (
        RuntimeSpec(
            name="onnxruntime",
            precisions=("fp32", "int8"),
            lower=_onnx,
            suffix="onnx",
            accelerators=("", "xnnpack", "cuda", "tensorrt"),
            distributions=("onnxruntime", "onnxruntime-gpu"),
            requirements={
                "": ("onnxruntime",),
                "cuda": ("onnxruntime-gpu",),
                "tensorrt": ("onnxruntime-gpu",),
            },
            fuses_like="onnxruntime",
            int8_reference=_onnx_reference,
        ),
        RuntimeSpec(
            name="litert",
            precisions=("fp32", "int8"),
            lower=_tflite,
            suffix="tflite",
            layout="nhwc",
            accelerators=("", "edgetpu", "gpu"),
            distributions=("ai-edge-litert", "tflite-runtime"),
            requirements={"": ("ai-edge-litert",)},
            fuses_like="litert",
            int8_reference=_tflite_reference,
        ),
        RuntimeSpec(
            name="torch",
            precisions=("fp32",),
            lower=_torchscript,
            suffix="torchscript",
            accelerators=("", "cuda"),
            distributions=("torch",),
            requirements={"": ("torch",)},
            fuses_like="torch",
        ),
    )
}

_WITH_AGENT: Mapping[str, str] = {"simulated": "profiler.fleet.virtual.simulated.runtime"}
"""Runtimes of the project that no real board has, and that travel as plug-ins do: where the SPEC of each is."""

# -------------------------------------------------------------------- looking one up

_passed: Mapping[str, RuntimeSpec] = {}
"""What `using` brought in; replaced as a whole, never changed, so that threads see one state or the other."""


@contextmanager
def using(*specs: RuntimeSpec) -> Iterator[None]:
    """Have the process know further runtimes for as long as this lasts.

    Raises:
        ConfigError: a name is taken.
    """
    global _passed
    before = _passed
    for spec in specs:
        if spec.name in _BUILT_IN or spec.name in _WITH_AGENT or spec.name in before:
            raise ConfigError(f"the runtime {spec.name!r} is there already: give the plug-in another name")
    _passed = {**before, **{spec.name: spec for spec in specs}}
    try:
        yield
    finally:
        _passed = before


def known_names() -> tuple[str, ...]:
    """The names of all runtimes that a board may have; no plug-in is imported for it."""
    return tuple(dict.fromkeys((*_BUILT_IN, *_passed, *sorted(_entry_points()))))


def is_known(name: str) -> bool:
    """Whether figures of this runtime can be: it is one of `known_names`, or that of simulated boards."""
    return name in _WITH_AGENT or name in known_names()


def known_runtimes() -> dict[str, RuntimeSpec]:
    """All runtimes by name.

    Raises:
        ConfigError: an installed plug-in cannot be loaded.
    """
    return {name: runtime_spec(name) for name in known_names()}


def runtime_spec(name: str) -> RuntimeSpec:
    """One runtime.

    Raises:
        ConfigError: there is none of that name, or the plug-in that has it cannot be loaded.
    """
    spec = _BUILT_IN.get(name) or _passed.get(name)
    if spec is not None:
        return spec
    if name in _WITH_AGENT:
        found: RuntimeSpec = import_module(_WITH_AGENT[name]).SPEC
        return found
    if name not in _entry_points():
        raise ConfigError(
            f"there is no runtime {name!r}: choose one of {', '.join(known_names())}, or install the plug-in that has "
            "it"
        )
    return _load(name)


def check_configuration(runtime: str, precision: str, accelerator: str = "") -> None:
    """Refuse what a target cannot be.

    Raises:
        ConfigError: the runtime is unknown, or has no such precision or accelerator.
    """
    spec = runtime_spec(runtime)
    if precision not in spec.precisions:
        others = [name for name in known_names() if name in _BUILT_IN and precision in _BUILT_IN[name].precisions]
        remedy = f": use {' or '.join(others)} for {precision}" if others else ""
        raise ConfigError(f"{runtime} is measured in {' and '.join(spec.precisions)} only{remedy}")
    if accelerator not in spec.accelerators:
        there = ", ".join(found or '""' for found in spec.accelerators)
        raise ConfigError(f"{runtime} has no accelerator {accelerator!r}: choose one of {there}")


def rules_of(runtime: str) -> str:
    """The built-in runtime whose rules of fusion and isolation hold for a runtime, or "none"."""
    return runtime_spec(runtime).fuses_like


def agent_plugins(runtimes: Iterable[str]) -> tuple[AgentPlugin, ...]:
    """What an agent that is to run these runtimes has to bring along, sorted by name; () for built-in ones.

    Raises:
        ConfigError: as `runtime_spec`, and where a module cannot be read.
    """
    found = (runtime_spec(name).agent_plugin() for name in sorted(set(runtimes)))
    return tuple(plugin for plugin in found if plugin is not None)


@cache
def _entry_points() -> Mapping[str, metadata.EntryPoint]:
    """The installed plug-ins by name, looked for once a process; those of a built-in name are never asked."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


@cache
def _load(name: str) -> RuntimeSpec:
    point = _entry_points()[name]
    where = f"the plug-in {name!r} ({point.value})"
    try:
        spec = point.load()
    except Exception as error:  # whatever somebody else's module raises at import
        raise ConfigError(f"{where} cannot be loaded ({type(error).__name__}: {error}): mend or remove it") from error
    if not isinstance(spec, RuntimeSpec) or spec.name != name or spec.agent_module is None:
        raise ConfigError(f"{where} is no RuntimeSpec of that name with an agent_module: mend or remove it")
    return spec
