"""`edgecost profile`: measure on boards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgecost.cli.options import (
    DevicesOption,
    PatienceOption,
    ResultsOption,
    RoundsOption,
    SeedOption,
    SupernetOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress, say
from profiler.errors import ConfigError

if TYPE_CHECKING:
    from edgecost.stages.profiling import Run

__all__ = ["profile"]


def profile(
    target: list[str] = typer.Option(..., "--target", "-t", help="A target or device id; may be given several times."),
    space: str | None = typer.Option(
        None, "--space", help="Measure the kernels of a search space: nasbench201 or mixconv."
    ),
    supernet: str | None = SupernetOption,
    blocks: bool = typer.Option(False, "--blocks", help="Of mixconv: measure whole blocks instead of kernels."),
    scaled: int = typer.Option(
        0, "--scaled", help="With --blocks: measure so many blocks of scaled and post-processed networks besides."
    ),
    model: list[Path] = typer.Option(
        [], "--model", "-m", help="Measure an ONNX file and its kernels; may be repeated."
    ),
    fit_models: int = typer.Option(10, "--fit-models", help="Whole networks of the space to fit the overhead on."),
    held_out: int = typer.Option(20, "--held-out", help="Whole networks of the space that are only ever predicted."),
    suite: str = typer.Option(
        "", "--suite", help="Measure a collection of networks of several families and their kernels: closure."
    ),
    part: str = typer.Option(
        "all", "--part", help="Of a suite: all, or the networks once more, for how far two measurements differ."
    ),
    cuts: bool = typer.Option(
        False, "--cuts", help="Measure what `validate --cuts` compares: the networks' kernels under every cut."
    ),
    energy: bool = typer.Option(
        False, "--energy", help="Measure energy too, where there is a power sensor or meter: some 25 s more a job."
    ),
    cold: bool = typer.Option(False, "--cold", help="Empty the caches before every run; tables keep such runs apart."),
    effort: str = typer.Option(
        "record",
        "--effort",
        help="record (the full protocol), quick (seconds a kernel) or shared (quick, on a machine that others use).",
    ),
    patience_s: float = PatienceOption,
    adaptive: bool = typer.Option(
        False, "--adaptive", help="Measure kernels at sizes chosen where predictions are worst, within --minutes."
    ),
    minutes: float | None = typer.Option(
        None, "--minutes", help="With --adaptive: of the board's time, for each target [default: 30]."
    ),
    rounds: int | None = RoundsOption,
    run: str | None = typer.Option(None, "--run", help="Name of the run; the same name continues it."),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Deploy operators and networks to boards over SSH, time them there, and journal every sample.

    Boards work side by side; one that fails keeps none from its work. Interrupted, the same command continues and
    measures nothing twice.
    Example: edgecost profile --target rpi5/onnxruntime-fp32-t1 --space nasbench201
    """
    from dataclasses import replace

    from edgecost.stages.cuts import PAIRS
    from edgecost.stages.fitted import keep_predictors
    from edgecost.stages.metering import metering
    from edgecost.stages.planning import PlanOptions, campaign_limits, measure_config
    from edgecost.stages.profiling import profile_targets
    from edgecost.stages.repeats import REPEAT
    from edgecost.stages.targets import all_devices, select_targets

    if part not in ("all", "networks"):
        raise ConfigError(f"--part is all or networks, not {part!r}")
    limits = campaign_limits(effort, patience_s)
    chosen = select_targets(all_devices(devices), target)
    options = PlanOptions(
        space, tuple(model), fit_models, held_out, seed, supernet, blocks, scaled, suite=suite,
        part="networks" if part == "networks" else "all",
    )  # fmt: skip
    config = replace(measure_config(effort, rounds=rounds, seed=seed), energy=energy, cache="cold" if cold else "hot")
    if adaptive:
        from edgecost.stages.adaptive import MINUTES, profile_adaptively

        budget = MINUTES if minutes is None else minutes
        with progress("profile", quiet=json_) as bar:
            runs = profile_adaptively(chosen, options, config, budget, results, run, bar, limits)
            keep_predictors(results, [r.target_id for r in runs if not r.failed_boards])
        _tell(runs, results, json_)
        return
    if minutes is not None:
        raise ConfigError("--minutes belongs to --adaptive; give both or neither")
    # what was chained in pairs is kept apart, since a table has one figure a kernel
    plans = [(replace(options, cuts="cuts"), results), (replace(options, cuts="pairs"), results / PAIRS)]
    # and so are repeats, which are held against the first measurement
    alone = (options, results / REPEAT if options.part == "networks" else results)
    with progress("profile", quiet=json_) as bar, metering(chosen, config) as connect:
        runs = [
            found
            for wanted, folder in (plans if cuts else [alone])
            for found in profile_targets(chosen, wanted, config, folder, run, bar, limits, connect)
        ]
    keep_predictors(results, [r.target_id for r in runs if not r.failed_boards])
    _tell(runs, results, json_)


def _tell(runs: list[Run], results: Path, json_: bool) -> None:
    if json_:
        emit_json([r.to_dict() for r in runs])
    else:
        for r in runs:
            typer.echo(r.sentence())
    failed = [r for r in runs if r.failed_boards]
    if failed:
        names = ", ".join(r.target_id for r in failed)
        say(
            f"edgecost: {len(failed)} of {len(runs)} targets were not finished ({names}); all else is in {results}, "
            "and the same command continues"
        )
        raise typer.Exit(2)
