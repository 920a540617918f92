"""The runtimes: load an artefact, set its inputs once, run it, read its first output.

Every runtime gets its threads explicitly and runs on the CPU, unless a job names an accelerator. A new one is a
plug-in (docs/runtimes.md), or a subclass of Model and a line in IMPORTERS and MODELS.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List

from .. import plugins
from .base import AcceleratorMissing, ArtefactMismatch, Model, RuntimeMissing
from .litert import import_litert, load_litert
from .onnx import OnnxModel, import_onnxruntime
from .torch import TorchModel, import_torch

__all__ = [
    "IMPORTERS",
    "MODELS",
    "AcceleratorMissing",
    "ArtefactMismatch",
    "Model",
    "RuntimeMissing",
    "import_runtime",
    "load",
    "names",
]

IMPORTERS = {"onnxruntime": import_onnxruntime, "litert": import_litert, "torch": import_torch}
MODELS: Dict[str, Callable[[Any, Dict[str, Any]], Model]] = {
    "onnxruntime": OnnxModel,
    "litert": load_litert,
    "torch": TorchModel,
}


def names() -> List[str]:
    """All runtimes that this agent knows, those of plug-ins included; whether they are installed is another matter."""
    return sorted(set(IMPORTERS) | set(plugins.DISTRIBUTIONS))


def import_runtime(name: str) -> Any:
    """The runtime's module, and its name and version as one text.

    Raises:
        RuntimeMissing: it is not there, or does not import.
    """
    try:
        if name in IMPORTERS:
            return IMPORTERS[name]()
        return _plugin(name).import_runtime()
    except Exception as error:
        raise RuntimeMissing("%s cannot be imported: %s" % (name, error)) from error


def load(name: str, runtime: Any, job: Dict[str, Any]) -> Model:
    """Load a job's artefact; raises whatever the runtime does."""
    if not os.path.isfile(job["path"]):
        raise OSError("the artefact %s is not on the board" % job["path"])
    if name in MODELS:
        return MODELS[name](runtime, job)
    model: Model = _plugin(name).Model(runtime, job)
    return model


def _plugin(name: str) -> Any:
    if name not in plugins.DISTRIBUTIONS:
        raise ImportError("this agent brought no plug-in for it along")
    return importlib.import_module("%s.%s" % (plugins.__name__, name))
