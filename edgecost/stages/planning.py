"""Planning: what is to be profiled, how thoroughly, and the jobs that come of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecost.stages.spaces import chosen_space
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.measure.config import MeasureConfig
from profiler.measure.jobs import Job, block_plan_jobs, kernel_plan_jobs, model_jobs
from profiler.measure.level import GROSS
from profiler.measure.limits import CampaignLimits
from profiler.workloads.graph import Workload

if TYPE_CHECKING:
    import numpy as np

    from search.spaces.base import SearchSpace

__all__ = [
    "EFFORTS",
    "PlanOptions",
    "campaign_limits",
    "default_run_id",
    "measure_config",
    "plan_jobs",
    "reference_networks",
]

EFFORTS: dict[str, MeasureConfig] = {
    "record": MeasureConfig(),
    "quick": MeasureConfig(
        rounds=3, min_batch_s=0.002, warmup_runs=3, warmup_s=0.02, min_batches=12, target_half_width=0.01,
        cap_s=0.12, job_timeout_s=60.0, cool_s=0.0, sentinel_jobs=50, sentinel_s=60.0, sentinel_drift=0.1,
        sentinel_tries=1, process_probes=0, retries=0,
    ),
    "shared": MeasureConfig(
        rounds=3, min_batch_s=0.002, warmup_runs=3, warmup_s=0.02, min_batches=12, target_half_width=0.01,
        cap_s=0.12, job_timeout_s=60.0, cool_s=0.0, sentinel_jobs=15, sentinel_s=20.0, sentinel_drift=0.1,
        sentinel_tries=20, sentinel_gross=GROSS, process_probes=0, retries=0,
    ),
}  # fmt: skip
"""record: the protocol as it stands. quick: the same protocol in tenths of a second a job, with wider intervals: it
waits for no board to cool, tries no noisy figure again, and its sentinel, every 50 jobs, finds only what is out of all
proportion. shared: as quick as that, for a machine that others use too: its sentinel runs every 15 jobs, and what was
measured while the machine was held up is measured again until it was not."""

TYPICAL_OF = 25
"""So many random networks say how many parameters a typical one has."""

MOST_TRIES = 1000
"""So many architectures are drawn for every network wanted, before a space is said to have no more of them."""

COVERING_ARCHITECTURES = 400
"""So many random architectures are cut to find a space's kernels; rarer ones are left to the regressors."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What to profile.

    Attributes:
        space: a search space whose kernels (or blocks) and random networks are measured, or None.
        models: ONNX files whose kernels are measured, and they themselves too.
        fit_models, held_out: random networks of the space to fit on and to validate on; never the same class.
        seed: of the choice of networks.
        supernet: a bundled supernet's name or a YAML file, for the space "mixconv"; None is the space's own.
        blocks: of the space, its blocks are measured instead of its kernels.
        scaled: so many blocks of scaled and post-processed networks besides, from which the cost of others is learnt.
        cuts: "cuts": of the whole networks the kernels under every way of cutting them; "pairs": those of the fused
            kernels that can be chained in pairs, in pairs, and no networks.
        suite: a collection of networks (`edgecost.stages.suite`) instead of space and models, "" for none.
        part: of a suite "all", or its "networks" without their kernels, to be measured once more.
    """

    space: str | None = None
    models: tuple[Path, ...] = ()
    fit_models: int = 10
    held_out: int = 20
    seed: int = 0
    supernet: str | None = None
    blocks: bool = False
    scaled: int = 0
    cuts: Literal["", "cuts", "pairs"] = ""
    suite: str = ""
    part: Literal["all", "networks"] = "all"


def measure_config(effort: str, rounds: int | None = None, seed: int = 0) -> MeasureConfig:
    """The settings of an effort, with the rounds replaced where given.

    Raises:
        ConfigError: for an unknown effort or no round at all.
    """
    if effort not in EFFORTS:
        raise ConfigError(f"there is no effort {effort!r}; choose one of {', '.join(EFFORTS)}")
    if rounds is not None and rounds < 1:
        raise ConfigError(f"--rounds must be at least 1, not {rounds}")
    config = replace(EFFORTS[effort], seed=seed)
    return config if rounds is None else replace(config, rounds=rounds)


def campaign_limits(effort: str, patience_s: float) -> CampaignLimits:
    """How long an effort waits: a neighbour on a shared machine is gone in seconds, a board cools down in minutes.

    Raises:
        ConfigError: for a patience below zero.
    """
    if patience_s < 0:
        raise ConfigError(f"--patience-s must be at least 0, not {patience_s:g}")
    limits = CampaignLimits(patience_s=patience_s)
    return replace(limits, pause_s=1.0, longest_pause_s=5.0) if effort == "shared" else limits


@dataclass(frozen=True, slots=True)
class _OfSpace:
    """What of a space is measured: blocks, or networks whose kernels are; networks to fit on and networks held out.

    `typical_params` is the number of parameters of a typical network, for the ballast beside the blocks.
    """

    blocks: tuple[Workload, ...] = ()
    covering: tuple[Workload, ...] = ()
    fit: tuple[Workload, ...] = ()
    held_out: tuple[Workload, ...] = ()
    typical_params: int = 0


def _of_space(options: PlanOptions) -> _OfSpace:
    """Everything that the options ask of the space.

    Raises:
        ConfigError: for an unknown space or supernet, one without blocks, or one with too few networks.
    """
    import numpy as np

    if options.space is None:
        if options.blocks or options.scaled or options.supernet is not None:
            raise ConfigError(
                "--blocks, --scaled and --supernet belong to a search space; name it with --space mixconv"
            )
        return _OfSpace()
    space = chosen_space(options.space, options.supernet)
    rng = np.random.default_rng([options.seed, 201])
    whole = _distinct_networks(space, options.fit_models + options.held_out, rng)
    fit, held_out = whole[: options.fit_models], whole[options.fit_models :]
    if options.blocks:
        blocks = space.block_workloads()
        if not blocks:
            raise ConfigError(
                f"the space {options.space} is not made of blocks; leave --blocks out or name --space mixconv"
            )
        return _OfSpace((*blocks, *_scaled(space, options)), (), fit, held_out, _typical_params(space))
    if options.scaled:
        raise ConfigError("--scaled belongs to --blocks; give both or neither")
    covering = tuple(space.covering(space.sample(rng), rng) for _ in range(COVERING_ARCHITECTURES))
    return _OfSpace((), (*covering, *whole), fit, held_out)


def _scaled(space: SearchSpace, options: PlanOptions) -> tuple[Workload, ...]:
    """Blocks of other widths, sizes and operators than the supernet's own."""
    from search.s3nas.costs.sampling import scaled_blocks
    from search.spaces.mixconv import MixConv

    if options.scaled < 0:
        raise ConfigError(f"--scaled must be at least 0, not {options.scaled}")
    return scaled_blocks(space, options.scaled, options.seed) if isinstance(space, MixConv) else ()


