"""Running a protocol: every target under every seed, all methods on the same terms."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.transfer.design import Design
from predictors.transfer.latencies import LatencyTable
from predictors.transfer.pool import Pool
from predictors.transfer.selection import most_informative
from predictors.transfer.surrogates import SourceDevices, Surrogate, fit_sources, robust_ridge
from predictors.transfer.validation.methods import CEILING, METHODS, Answer, Case, noise_ceiling
from predictors.transfer.validation.protocols import Protocol
from predictors.transfer.validation.scores import target_scores
from profiler.errors import ConfigError

__all__ = ["LEVEL", "Row", "evaluate", "evaluate_each", "evaluate_single", "summary"]

FloatArray = NDArray[np.float64]
Progress = Callable[[str], None]

LEVEL = 0.9
_CANDIDATES = 2000


@dataclass(frozen=True)
class Row:
    """One method on one target under one seed: its scores, and the seconds that fit and prediction took."""

    target: str
    seed: int
    method: str
    scores: dict[str, float]
    seconds: float
    transfer_share: float = np.nan


def evaluate(
    protocol: Protocol,
    pool: Pool,
    table: LatencyTable,
    seeds: Sequence[int],
    progress: Progress = lambda _: None,
    fitted: dict[tuple[str, int], Surrogate] | None = None,
) -> list[Row]:
    """Run a protocol that has targets.

    A seed draws which architectures of the sources are known, among which candidates the target's are chosen, and the
    random samples of the baseline.

    Args:
        protocol: its targets must be in the table.
        pool: the architectures of the table, in its order.
        table: latencies.
        seeds: of every repetition.
        progress: told of every target done.
        fitted: surrogates by device and seed, of the same data and `source_samples`; those that lack are added.

    Raises:
        ConfigError: where devices are missing or too little was measured.
    """
    table.need((*protocol.sources, *protocol.targets), protocol.name)
    rows: list[Row] = []
    bare = Design.of(pool)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(pool))
        surrogates = {} if fitted is None else fitted
        for device in protocol.sources:
            if (device, seed) not in surrogates:
                rows_of = {device: _measured(table.of(device), order, protocol.source_samples)}
                surrogates[device, seed] = fit_sources(pool, rows_of).surrogates[0]
        sources = SourceDevices(protocol.sources, tuple(surrogates[d, seed] for d in protocol.sources))
        design = Design.of(pool, sources)
        candidates = np.sort(rng.permutation(len(pool))[:_CANDIDATES])
        chosen: dict[bytes, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for target in protocol.targets:
            latency_ms = table.of(target)
            allowed = candidates[np.isfinite(latency_ms[candidates])]
            _enough(allowed, protocol, target)
            _varying(latency_ms, target, "")
            if allowed.tobytes() not in chosen:  # the same for all targets that measured the same architectures
                chosen[allowed.tobytes()] = (
                    most_informative(design, protocol.samples, allowed, pool.classes),
                    most_informative(bare, protocol.samples, allowed, pool.classes),
                )
            for positions in chosen[allowed.tobytes()]:
                _varying(latency_ms[positions], target, " that were chosen")
            random = np.random.default_rng((seed, 1)).permutation(allowed)[: protocol.samples]
            case = Case(pool, sources, design, bare, *chosen[allowed.tobytes()], random, latency_ms, LEVEL)
            methods = {
                k: m for k, m in METHODS.items() if protocol.sources or k not in ("transfer", "best-source proxy")
            }
            for name, method in methods.items():
                started = time.perf_counter()
                answer = method(case)
                rows.append(_row(pool, target, seed, name, answer, latency_ms, time.perf_counter() - started))
            ceiling = noise_ceiling(pool, latency_ms, np.random.default_rng((seed, 2)))
            rows.append(_row(pool, target, seed, CEILING, ceiling, latency_ms, np.nan))
            progress(f"seed {seed}: {target}")
    return rows


def evaluate_each(
    protocol: Protocol, pool: Pool, table: LatencyTable, seeds: Sequence[int], progress: Progress = lambda _: None
) -> list[Row]:
    """Every device of the protocol's sources (by default of the table) from all others."""
    devices = protocol.sources or table.devices
    table.need(devices, protocol.name)
    rows: list[Row] = []
    fitted: dict[tuple[str, int], Surrogate] = {}
    for target in devices:
        others = tuple(device for device in devices if device != target)
        rows += evaluate(replace(protocol, sources=others, targets=(target,)), pool, table, seeds, progress, fitted)
    return rows


