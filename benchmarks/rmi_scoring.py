"""What a candidate's brief training costs: the published procedure, ours one at a time, and several together.

    python benchmarks/rmi_scoring.py --architectures 8 --steps 20 --preset paper --device cpu --in-flight 8

The published procedure (RMI-NAS, as its paper and code describe it) is written out here in plain torch: the same
networks, batch, steps and optimiser, the RMI by explicit centring matrices in float32, the loss read at every step.
Prints one JSON document: seconds a candidate of each way, and the largest difference of their scores.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from search.data import load_images
from search.evrsnas.filling import sample_classes
from search.evrsnas.references import reference_for
from search.evrsnas.scoring import RmiScorer, preset
from search.spaces import find_space
from search.spaces.base import Architecture


def published(scorer: RmiScorer, reference_features: Sequence[torch.Tensor], arch: Architecture) -> float:
    """phi by the published procedure."""
    how, device = scorer.preset, scorer.device
    module = scorer._fresh(arch, 0).to(device)
    x = torch.from_numpy(scorer.batch.images).to(device)
    y = torch.from_numpy(scorer.batch.labels).to(device)
    n = len(y)
    centring = torch.eye(n, device=device) - torch.ones(n, n, device=device) / n

    def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        k, m = (centring @ (f.flatten(1) @ f.flatten(1).T) @ centring for f in (a, b))
        return (k * m).sum() / (k.norm() * m.norm()).clamp_min(1e-12)

    optimiser = torch.optim.SGD(
        module.parameters(), how.learning_rate, momentum=how.momentum, weight_decay=how.weight_decay
    )
    for step in range(how.steps + 1):
        logits, features = module(x)
        phi = sum(similarity(a, b) for a, b in zip(features, reference_features, strict=True))
        loss = how.rmi_weight * (3 - phi) + (1 - how.rmi_weight) * torch.nn.functional.cross_entropy(logits, y)
        float(loss.detach())
        if step < how.steps:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return float(phi)


def timed(work: Callable[[], list[float]], repeats: int) -> tuple[float, list[float]]:
    """The median seconds of so many runs, and the last one's scores."""
    seconds: list[float] = []
    scores: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        scores = work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="CIFAR-10 images; bundled digits otherwise")
    given = parser.parse_args()
    space = find_space("nasbench201")
    images = load_images("digits" if given.data is None else str(given.data))
    reference = reference_for(None, images, 0, data=given.data)
    how = replace(preset(given.preset), steps=given.steps, networks=1)
    scorer = RmiScorer(space, how, reference, images, 0, given.device)
    archs = sample_classes(space, given.architectures, 0)
    _, features = reference.features(images.train_images[scorer.batch.indices])
    on_device = [torch.from_numpy(f).to(given.device) for f in features]
    at = (given.steps,)

    def together() -> list[float]:
        size = given.in_flight
        chunks = [archs[i : i + size] for i in range(0, len(archs), size)]
        return [c.at(given.steps).phi for chunk in chunks for c in scorer.courses([(a, 0) for a in chunk], at)]

    ways: dict[str, Callable[[], list[float]]] = {
        "published": lambda: [published(scorer, on_device, a) for a in archs],
        "one_at_a_time": lambda: [scorer.course(a, 0, at).at(given.steps).phi for a in archs],
        "together": together,
    }
    scorer.course(archs[0], 0, (1,))  # torch is slow the first time
    figures, scores = {}, {}
    for name, work in ways.items():
        seconds, scores[name] = timed(work, given.repeats)
        figures[name] = round(seconds / len(archs), 4)
    gaps = {
        name: max(abs(a - b) for a, b in zip(scores[name], scores["one_at_a_time"], strict=True)) for name in scores
    }
    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else platform.processor()
    answer = {
        "device": where or platform.machine(),
        "preset": given.preset,
        "steps": given.steps,
        "architectures": len(archs),
        "in_flight": given.in_flight,
        "seconds_a_candidate": figures,
        "largest_difference_of_phi": gaps,
    }
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