def _typical_params(space: SearchSpace) -> int:
    """The median over random networks: the same for all runs in a space, whatever their seeds."""
    import numpy as np

    rng = np.random.default_rng(201)
    return int(np.median([space.workload(space.sample(rng)).params for _ in range(TYPICAL_OF)]))


def _distinct_networks(space: SearchSpace, wanted: int, rng: np.random.Generator) -> tuple[Workload, ...]:
    """Random networks, no two of one isomorphism class and none that is cut off from its input.

    Raises:
        ConfigError: where so many cannot be found.
    """
    found: dict[str, Workload] = {}
    tries_left = MOST_TRIES * wanted
    while len(found) < wanted:
        arch = space.sample(rng)
        label = space.canonical(arch)
        if label not in found and space.connected(arch):
            found[label] = space.workload(arch)
        tries_left -= 1
        if tries_left < 0:
            raise ConfigError(
                f"the space {space.name} has too few networks for {wanted} different ones ({len(found)} were found); "
                "lower --fit-models and --held-out"
            )
    return tuple(found.values())


def _read_model(path: Path) -> Workload:
    from profiler.errors import UnsupportedOperator
    from profiler.workloads.importer import read_onnx

    read = read_onnx(path)
    if read.unsupported:
        names = tuple(dict.fromkeys(u.op_type for u in read.unsupported))
        raise UnsupportedOperator(f"{path} holds operators that edgecost does not know: {', '.join(names)}", names)
    return replace(read.workload, name=path.name)


