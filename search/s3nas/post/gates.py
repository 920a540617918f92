"""How much the gates of squeeze-and-excitation depend on the image: those that hardly do are not worth their latency.

[V] A block's score is the mean over channels of the standard deviation over images of its gate; squeeze-and-excitation
is removed from the blocks of the lowest scores. Ours: how many images, and which (evenly spread over the split).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.workloads.weights import Weights
from search.spaces.network import Network, assemble
from search.tasks import Images, Split, Task
from search.threads import torch_threads

__all__ = ["gate_variability", "lowest", "spread_batches", "task_gates"]


def gate_variability(
    network: Network, weights: Weights, batches: Iterable[Images], threads: int | None = 1
) -> NDArray[np.float64]:
    """How much the gate of every block varies over images: the mean over channels of its standard deviation.

    Args:
        network: with squeeze-and-excitation in one block at least.
        weights: of `network_workload(network)`, trained.
        batches: images (b, 3, resolution, resolution), normalised as for the training.
        threads: how many torch may use; None leaves it to torch.

    Returns:
        (n_blocks,), between 0 and 0.5; NaN for blocks without squeeze-and-excitation.

    Raises:
        ConfigError: where no block has squeeze-and-excitation, or there are fewer than two images.
        ArtefactError: where the weights are not the network's.
    """
    import torch

    from profiler.workloads.builders.torch import build_module

    workload, places = assemble(network)
    gated = [block for block, gate in enumerate(places.gates) if gate is not None]
    if not gated:
        raise ConfigError("no block of the network has squeeze-and-excitation, so that there is no gate to judge")
    taps = tuple((gate, 0) for gate in places.gates if gate is not None)
    with torch_threads(threads), torch.inference_mode():
        module = build_module(workload, weights, taps).eval()
        spreads = _spreads([g.flatten(1).double().numpy() for g in module(torch.from_numpy(b))[1]] for b in batches)
    scores = np.full(len(places.gates), np.nan)
    scores[gated] = [spread.mean() for spread in spreads]
    return scores


def _spreads(batches: Iterable[list[NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """Standard deviations over images, for every gate (channels,); batches are merged as they come (Chan et al. 1979),
    since the difference of large sums would hide the small deviations that matter here."""
    n, means, squares = 0, list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for gates in batches:
        b = len(gates[0])
        if not n:
            means, squares = [np.zeros(g.shape[1]) for g in gates], [np.zeros(g.shape[1]) for g in gates]
        for place, gate in enumerate(gates):
            mean = gate.mean(axis=0)
            shift = mean - means[place]
            squares[place] += np.square(gate - mean).sum(axis=0) + shift**2 * (n * b / (n + b))
            means[place] += shift * (b / (n + b))
        n += b
    if n < 2:
        raise ConfigError(f"gates vary over images: two at least are needed to judge them, not {n}")
    return [np.sqrt(square / n) for square in squares]


def lowest(scores: NDArray[np.float64], n: int) -> tuple[int, ...]:
    """The `n` blocks of the lowest scores, lowest first; of equals the earlier one. Blocks without a score are none.

    Raises:
        ConfigError: where fewer blocks have a score.
    """
    known = int(np.isfinite(scores).sum())
    if not 0 <= n <= known:
        raise ConfigError(f"{known} blocks have squeeze-and-excitation that was judged, so it cannot leave {n}")
    return tuple(int(block) for block in np.argsort(scores, kind="stable")[:n])


def spread_batches(split: Split, n_images: int, batch_size: int = 256) -> Iterator[Images]:
    """Batches of `n_images` images spread evenly over a split, which may be sorted by class; all where it has fewer."""
    places = np.linspace(0, len(split) - 1, min(n_images, len(split))).round().astype(np.int64)
    for start in range(0, len(places), batch_size):
        yield split.batch(places[start : start + batch_size])


def task_gates(task: Task, n_images: int = 2048) -> Callable[[Network, Weights], NDArray[np.float64]]:
    """`gate_variability` over the training images of a task, at the network's own resolution."""

    def score(network: Network, weights: Weights) -> NDArray[np.float64]:
        return gate_variability(network, weights, spread_batches(task.at(network.resolution).train, n_images))

    return score
