"""From tables of other devices and few measurements of a new one to its predictor: what to measure, and the fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecost.stages.costs import write_json
from edgecost.stages.places import data_folder
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from predictors.transfer.latencies import LatencyTable
    from predictors.transfer.pool import Pool
    from predictors.transfer.surrogates import SourceDevices
    from search.spaces.base import Architecture, SearchSpace

__all__ = ["POOL_SIZE", "fit", "known_tables", "pool_of", "suggest"]

POOL_SIZE = 5000
"""Architectures of a space's pool where no file names them: random ones, or all where there are not more."""

_DRAWS = 400
_PUBLIC = "help_{space}_latency.parquet"
_SMALLEST: dict[str, dict[str, int]] = {"nasbench201": {"cells_per_stage": 1}}
"""Macro parameters of the smallest network in which what differs between architectures has the same proportions."""


def known_tables(data: Sequence[Path], space: str = "") -> LatencyTable | None:
    """The tables given, joined, over the public one of their space where `EDGECOST_DATA` names its folder.

    Args:
        data: files; devices of later ones replace those of earlier ones.
        space: which public table, where no file is given.
    """
    from predictors.transfer.latencies import read_latencies

    given = [read_latencies(path) for path in data]
    if given and space and given[0].space != space:
        raise ConfigError(f"{given[0].path} is of {given[0].space}, not of {space}; give another file or space")
    folder = data_folder()
    name = given[0].space if given else space
    public = folder / _PUBLIC.format(space=name) if folder is not None and name else None
    tables = ([read_latencies(public)] if public is not None and public.is_file() else []) + given
    if not tables:
        return None
    joined = tables[0]
    for table in tables[1:]:
        joined = joined.joined(table)
    return joined


def pool_of(space: SearchSpace, architectures: Sequence[Architecture]) -> Pool:
    """Architectures of a space with all that is known of them beforehand."""
    from predictors.transfer.features import population_features
    from predictors.transfer.pool import Pool

    macro = _SMALLEST.get(space.name, {})
    return Pool(
        space.name,
        tuple(space.describe(a) for a in architectures),
        tuple(space.canonical(a) for a in architectures),
        np.array([a.choices for a in architectures], dtype=np.int64),
        space.edge_groups,
        population_features(space.workload(a, **macro) for a in architectures),
    )


def parsed(space: SearchSpace, texts: Sequence[str], where: str) -> list[Architecture]:
    """Architectures as files write them.

    Raises:
        ConfigError: where one is none of the space.
    """
    parse = getattr(space, "parse", None)
    if parse is None:
        raise ConfigError(f"architectures of {space.name} cannot be read from text; transfer works on others")
    try:
        return [parse(text) for text in texts]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _drawn(space: SearchSpace, seed: int) -> list[Architecture]:
    if space.size <= 4 * POOL_SIZE:
        return list(space.all())
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(space.sample(rng) for _ in range(POOL_SIZE)))


def _pool_and_sources(
    space_name: str, data: Sequence[Path], names: Sequence[str] | None, target: str, seed: int
) -> tuple[Pool, SourceDevices | None]:
    """The architectures, and the devices to learn from: all of the tables where `names` is None, and none where it is
    empty."""
    from predictors.transfer.surrogates import fit_sources
    from search.spaces import find_space

    table = known_tables(data, space_name)
    if table is None:
        if names:
            raise ConfigError(
                f"there is no table of {', '.join(names)}; give one with --data, or name its folder in EDGECOST_DATA"
            )
        space = find_space(space_name or "nasbench201")
        return pool_of(space, _drawn(space, seed)), None
    space = find_space(table.space)
    pool = pool_of(space, parsed(space, table.architectures, table.path))
    used = tuple(device for device in table.devices if device != target) if names is None else tuple(names)
    table.need(used, "transfer")
    rows = {}
    for device in used:
        latency_ms = table.of(device)
        there = np.flatnonzero(np.isfinite(latency_ms))
        rows[device] = (there, latency_ms[there])
    return pool, fit_sources(pool, rows) if rows else None