def plan_jobs(options: PlanOptions, target: Target) -> tuple[Job, ...]:
    """All jobs that a target needs: kernels or blocks in stretches of 1, m and 2m, and whole networks.

    Raises:
        ConfigError: when nothing is asked for, what is asked of a space it does not have, or a model file cannot be
            read.
        UnsupportedOperator: when a model file holds operators that are not known.
    """
    from profiler.workloads.fusion import kernels_of
    from profiler.workloads.isolation import block_jobs, kernel_jobs

    if options.suite:
        return _suite_jobs(options, target)
    if options.part != "all":
        raise ConfigError("--part belongs to a suite; name it with --suite closure")
    if options.space is None and not options.models:
        raise ConfigError(
            "nothing to profile; name a search space with --space, an ONNX file with --model or networks with --suite"
        )
    of_space = _of_space(options)
    files = [_read_model(path) for path in options.models]
    # an accelerator has no such caches, and its compiler may take nothing behind an operator that it does not know
    ballast_of = 0 if target.accelerator else of_space.typical_params
    if options.cuts:
        return _cut_jobs(options, [*of_space.fit, *files], of_space.held_out, target)
    kernels = kernels_of([*of_space.covering, *files], target.runtime, target.precision)
    return (
        *kernel_plan_jobs(kernel_jobs(kernels, target.runtime, target.precision)),
        *block_plan_jobs(block_jobs(of_space.blocks, target.runtime, target.precision, ballast_of)),
        *model_jobs([*of_space.fit, *files], "fit"),
        *model_jobs(of_space.held_out, "held_out"),
    )


def _suite_jobs(options: PlanOptions, target: Target) -> tuple[Job, ...]:
    from edgecost.stages.suite import suite_jobs

    if options.space is not None or options.models or options.supernet or options.blocks or options.scaled:
        raise ConfigError("a suite is measured in a run of its own; leave --space and --model out, or --suite")
    if options.cuts and options.part != "all":
        raise ConfigError("--cuts is about kernels, and --part networks measures none; leave one of the two out")
    return suite_jobs(options.suite, options.seed, target, options.cuts, options.part)


def reference_networks(
    options: PlanOptions,
) -> tuple[tuple[Workload, ...], tuple[Workload, ...], tuple[Workload, ...]]:
    """(covering, fit, held out): networks whose kernels a sampler is to cover, and those that are measured whole.

    Of the space that the options name, or of all the spaces that come with the package; and the ONNX files.

    Raises:
        ConfigError: an unknown space, one with too few networks, or a file that cannot be read.
        UnsupportedOperator: a file holds operators that are not known.
    """
    from search.spaces import SPACES

    # the channel shuffles of FBNet have no form in TFLite yet: it is sampled where it is asked for
    names = sorted(set(SPACES) - {"fbnet"}) if options.space is None else [options.space]
    shares = [replace(options, space=name, fit_models=-(-options.fit_models // len(names)),
                      held_out=-(-options.held_out // len(names))) for name in names]  # fmt: skip
    files = tuple(_read_model(path) for path in options.models)
    found = [_of_space(share) for share in shares]
    covering = [workload for of in found for workload in of.covering]
    # by turns, so that any number of the first is of all spaces
    fit, held_out = ([w for group in zip(*of, strict=False) for w in group] for of in (
        [o.fit for o in found], [o.held_out for o in found]
    ))  # fmt: skip
    return (*covering, *files), (*files, *fit), tuple(held_out)


def _cut_jobs(
    options: PlanOptions, fit: Sequence[Workload], held_out: Sequence[Workload], target: Target
) -> tuple[Job, ...]:
    """What a comparison of cuts needs: the kernels of these networks and no others, so that their number is bounded."""
    from profiler.workloads.cuts import kernels_of_cuts
    from profiler.workloads.fusion import kernels_of
    from profiler.workloads.isolation import kernel_jobs

    if options.blocks or options.scaled:
        raise ConfigError("--cuts is about kernels; measure blocks in a run of their own with --blocks")
    where = target.runtime, target.precision
    networks = [*fit, *held_out]
    if options.cuts == "pairs":
        return tuple(kernel_plan_jobs(kernel_jobs(kernels_of(networks, *where), *where, paired=True)))
    kernels = kernels_of_cuts(networks, *where, target.accelerator)
    return (
        *kernel_plan_jobs(kernel_jobs(kernels, *where)),
        *model_jobs(fit, "fit"),
        *model_jobs(held_out, "held_out"),
    )


def default_run_id(options: PlanOptions, config: MeasureConfig) -> str:
    """The name of a run that the same command finds again."""
    what = [options.space, [str(m) for m in options.models], options.fit_models, options.held_out, options.seed]
    what += [options.supernet, options.blocks] if options.supernet is not None or options.blocks else []
    what += [options.scaled] if options.scaled else []
    what += [options.cuts] if options.cuts else []
    what += [options.suite, options.part] if options.suite else []
    digest = hashlib.sha256(json.dumps([what, config.to_dict()], sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._]+", "-", options.space or options.suite or "models")[:40]
    part = "-blocks" if options.blocks else "-networks" if options.part == "networks" else ""
    return f"{name}{part}-{digest}"
