"""Compound scaling as a stage: a network's file to the largest network of its kind within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.costs import Pricing
from edgecost.stages.s3nas.demand import Budgets, Demand, Gauge, Measure
from edgecost.stages.s3nas.files import done, identity_of, network_facts, write_stage
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from search.s3nas.budget import Correction, Post, Scaled
    from search.s3nas.scaling import Scaling
    from search.spaces.network import Network

__all__ = ["POSTS", "ScaleOptions", "post_named", "scale_file", "scale_network"]

POSTS = ("none", "hswish", "se", "se+hswish")
"""The post-processing to come, for which room is left."""

SCALED = "scaled.yaml"
SURE = 0.03
"""Where prediction and measurement agree so well, relative to the budget, phi is left as it is."""


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """How a network is scaled.

    Attributes:
        budgets: on which targets, how much.
        pricing: where costs come from.
        post: the post-processing to come, for which room is left.
        divisor: filters are multiples of it; None: half the greatest common divisor of the network's widths.
        resolution_step: resolutions are multiples of it.
        rounds: networks measured at most, where any are.
    """

    budgets: Budgets
    pricing: Pricing
    post: str = "none"
    divisor: int | None = None
    resolution_step: int = 4
    rounds: int = field(default=3)


def post_named(name: str) -> Post | None:
    """The post-processing of a name.

    Raises:
        ConfigError: for another name.
    """
    from search.s3nas.post.transforms import with_activation, with_se

    posts: dict[str, Post | None] = {
        "none": None,
        "hswish": lambda n: with_activation(n, "hswish"),
        "se": with_se,
        "se+hswish": lambda n: with_activation(with_se(n), "hswish"),
    }
    if name not in posts:
        raise ConfigError(f"--post is {', '.join(POSTS)}, not {name!r}")
    return posts[name]


def scale_file(
    path: Path, options: ScaleOptions, out: Path | None = None, measure: Measure | None = None
) -> dict[str, Any]:
    """Scale the network of a file; writes OUT/scaled.yaml and OUT/scaling.json.

    Raises:
        ConfigError: where the file is no network, nothing fits, or its folder would be overwritten.
    """
    from search.spaces.network import read_network

    folder = out or path.parent
    if folder.resolve() / SCALED == path.resolve():
        raise ConfigError(f"{path} is the file that scaling writes; name another folder with --out")
    return scale_network(read_network(path), options, folder, measure)


def scale_network(
    network: Network, options: ScaleOptions, folder: Path, measure: Measure | None = None
) -> dict[str, Any]:
    """Scale a network to the largest that fits all budgets, by predictions or, where it can be measured, corrected by
    measurements. What was done before with the same options is returned as it is.

    Args:
        network: the one to scale.
        options: budgets, prices, what is to come.
        folder: where scaled.yaml and scaling.json go.
        measure: measures networks; None: predictions decide.

    Raises:
        ConfigError: where nothing fits, everything fits, or a cost that decides is not known.
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from search.s3nas.scaling import Scaling
    from search.spaces.network import write_network

    demand = Demand.of(network, options.pricing, options.budgets)
    scaling = Scaling(divisor=options.divisor, resolution_step=options.resolution_step)
    post = post_named(options.post)
    measured = measure is not None
    identity = identity_of("scale", network.to_dict(), demand.identity, asdict(scaling), options.post, measured)
    found = done("scale", folder, identity)
    if found is not None and (folder / SCALED).exists():
        return found
    started = time.perf_counter()
    gauge = Gauge(demand, measure) if measure is not None else None
    scaled, rounds = _solve(network, demand, scaling, post, gauge, options.rounds)
    seconds = time.perf_counter() - started
    rows = demand.rows(scaled.final, gauge)
    priced = {} if scaled.final == scaled.network else {"priced": scaled.final.to_dict()}
    write_network(scaled.network, folder / SCALED)
    return write_stage(
        "scale",
        folder,
        identity,
        {
            "from": network_facts(network),
            "phi": scaled.phi,
            "plateau": list(scaled.plateau),
            "post": options.post,
            "targets": rows,
            "rounds": rounds,
            "n_networks": scaled.n_networks,
            "n_priced": scaled.n_priced,
            "seconds": round(seconds, 3),
            **network_facts(scaled.network),
            **priced,
            "scaled": str(folder / SCALED),
            "sentence": _sentence(scaled, rows, options),
        },
    )


def _solve(
    network: Network,
    demand: Demand,
    scaling: Scaling,
    post: Post | None,
    measure: Callable[[Network], float] | None,
    rounds: int,
) -> tuple[Scaled, list[dict[str, float]]]:
    from search.s3nas.budget import correct_phi, solve_budget

    if measure is None:
        return solve_budget(network, demand.costs, demand.budget, scaling, post, unit=demand.unit), []
    found: Correction = correct_phi(
        network, demand.costs, measure, demand.budget, scaling, post,
        tolerance=SURE, rounds=rounds, unit=demand.unit,
    )  # fmt: skip
    course = [{"phi": r.scaled.phi, "predicted": r.scaled.cost, "measured": r.measured} for r in found.rounds]
    return found.best.scaled, course


def _sentence(scaled: Scaled, rows: list[dict[str, Any]], options: ScaleOptions) -> str:
    each = []
    for row in rows:
        unit = "ms" if row["unit"] == "ms" else "mJ"
        text = f"predicted {row['predicted']:.4g} {unit}"
        if row["measured"] is not None:
            text += f", measured {row['measured']:.4g} {unit}"
            text += "" if row["measured"] <= row["budget"] else " (NOT within the budget)"
        each.append(f"{text} of {row['budget']:.4g} {unit} on {row['target']}")
    room = f" with {options.post}" if options.post != "none" else ""
    return (
        f"phi {scaled.phi:.3f}: {sum(len(s.blocks) for s in scaled.network.stages)} blocks, "
        f"{scaled.network.resolution} pixels;{room} {' and '.join(each)}"
    )
