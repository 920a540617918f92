"""What a training step of a supernet costs more than one of its largest network.

    python benchmarks/supernet_step.py [--supernet graded32] [--batch 64] [--device cpu|cuda] [--threads 1] [--json]

Same batch and same loss but for the latency term, which the supernet has on top; forward, loss and backward, with and
without the optimiser. The two take turns, and the ratio is the median over rounds. Bound: 1.4.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from profiler.workloads.builders.torch import build_module, reset
from profiler.workloads.graph import Workload
from search.s3nas.latency import LatencyTerm, block_costs
from search.s3nas.loss import hinge_log_loss, smoothed_cross_entropy
from search.s3nas.optimiser import parameter_groups, rmsprop
from search.s3nas.supernet import SupernetModule
from search.spaces.mixconv import MixConv
from search.spaces.network import network_workload
from search.spaces.supernet import read_supernet

BOUND = 1.4

Step = Callable[[], None]


def million_macs(workloads: Sequence[Workload]) -> NDArray[np.float64]:
    """A cost that needs no board."""
    return np.array([workload.macs / 1e6 for workload in workloads])


def step_of(module: nn.Module, loss: Callable[[], Tensor], optimise: bool) -> Step:
    optimiser = rmsprop(parameter_groups(module, 1e-5), 1e-3) if optimise else None

    def step() -> None:
        module.zero_grad()
        loss().backward()
        if optimiser is not None:
            optimiser.step()

    return step


def steps(name: str, batch: int, device: torch.device) -> dict[str, dict[str, Step]]:
    """By kind of step: that of the plain network, of the supernet, and of the supernet with choice dropout."""
    space = MixConv(read_supernet(name))
    costs = block_costs(space, million_macs, "macs")
    budget = torch.tensor([costs.smallest], dtype=torch.float64, device=device)
    term = LatencyTerm(space, [costs]).to(device)
    size = space.supernet.resolution
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(batch, device=device) % space.supernet.num_classes

    def plain_step(optimise: bool) -> Step:
        module = build_module(network_workload(space.network(space.maximal)))
        reset(module, torch.Generator().manual_seed(0))
        module.to(device).train()
        return step_of(module, lambda: smoothed_cross_entropy(module(images), labels), optimise)

    def supernet_step(optimise: bool, phase_1: bool) -> Step:
        module = SupernetModule(space)
        module.reset(torch.Generator().manual_seed(0))
        module.to(device).train()
        module.choice_dropout = phase_1

        def loss() -> Tensor:
            logits, probabilities = module(images)
            return smoothed_cross_entropy(logits, labels) + hinge_log_loss(term(probabilities), budget)

        return step_of(module, loss, optimise)

    return {
        kind: {
            "plain": plain_step(optimise),
            "supernet": supernet_step(optimise, phase_1=False),
            "supernet, choice dropout": supernet_step(optimise, phase_1=True),
        }
        for kind, optimise in (("step", False), ("step and optimiser", True))
    }


def milliseconds(step: Step, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", default="graded32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    found: dict[str, object] = {"supernet": given.supernet, "batch": given.batch, "device": given.device}
    found |= {"threads": given.threads, "torch": torch.__version__, "bound": BOUND}
    for kind, sides in steps(given.supernet, given.batch, device).items():
        for step in sides.values():
            for _ in range(2):
                step()
        taken = [{side: milliseconds(step, device) for side, step in sides.items()} for _ in range(given.rounds)]
        found[kind] = {
            side: {
                "median_ms": round(statistics.median(t[side] for t in taken), 2),
                "ratio": round(statistics.median(t[side] / t["plain"] for t in taken), 3),
            }
            for side in sides
        }
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for kind, rows in found.items():
        if isinstance(rows, dict):
            for side, row in rows.items():
                print(f"{kind:20} {side:26} {row['median_ms']:9.1f} ms   {row['ratio']:.3f} x plain")
    print(f"bound: {BOUND} x")


if __name__ == "__main__":
    main()
