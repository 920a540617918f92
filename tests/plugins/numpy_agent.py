"""The board's half of the plug-in "abacus": a small interpreter of its own files. It travels inside the agent.

numpy is its only requirement. Its accelerator "beads" takes convolutions and linear layers, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..outputs import flatten, seeded_inputs
from ..runtimes.base import AcceleratorMissing, ArtefactMismatch
from ..runtimes.base import Model as Base

BEADS = ("conv2d", "linear")


def import_runtime() -> Any:
    import numpy

    return numpy, "numpy " + numpy.__version__


class Model(Base):
    interface = "interpreted"

    def __init__(self, runtime: Any, job: dict[str, Any]) -> None:
        self._accelerator = job.get("accelerator") or ""
        if self._accelerator not in ("", "beads"):
            raise AcceleratorMissing(f"abacus has no accelerator {self._accelerator!r}")
        if job.get("library"):
            raise AcceleratorMissing(f"the library {job['library']} for beads cannot be used")
        self._graph, self._weights = read(runtime, job["path"])
        if self._graph["inputs"] != job["inputs"]:
            raise ArtefactMismatch(f"the artefact's inputs are {self._graph['inputs']}, the job's {job['inputs']}")
        self._inputs = seeded_inputs(job["inputs"])
        self._outputs: list[Any] = []

        def run() -> None:
            self._outputs = interpret(runtime, self._graph, self._weights, self._inputs)

        self.run = run

    def output(self) -> Any:
        return flatten(self._outputs[0], "nchw")

    def coverage(self) -> Any:
        if not self._accelerator:
            return None
        kinds = [op["kind"] for op in self._graph["ops"] if op["kind"] != "input"]
        mine = sum(kind in BEADS for kind in kinds)
        return {"delegate_operators": mine, "fallback_operators": len(kinds) - mine}

    def close(self) -> None:
        self._weights = {}


def read(runtime: Any, path: str) -> Any:
    """Graph and weights of a file; int8 weights come with their scale."""
    with runtime.load(path, allow_pickle=False) as archive:
        graph = json.loads(bytes(archive["graph"]).decode("utf-8"))
        weights = {name: archive[name] for name in archive.files if name.startswith("w")}
    for op in graph["ops"]:
        if op["kind"] not in HANDLERS:
            raise NotImplementedError(f"the operator {op['kind']} is not supported")
    return graph, {n: w * graph["scales"][n] if n in graph["scales"] else w for n, w in weights.items()}


def interpret(np: Any, graph: Any, weights: Any, inputs: list[Any]) -> list[Any]:
    """The outputs of a graph."""
    values: list[Any] = []
    for place, op in enumerate(graph["ops"]):
        read_from = [values[source] for source in op["inputs"]]
        own = {name: weights.get(f"w{place}_{name}") for name in ("weight", "bias")}
        values.append(HANDLERS[op["kind"]](np, op["attrs"], own, inputs if op["kind"] == "input" else read_from))
    return [values[source] for source in graph["outputs"]]


def _conv2d(np: Any, attrs: Any, own: Any, inputs: list[Any]) -> Any:
    top, left, bottom, right = attrs["padding"]
    x = np.pad(inputs[0], ((0, 0), (0, 0), (top, bottom), (left, right)))
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["stride"], attrs["dilation"]
    groups, weight = attrs["groups"], own["weight"]
    windows = np.lib.stride_tricks.sliding_window_view(x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(2, 3))
    windows = windows[:, :, ::sh, ::sw, ::dh, ::dw]
    parts = [
        np.einsum("nchwij,ocij->nohw", w, k)
        for w, k in zip(np.split(windows, groups, axis=1), np.split(weight, groups, axis=0))  # noqa: B905 - Python 3.7 has no strict
    ]
    out = np.concatenate(parts, axis=1)
    return out if own["bias"] is None else out + own["bias"][None, :, None, None]


def _linear(np: Any, attrs: Any, own: Any, inputs: list[Any]) -> Any:
    out = inputs[0] @ own["weight"].T
    return out if own["bias"] is None else out + own["bias"]


HANDLERS: dict[str, Callable[[Any, Any, Any, list[Any]], Any]] = {
    "input": lambda np, attrs, own, inputs: inputs[attrs["position"]],
    "conv2d": _conv2d,
    "linear": _linear,
    "relu": lambda np, attrs, own, inputs: np.maximum(inputs[0], 0),
    "add": lambda np, attrs, own, inputs: inputs[0] + inputs[1],
    "global_avg_pool": lambda np, attrs, own, inputs: inputs[0].mean(axis=(2, 3), keepdims=True),
    "flatten": lambda np, attrs, own, inputs: inputs[0].reshape(len(inputs[0]), -1),
}
