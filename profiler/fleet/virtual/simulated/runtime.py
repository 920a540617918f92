"""The runtime `simulated` as the host sees it: workloads become files that say what is in them, and what they yield."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import Precision
from profiler.fleet.virtual.simulated.board.graph import FORMAT
from profiler.workloads.expected import expected_output
from profiler.workloads.graph import Workload
from profiler.workloads.transform import drop_noops, foldable_norms

__all__ = ["BOARD", "SPEC", "graph_of", "lower"]

BOARD = Path(__file__).with_name("board")
"""The agent's side."""


def lower(workload: Workload, precision: Precision) -> bytes:
    """A simulated board's artefact: the operators with all that their cost depends on, and the output to give back.

    The board computes nothing: what it gives back as its output is what is written here, a sample of this machine's
    own float32 reference. So outputs are compared as of any board, and can only ever be those of the right file.

    Raises:
        ArtefactError: the reference cannot be computed.
    """
    expected = expected_output(workload)
    found = {"size": expected.size, "indices": list(expected.indices), "values": list(expected.values)}
    return json.dumps({**graph_of(workload, precision), "expected": found}, separators=(",", ":")).encode()


def graph_of(workload: Workload, precision: Precision) -> dict[str, Any]:
    """An artefact's graph without an output: what a cost is made of."""
    lean, _ = drop_noops(workload)
    folded = foldable_norms(lean)
    ops = [
        {
            "kind": op.kind,
            "inputs": [list(ref) for ref in op.inputs],
            "attrs": {name: list(value) if isinstance(value, tuple) else value for name, value in op.attrs},
            "shapes": [list(shape) for shape in lean.shapes[index]],
            "macs": lean.op_macs(index),
            "weights": 0 if index in folded else lean.op_params(index),
            "folded": index in folded,
        }
        for index, op in enumerate(lean.ops)
    ]
    return {
        "format": FORMAT,
        "workload": workload.key,
        "precision": precision,
        "inputs": [list(lean.shapes[index][0]) for index in lean.inputs],
        "ops": ops,
        "outputs": [list(ref) for ref in lean.outputs],
        "expected": {"size": 0, "indices": [], "values": []},
    }


SPEC = RuntimeSpec(
    name="simulated",
    precisions=("fp32", "int8"),
    lower=lower,
    suffix="simulated",
    distributions=("edgecost-simulated",),
    agent_module=BOARD,
    fuses_like="onnxruntime",
    version="1",
)
