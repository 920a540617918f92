"""The whole of S3NAS beside its controls, on several targets and with several seeds: one row each.

Every method gets the same images, budgets, steps and final training; only what its name says differs. In order: all
searches, all scalings (by predicted costs), all final trainings, post-processing on every target, and last, while
nothing else runs, all networks measured together. Each goes on from its files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.s3nas.demand import Budgets
from edgecost.stages.s3nas.files import done, identity_of, network_facts, write_stage
from edgecost.stages.s3nas.post import FINAL, PostOptions, post_process_network
from edgecost.stages.s3nas.scale import SCALED, ScaleOptions, scale_network
from edgecost.stages.s3nas.study_measure import Together, measure_target
from edgecost.stages.s3nas.study_plan import IMPORTED, OWN, Run, StudyOptions, costs_of, planned
from edgecost.stages.s3nas.study_table import study_table
from edgecost.stages.s3nas.train import run_training, schedule_of, train_final

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.spaces.network import Network

__all__ = ["run_study"]

RANDOM_CANDIDATES = 4
FOUND = "network.yaml"
LARGEST_SHARE = 0.8


def run_study(
    options: StudyOptions, out: Path, together: Together | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """All runs, and OUT/study.json with their rows; returns its content.

    Args:
        options: targets, data, sizes.
        out: every run has a folder below it.
        together: measures networks of a target together; None: nothing is measured, or what was measured before stays.
        progress: is told of every step.

    Raises:
        ConfigError: where a target has no costs, or options do not fit.
    """
    tell = progress.message if progress else lambda text: None
    runs = planned(options, out)

    def stage(what: str, call: Callable[..., dict[str, Any]], of: Sequence[Run], jobs: int) -> None:
        started = time.perf_counter()
        _side_by_side(partial(call, options), of, jobs)
        tell(f"{what}: {len(of)} runs in {time.perf_counter() - started:.0f} s")
        study_table(options, runs, out)

    own = [r for r in runs if r.method is OWN and r.seed == options.training.seed] if options.post_processing else []
    stage("searched", search_run, runs, options.jobs)
    stage("scaled", scale_run, runs, 1)
    stage("trained", train_run, runs, options.jobs)
    stage("post-processed", post_run, own, options.jobs)
    stage("trained with post-processing", final_run, own, options.jobs)
    if together is not None:
        for target in options.targets:
            n = measure_target(options, target, runs, out, together)
            tell(f"measured {n} networks on {target}")
    return study_table(options, runs, out)


def _side_by_side(call: Callable[[Run], dict[str, Any]], runs: Sequence[Run], jobs: int) -> None:
    if jobs == 1:
        for run in runs:
            call(run)
        return
    from joblib import Parallel, delayed

    Parallel(n_jobs=jobs)(delayed(call)(run) for run in runs)


# -------------------------------------------------------------------- the steps of one run


def search_run(options: StudyOptions, run: Run) -> dict[str, Any]:
    """The network of the search's budget; writes search.json and network.yaml, whatever the method."""
    from search.spaces.network import write_network

    settings, task = options.settings_of(run.method), options.training.task().digest
    what = [run.method.slug, run.target, run.search_budget_ms, run.seed, settings, options.training.steps]
    identity = identity_of("study-search", *what, task)
    found = done("search", run.folder, identity)
    if found is not None:
        return found
    started = time.perf_counter()
    find = {"search": _searched, "random": _best_random, "hand": _hand_made}[run.method.kind]
    network, facts = find(options, run)
    write_network(network, run.folder / FOUND)
    answer = {"seconds": round(time.perf_counter() - started, 2), **facts, **network_facts(network)}
    return write_stage("search", run.folder, identity, answer)


def _searched(options: StudyOptions, run: Run) -> tuple[Network, dict[str, Any]]:
    from search.s3nas.config import search_preset
    from search.s3nas.trainer import run_s3nas

    space, costs = costs_of(options, run.target, run.method)
    config = search_preset("reduced", **options.settings_of(run.method))
    task = options.training.task()
    # a smaller supernet may meet the budget whatever it chooses: it gets one of its own, and scaling makes up for it
    budget = min(run.search_budget_ms, LARGEST_SHARE * costs.largest)
    result = run_s3nas(space, task, [costs], [budget], config, run.seed, run.folder / "search")
    course = [[p.step, p.phase, round(p.cross_entropy, 4), round(p.t_hat[0], 5)] for p in result.course]
    facts = {"budget_ms": budget, "t_hat_ms": result.targets[0].t_hat, "steps": result.steps, "course": course}
    return result.network, facts