def suggest(
    target: str, n: int, space: str, data: Sequence[Path], sources: Sequence[str] | None, seed: int
) -> dict[str, Any]:
    """Which architectures are worth measuring on a target.

    Args:
        target: its name; a device of that name in the tables is not used.
        n: how many.
        space: of the architectures, where no file says it.
        data: tables of other devices.
        sources: the devices to learn from; None for all, empty for none.
        seed: of the pool, where it is drawn.
    """
    from predictors.transfer.design import Design
    from predictors.transfer.selection import most_informative

    pool, used = _pool_and_sources(space, data, sources, target, seed)
    chosen = most_informative(Design.of(pool, used), n, classes=pool.classes)
    return {
        "target": target,
        "space": pool.space,
        "pool": len(pool),
        "sources": list(used.names) if used is not None else [],
        "architectures": [pool.names[i] for i in chosen],
    }


def fit(
    target: str,
    measured: Path,
    data: Sequence[Path],
    sources: Sequence[str] | None,
    out: Path | None,
    level: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """Learn a target from its few measurements and the tables of other devices, and price the whole pool.

    Args:
        target: the device in `measured`.
        measured: a table with the target's rows; of rows of other devices nothing is used.
        data: tables of other devices.
        sources: as `suggest`.
        out: where the fit is written as JSON: configuration, measurements, predictions; None writes nothing.
        level: of the intervals.
        seed: of the pool, where it is drawn.
    """
    from predictors.transfer.design import Design
    from predictors.transfer.latencies import read_latencies
    from predictors.transfer.regressor import TransferRegressor
    from search.spaces import find_space

    own = read_latencies(measured)
    own.need([target], "the fit")
    pool, used = _pool_and_sources(own.space, data, sources, target, seed)
    latency_ms = own.of(target)
    there = np.flatnonzero(np.isfinite(latency_ms))
    space = find_space(own.space)
    names = [space.describe(a) for a in parsed(space, [own.architectures[i] for i in there], own.path)]
    where = pool.index(names)
    design = Design.of(pool, used)
    model = TransferRegressor(design.blocks, level=level).fit(design.matrix[where], latency_ms[there])
    predicted_ms, half_ms = model.predict_with_interval(design.matrix)
    answer = {
        **_told(model, latency_ms[there]),
        "target": target,
        "space": pool.space,
        "sources": list(used.names) if used is not None else [],
        "predictions": [
            {"architecture": name, "latency_ms": float(ms), "low_ms": float(max(ms - h, 0.0)), "high_ms": float(ms + h)}
            for name, ms, h in zip(pool.names, predicted_ms, half_ms, strict=True)
        ],
    }
    if out is not None:
        kept = {
            "schema": 1,
            "model": "transfer",
            **answer,
            "measured": dict(zip(names, latency_ms[there].tolist(), strict=True)),
        }
        write_json(out, kept)
    return answer


def _told(model: Any, latency_ms: Any) -> dict[str, Any]:
    """What the fit says of itself, from predictions of each measured architecture by all others."""
    from scipy.stats import spearmanr

    residual_ms = model.posterior_.left_out_mean * model.scale_ms_
    left_out_ms = latency_ms - residual_ms
    relative = np.abs(residual_ms) / latency_ms
    share = model.transfer_share_
    return {
        "n": len(latency_ms),
        "level": model.level,
        "transfer_probability": share,
        "decision": "sources are used" if share >= 0.5 else "sources are of no use here and hardly weigh",
        "left_out": {
            "spearman": float(spearmanr(left_out_ms, latency_ms).statistic),
            "within_5": float((relative <= 0.05).mean()),
            "within_10": float((relative <= 0.10).mean()),
            "mape": float(relative.mean()),
        },
        "noise_ms": model.noise_ms_,
        "noise_ceiling": _at_best(latency_ms, model.noise_ms_),
    }


def _at_best(latency_ms: Any, noise_ms: float) -> dict[str, float]:
    """What a predictor that knew every true latency would score, with noise of that size on what is measured."""
    from scipy.stats import spearmanr

    noise = noise_ms * np.random.default_rng(0).standard_normal((_DRAWS, len(latency_ms)))
    relative = np.abs(noise) / latency_ms
    ranks = [float(spearmanr(latency_ms, latency_ms + row).statistic) for row in noise]
    return {
        "spearman": float(np.mean(ranks)),
        "within_5": float((relative <= 0.05).mean()),
        "within_10": float((relative <= 0.10).mean()),
    }
