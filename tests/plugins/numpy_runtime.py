"""The host's half of the plug-in "abacus": a runtime written in numpy, as small as a whole plug-in can be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UnsupportedOperator
from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import Precision
from profiler.workloads.graph import Workload
from profiler.workloads.transform import simplify
from profiler.workloads.weights import seeded_inputs, seeded_weights
from tests.plugins.agent_side import agent_side

KINDS = ("conv2d", "linear", "relu", "add", "global_avg_pool", "flatten")


def lower(workload: Workload, precision: Precision) -> bytes:
    """An .npz of the graph as JSON and of its weights, those of int8 with a scale each."""
    simple, weights = simplify(workload, seeded_weights(workload))
    for index in simple.compute_ops:
        if simple.ops[index].kind not in KINDS:
            kind = simple.ops[index].kind
            raise UnsupportedOperator(f"abacus has no handler for {kind!r}", (kind,))
    arrays = {f"w{i}_{name}": array for i, named in weights.items() for name, array in named.items()}
    scales: dict[str, float] = {}
    if precision == "int8":
        for name in [name for name in arrays if name.endswith("_weight")]:
            scales[name] = float(np.abs(arrays[name]).max()) / 127
            arrays[name] = np.rint(arrays[name] / scales[name]).astype(np.int8)
    graph = {
        "ops": [
            {"kind": op.kind, "attrs": dict(op.attrs), "inputs": [source for source, _ in op.inputs]}
            for op in simple.ops
        ],
        "inputs": [simple.shapes[i][0] for i in simple.inputs],
        "outputs": [source for source, _ in simple.outputs],
        "scales": scales,
    }
    buffer = io.BytesIO()
    np.savez(buffer, graph=np.frombuffer(json.dumps(graph).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def int8_reference(workload: Workload, data: bytes) -> NDArray[Any]:
    """This machine has the interpreter too: it is the agent's own."""
    module = agent_side(SPEC)
    outputs = module.interpret(np, *module.read(np, io.BytesIO(data)), seeded_inputs(workload))
    return np.asarray(outputs[0])


SPEC = RuntimeSpec(
    name="abacus",
    precisions=("fp32", "int8"),
    lower=lower,
    suffix="npz",
    accelerators=("", "beads"),
    distributions=("numpy",),
    requirements={"": ("numpy",)},
    agent_module=Path(__file__).with_name("numpy_agent.py"),
    int8_reference=int8_reference,
    version="1",
)