def _hand_made(options: StudyOptions, run: Run) -> tuple[Network, dict[str, Any]]:
    from search.s3nas.controls import hand_made

    space, _ = costs_of(options, run.target, run.method)
    return replace(hand_made(space), num_classes=options.training.task().num_classes), {"t_hat_ms": None}


def _best_random(options: StudyOptions, run: Run) -> tuple[Network, dict[str, Any]]:
    """Of a few random networks of the budget the one whose loss is lowest after a short training each."""
    import numpy as np

    from search.s3nas.controls import random_within

    space, costs = costs_of(options, run.target, run.method)
    task = options.training.task()
    length = int(schedule_of(options.training).length)
    short = schedule_of(replace(options.training, steps=max(1, length // RANDOM_CANDIDATES)))
    drawn = random_within(space, costs, run.search_budget_ms, RANDOM_CANDIDATES, np.random.default_rng([run.seed, 12]))
    losses = []
    for index, arch in enumerate(drawn):
        network = space.network(arch, num_classes=task.num_classes)
        trained = run_training(network, task, short, options.training, run.seed, run.folder / f"candidate{index}")
        losses.append(trained.course[-1].loss)
    best = drawn[int(np.argmin(losses))]
    facts = {"t_hat_ms": costs.cost(best), "candidates": len(drawn), "losses": losses}
    return space.network(best, num_classes=task.num_classes), facts


def scale_run(options: StudyOptions, run: Run) -> dict[str, Any]:
    """The network found, scaled to the final budget."""
    from search.spaces.network import read_network

    if run.method == IMPORTED:
        return _as_found(run)
    budgets = Budgets((run.target,), (run.budget_ms,))
    asked = ScaleOptions(budgets, options.pricing, divisor=options.divisor, resolution_step=options.resolution_step)
    return scale_network(read_network(run.folder / FOUND), asked, run.folder)


def _as_found(run: Run) -> dict[str, Any]:
    """What scaling would write, of a network whose blocks have a cost as they are and no other."""
    from search.spaces.network import read_network, write_network

    network = read_network(run.folder / FOUND)
    t_hat = json.loads((run.folder / "search.json").read_text(encoding="utf-8"))["t_hat_ms"]
    row = {"target": run.target, "unit": "ms", "budget": run.budget_ms, "predicted": t_hat, "measured": None}
    write_network(network, run.folder / SCALED)
    identity = identity_of("as-found", network.to_dict(), run.target, run.budget_ms)
    return write_stage("scale", run.folder, identity, {"phi": 0.0, "targets": [row], **network_facts(network)})


def train_run(options: StudyOptions, run: Run) -> dict[str, Any]:
    """The scaled network, trained from scratch and exported."""
    from search.spaces.network import read_network

    network = read_network(run.folder / SCALED)
    return train_final(network, replace(options.training, seed=run.seed), run.folder / "final")


def post_run(options: StudyOptions, run: Run) -> dict[str, Any]:
    """h-swish and squeeze-and-excitation at the same budget, by predicted costs."""
    from search.spaces.network import read_network

    asked = PostOptions(
        Budgets((run.target,), (run.budget_ms,)), options.pricing, options.training,
        divisor=options.divisor, resolution_step=options.resolution_step,
    )  # fmt: skip
    return post_process_network(read_network(run.folder / FOUND), asked, run.folder)


def final_run(options: StudyOptions, run: Run) -> dict[str, Any]:
    """The post-processed network, trained (or taken over from its option's training) and exported."""
    from edgecost.stages.s3nas.post import TRAININGS
    from search.spaces.network import read_network

    network = read_network(run.folder / FINAL)
    return train_final(network, options.training, run.folder / "final+", kept_in=run.folder / TRAININGS)
