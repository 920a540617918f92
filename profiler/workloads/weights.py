"""Weights and inputs drawn from a seed: the same network and the same question on every runtime.

Cost does not depend on the values, but correctness checks do: host and board must run the same numbers, and the
numbers must stay of one magnitude through deep networks, so that int8 has something to resolve.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ArtefactError
from profiler.workloads.graph import Workload

__all__ = ["Weights", "check_weights", "seeded_inputs", "seeded_weights"]

Weights = Mapping[int, Mapping[str, NDArray[np.float32]]]
"""Op index -> name of the parameter -> array, in torch's layouts: convolutions OIHW, linear (out, in)."""

_CONSTANT_RANGE = (0.5, 1.5)
_CONSTANT_SECOND_MOMENT = 13.0 / 12.0

_UNIFORM_SECOND_MOMENT = 1.0 / 3.0
"""Of a value drawn uniformly from [-1, 1], as `seeded_inputs` draws them."""


def seeded_weights(workload: Workload) -> Weights:
    """Weights for every op that has any, a function of `workload.seed` and of the graph alone.

    Every op draws from a stream of its own, named by the op's place in the graph, so neither the order of the ops
    nor their names matter. Structurally equal ops (the branches of a fan) get different weights. Convolutions and
    linear layers are uniform with the variance that makes their output's about 1 (He et al. 2015, with the second
    moment of the input estimated by op instead of assumed); batch-norm statistics fit what arrives there.

    Returns:
        float32 arrays of the shapes that `Workload.param_shapes` names.
    """
    moments = _second_moments(workload)
    drawn: Counter[str] = Counter()
    weights: dict[int, dict[str, NDArray[np.float32]]] = {}
    for index in workload.compute_ops:
        shapes = workload.param_shapes(index)
        if not shapes:
            continue
        place = workload.op_places[index]
        seed = hashlib.sha256(f"{workload.seed}/{place}/{drawn[place]}".encode()).hexdigest()
        drawn[place] += 1
        rng = np.random.default_rng(int(seed[:32], 16))
        arriving = _moment(workload, moments, index) or 1.0
        if workload.ops[index].kind == "batch_norm":
            weights[index] = _norm_weights(rng, shapes["weight"], arriving)
        elif workload.ops[index].kind == "layer_norm":
            drawn_norm = _norm_weights(rng, shapes["weight"], 1.0)
            weights[index] = {name: drawn_norm[name] for name in shapes}
        elif workload.ops[index].kind == "constant":
            # away from zero, since something may be divided by it
            weights[index] = {"value": rng.uniform(*_CONSTANT_RANGE, shapes["value"]).astype(np.float32)}
        else:
            bound = np.sqrt(3.0 / (prod(shapes["weight"][1:]) * arriving))
            weights[index] = {"weight": rng.uniform(-bound, bound, shapes["weight"]).astype(np.float32)}
            if "bias" in shapes:
                weights[index]["bias"] = rng.uniform(-0.1, 0.1, shapes["bias"]).astype(np.float32)
    return weights


def seeded_inputs(workload: Workload, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """One array a graph input, channel-first, uniform in [-1, 1), in the order of `workload.inputs`.

    The agent on the board draws the same numbers by the same recipe (PCG64 seeded with [seed, position]).
    """
    return tuple(
        np.random.default_rng([seed, position]).uniform(-1, 1, workload.shapes[index][0]).astype(np.float32)
        for position, index in enumerate(workload.inputs)
    )


def check_weights(workload: Workload, weights: Weights) -> None:
    """Make sure that every op has exactly the arrays that it needs.

    Raises:
        ArtefactError: where one is missing, superfluous or of another shape.
    """
    for index in workload.compute_ops:
        wanted = workload.param_shapes(index)
        given = {name: tuple(array.shape) for name, array in weights.get(index, {}).items()}
        if wanted != given:
            op = workload.ops[index]
            raise ArtefactError(f"op {index} ({op.name or op.kind}) needs weights of shapes {wanted}, but got {given}")


def _norm_weights(
    rng: np.random.Generator, shape: tuple[int, ...], second_moment: float
) -> dict[str, NDArray[np.float32]]:
    scale = np.sqrt(second_moment)
    drawn = {
        "weight": rng.uniform(0.8, 1.2, shape),
        "bias": rng.uniform(-0.1, 0.1, shape),
        "running_mean": rng.uniform(-0.1, 0.1, shape) * scale,
        "running_var": rng.uniform(0.8, 1.2, shape) * second_moment,
    }
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def _moment(workload: Workload, moments: list[float], index: int) -> float:
    """The estimated mean square of what op `index` reads first."""
    inputs = workload.ops[index].inputs
    return moments[inputs[0][0]] if inputs else 1.0


def _second_moments(workload: Workload) -> list[float]:
    """An estimate of the mean square of every op's output, as if values were independent and centred."""
    moments: list[float] = []
    for index, op in enumerate(workload.ops):
        arriving = [moments[source] for source, _ in op.inputs]
        match op.kind:
            case "input":
                moment = _UNIFORM_SECOND_MOMENT
            case "conv2d" | "linear" | "batch_norm" | "layer_norm":
                moment = 1.0
            case "constant":
                moment = _CONSTANT_SECOND_MOMENT
            case "zero":
                moment = 0.0
            case "relu" | "relu6" | "hswish" | "gelu" | "elu":
                moment = arriving[0] / 2
            case "sigmoid" | "hsigmoid":
                moment = 0.3
            case "softmax":
                moment = 1.0 / workload.shapes[index][0][op.int("axis")] ** 2
            case "matmul":
                moment = prod(arriving) * workload.input_shapes_of(index)[0][-1]
            case "tanh" | "erf":
                moment = min(arriving[0], 1.0)
            case "exp":
                moment = float(np.exp(min(2.0 * arriving[0], 20.0)))
            case "sqrt":
                moment = float(np.sqrt(arriving[0]))
            case "div":
                moment = arriving[0] / (arriving[1] or 1.0)
            case "add" | "sub":
                moment = sum(arriving)
            case "mul":
                moment = prod(arriving)
            case "concat":
                sizes = [shape[op.int("axis")] for shape in workload.input_shapes_of(index)]
                moment = sum(m * c for m, c in zip(arriving, sizes, strict=True)) / sum(sizes)
            case _:
                moment = arriving[0]
        moments.append(moment)
    return moments
