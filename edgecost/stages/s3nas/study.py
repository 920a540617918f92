"""The whole of S3NAS beside its controls, on several targets and with several seeds: one row each.

Every method gets the same images, budgets, steps and final training; only what its name says differs. In order: all
searches (side by side), all scalings (one after the other, since they measure), all final trainings (side by side),
post-processing on every target (side by side), and what it adds, measured. Each goes on from its files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.s3nas.costs import Pricing, supernet_costs
from edgecost.stages.s3nas.demand import Budgets, Measure
from edgecost.stages.s3nas.files import done, identity_of, network_facts, write_stage
from edgecost.stages.s3nas.post import FINAL, PostOptions, post_process_network
from edgecost.stages.s3nas.scale import SCALED, ScaleOptions, scale_network
from edgecost.stages.s3nas.study_table import study_table
from edgecost.stages.s3nas.train import TrainOptions, run_training, schedule_of, train_final

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from search.s3nas.costs.blockcosts import BlockCosts
    from search.spaces.mixconv import MixConv
    from search.spaces.network import Network

__all__ = ["CONTROLS", "IMPORTED", "OWN", "Method", "Run", "StudyOptions", "run_study"]

SUPERNET = "graded32s"
RANDOM_CANDIDATES = 4
QUANTILE_SAMPLE = 500
FOUND = "network.yaml"
LARGEST_SHARE = 0.8
CORRECTIONS = 3


@dataclass(frozen=True, slots=True)
class Method:
    """One way to a network of the search's budget.

    Attributes:
        name: in tables.
        slug: in file names.
        supernet: which is searched.
        kind: "search" (S3NAS's, with `changes`), "random" (the best of a few random networks of the budget) or "hand"
            (no search: a network made by hand, scaled).
        changes: of the search's settings, by name.
    """

    name: str
    slug: str
    supernet: str = SUPERNET
    kind: str = "search"
    changes: dict[str, Any] = field(default_factory=dict)


OWN = Method("S3NAS", "s3nas")

CONTROLS = (
    Method("random search", "random", kind="random"),
    Method("scaling alone, of a hand-made network", "hand", kind="hand"),
    Method("no equal-choice dropout", "nodrop", changes={"choice_dropout": False}),
    Method("flat supernet", "flat", "flat32s"),
    Method("MBConv supernet", "mbconv", "mbconv32s"),
    Method("log latency, lambda 1", "log1", changes={"form": "log", "weight": 1.0}),
    Method("log latency, lambda 3", "log3", changes={"form": "log", "weight": 3.0}),
    Method("log latency, lambda 10", "log10", changes={"form": "log", "weight": 10.0}),
)
"""What it is compared with, on the first target."""

IMPORTED = Method("S3NAS, imported table", "imported", "fbnet32")
"""On devices whose costs are known from a public table, of this one supernet; such networks are not scaled."""


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """A study.

    Attributes:
        targets: target ids; controls run on the first.
        pricing: where the targets' costs come from.
        training: data, final schedule, first seed.
        quantile: of the costs of random architectures of the supernet: the budget of the search on each target.
        share: of the final budget that the search is given.
        seeds: how many, from `training.seed` on.
        settings: of the search, where not those of the reduced preset.
        jobs: processes that search and train side by side, one thread each.
        divisor, resolution_step: filters and resolutions of scaled networks are multiples of them.
        imported: devices of HW-NAS-Bench on which fbnet32 is searched as well.
        imported_settings: of these searches, on top of `settings`.
    """

    targets: tuple[str, ...]
    pricing: Pricing
    training: TrainOptions
    quantile: float = 0.5
    share: float = 0.6
    seeds: int = 3
    settings: dict[str, Any] = field(default_factory=dict)
    jobs: int = 2
    divisor: int | None = None
    resolution_step: int = 4
    imported: tuple[str, ...] = ()
    imported_settings: dict[str, Any] = field(default_factory=dict)

    def pricing_of(self, method: Method) -> Pricing:
        """Where a method's costs come from."""
        return Pricing(self.pricing.results, "hwnasbench") if method == IMPORTED else self.pricing

    def settings_of(self, method: Method) -> dict[str, Any]:
        """Of a method's search."""
        more = self.imported_settings if method == IMPORTED else {}
        return {**self.settings, **more, **method.changes}


@dataclass(frozen=True, slots=True)
class Run:
    """One method on one target with one seed, its budgets in ms and its folder."""

    method: Method
    target: str
    search_budget_ms: float
    budget_ms: float
    seed: int
    folder: Path


def run_study(
    options: StudyOptions, out: Path, measure: Measure | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """All runs, and OUT/study.json with their rows; returns its content.

    Args:
        options: targets, data, sizes.
        out: every run has a folder below it.
        measure: measures networks on targets; None: predictions decide, and nothing is measured.
        progress: is told of every step.

    Raises:
        ConfigError: where a target has no costs, or options do not fit.
    """
    tell = progress.message if progress else lambda text: None
    runs = planned(options, out)

    def stage(what: str, call: Callable[..., dict[str, Any]], of: Sequence[Run], jobs: int) -> list[dict[str, Any]]:
        started = time.perf_counter()
        answers = _side_by_side(partial(call, options), of, jobs)
        tell(f"{what}: {len(of)} runs in {time.perf_counter() - started:.0f} s")
        study_table(options, runs, out)
        return answers

    own = [run for run in runs if run.method is OWN and run.seed == options.training.seed]
    stage("searched", search_run, runs, options.jobs)
    stage("scaled", partial(scale_run, measure=measure), runs, 1)
    stage("trained", train_run, runs, options.jobs)
    stage("post-processed", post_run, own, options.jobs)
    stage("trained with post-processing", final_run, own, options.jobs)
    if measure is not None:
        stage("measured with post-processing", partial(measure_run, measure=measure), own, 1)
    return study_table(options, runs, out)


def planned(options: StudyOptions, out: Path) -> list[Run]:
    """All runs, seed by seed, so that what is there after an interruption is balanced."""
    found = []
    methods = [(target, (OWN, *(CONTROLS if place == 0 else ()))) for place, target in enumerate(options.targets)]
    methods += [(device, (IMPORTED,)) for device in options.imported]
    for target, each in methods:
        budget_ms = _search_budget_ms(options, target, each[0])
        final_ms = budget_ms if each == (IMPORTED,) else float(f"{budget_ms / options.share:.4g}")
        for method in each:
            for seed in range(options.training.seed, options.training.seed + options.seeds):
                folder = out / target.replace("/", "-") / f"{method.slug}-s{seed}"
                found.append(Run(method, target, budget_ms, final_ms, seed, folder))
    return sorted(found, key=lambda run: run.seed)


def _search_budget_ms(options: StudyOptions, target: str, method: Method) -> float:
    """A quantile of what random architectures of a method's supernet cost, to four digits."""
    import numpy as np

    space, costs = _costs(options, target, method)
    rng = np.random.default_rng([options.training.seed, 11])
    drawn = costs.costs([space.sample(rng) for _ in range(QUANTILE_SAMPLE)])
    return float(f"{np.quantile(drawn, options.quantile):.4g}")


def _costs(options: StudyOptions, target: str, method: Method) -> tuple[MixConv, BlockCosts]:
    from search.spaces.mixconv import MixConv
    from search.spaces.supernet import read_supernet

    space = MixConv(read_supernet(method.supernet))
    return space, supernet_costs(space, options.pricing_of(method), target, options.training.task().num_classes)[0]


def _side_by_side(call: Callable[[Run], dict[str, Any]], runs: Sequence[Run], jobs: int) -> list[dict[str, Any]]:
    if jobs == 1:
        return [call(run) for run in runs]
    from joblib import Parallel, delayed

    return list(Parallel(n_jobs=jobs)(delayed(call)(run) for run in runs))


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

    space, costs = _costs(options, run.target, run.method)
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

    space, _ = _costs(options, run.target, run.method)
    return replace(hand_made(space), num_classes=options.training.task().num_classes), {"t_hat_ms": None}


def _best_random(options: StudyOptions, run: Run) -> tuple[Network, dict[str, Any]]:
    """Of a few random networks of the budget the one whose loss is lowest after a short training each."""
    import numpy as np

    from search.s3nas.controls import random_within

    space, costs = _costs(options, run.target, run.method)
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


def scale_run(options: StudyOptions, run: Run, measure: Measure | None) -> dict[str, Any]:
    """The network found, scaled to the final budget and measured there."""
    from search.spaces.network import read_network

    if run.method == IMPORTED:
        return _as_found(run)
    # only the method's own networks are scaled again by what was measured; controls are measured once
    rounds = CORRECTIONS if run.method == OWN else 1
    budgets = Budgets((run.target,), (run.budget_ms,))
    asked = ScaleOptions(
        budgets, options.pricing, divisor=options.divisor, resolution_step=options.resolution_step, rounds=rounds
    )
    return scale_network(read_network(run.folder / FOUND), asked, run.folder, measure)


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


def measure_run(options: StudyOptions, run: Run, measure: Measure) -> dict[str, Any]:
    """The post-processed network on its target, and every option on the network as it was found."""
    from edgecost.stages.measuring import interval_ms
    from search.s3nas.post.options import all_options
    from search.spaces.network import read_network

    found = read_network(run.folder / FOUND)
    final = measure(run.target, read_network(run.folder / FINAL))
    plain_options = [option for option in all_options((1.0, 0.0)) if not option.pruned]
    rows = [(o.name, interval_ms(measure(run.target, o.applied(found)))) for o in plain_options]
    answer = {"final": interval_ms(final), "options": [{"option": name, **row} for name, row in rows]}
    write_json(run.folder / "measured.json", answer)
    return answer