def evaluate_single(
    protocol: Protocol, pool: Pool, table: LatencyTable, seeds: Sequence[int], progress: Progress = lambda _: None
) -> list[Row]:
    """Each target on its own: a robust ridge regression on `samples` random architectures, in ms."""
    targets = protocol.targets or table.devices
    table.need(targets, protocol.name)
    rows: list[Row] = []
    for seed in seeds:
        for target in targets:
            latency_ms = table.of(target)
            known = np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(latency_ms)))
            _enough(known, protocol, target)
            _varying(latency_ms, target, "")
            started = time.perf_counter()
            fitted = known[: protocol.samples]
            found = robust_ridge(pool.structure, fitted, latency_ms[fitted])
            answer = Answer(found.predicted_ms, fitted, np.full(len(pool), found.half_width_ms(LEVEL)))
            rows.append(
                _row(pool, target, seed, "ridge on structure", answer, latency_ms, time.perf_counter() - started)
            )
            ceiling = noise_ceiling(pool, latency_ms, np.random.default_rng((seed, 2)))
            rows.append(_row(pool, target, seed, CEILING, ceiling, latency_ms, np.nan))
            progress(f"seed {seed}: {target}")
    return rows


def _measured(latency_ms: FloatArray, order: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], FloatArray]:
    """The first n architectures in that order which the device measured."""
    there = order[np.isfinite(latency_ms[order])][:n]
    return there, latency_ms[there]


def _enough(allowed: NDArray[np.int64], protocol: Protocol, target: str) -> None:
    if len(allowed) <= protocol.samples:
        raise ConfigError(
            f"{target} has {len(allowed)} measured architectures to choose from; {protocol.name} needs more than "
            f"{protocol.samples}, of which it learns from {protocol.samples} and is scored on the rest"
        )


def _varying(latency_ms: FloatArray, target: str, which: str) -> None:
    there = latency_ms[np.isfinite(latency_ms)]
    if np.ptp(there) <= 0.0:
        raise ConfigError(
            f"all {len(there)} latencies{which} of the target {target!r} are {there[0]} ms; there is nothing to learn "
            "from them: leave it out with --targets"
        )


def _row(pool: Pool, target: str, seed: int, name: str, answer: Answer, latency_ms: FloatArray, seconds: float) -> Row:
    seen = {pool.classes[i] for i in answer.fitted}
    held = np.array([np.isfinite(latency_ms[i]) and pool.classes[i] not in seen for i in range(len(pool))])
    half = None if answer.half_width_ms is None else answer.half_width_ms[held]
    scores = target_scores(answer.predicted[held], latency_ms[held], half)
    return Row(target, seed, name, scores.to_dict(), seconds, answer.transfer_share)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds by target and method, then over the targets' means ("mean")."""
    targets, methods = (list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("target", "method"))
    found: list[dict[str, Any]] = []
    for method in methods:
        means: list[dict[str, float]] = []
        for target in targets:
            these = [row for row in rows if (row.method, row.target) == (method, target)]
            if not these:
                continue
            mean = {key: float(np.mean([row.scores[key] for row in these])) for key in these[0].scores}
            spread = float(np.std([row.scores["spearman"] for row in these]))
            slowest = max(row.seconds for row in these)
            found.append({
                "method": method, "target": target, **mean, "spearman_sd": spread, "seconds": slowest,
                "transfer_share": float(np.mean([row.transfer_share for row in these])),
            })  # fmt: skip
            means.append(mean)
        average = {key: float(np.mean([m[key] for m in means])) for key in means[0]}
        found.append({"method": method, "target": "mean", **average})
    return found
