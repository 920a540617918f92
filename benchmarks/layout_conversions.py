"""How often ONNX Runtime changes the layout within the networks of the closure suite, which no kernel of a table holds.

    python benchmarks/layout_conversions.py [--family NB201] [--closure results/closure/closure.json]

One line a held-out network: conversions (ReorderInput, ReorderOutput) in the graph that ONNX Runtime executes on this
machine in fp32, and the error of its prediction on each of its fp32 targets, as closure.json has it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgecost.stages.suite import closure_suite
from profiler.workloads.artefacts import lower
from profiler.workloads.optimised_graph import executed_nodes

TARGETS = ("ort-fp32-t1/onnxruntime-fp32-t1", "ort-fp32-t2/onnxruntime-fp32-t2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="")
    parser.add_argument("--closure", type=Path, default=Path("results/closure/closure.json"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    points = json.loads(options.closure.read_text())["points"]
    errors = [{p["key"]: 100 * (p["predicted_ms"] / p["measured_ms"] - 1) for p in points[t]} for t in TARGETS]
    print(f"{'conversions':>11} {'of nodes':>8}  error %: {', '.join(t.split('/')[0] for t in TARGETS)}")
    for network in closure_suite(options.seed).held_out:
        if not network.name.startswith(options.family) or not all(network.key in found for found in errors):
            continue
        nodes = executed_nodes(lower(network, "onnxruntime", "fp32"))
        conversions = nodes["ReorderInput"] + nodes["ReorderOutput"]
        shown = "  ".join(f"{found[network.key]:+6.1f}" for found in errors)
        print(f"{conversions:>11} {sum(nodes.values()):>8}  {shown}  {network.name}")


if __name__ == "__main__":
    main()
