"""`edgecost study`: a search beside its controls, with several seeds, on several targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.demand import pricing_of, settings_of
from edgecost.cli.options import (
    DataOption,
    DevicesOption,
    DivisorOption,
    EffortOption,
    ResizeOption,
    ResolutionStepOption,
    ResultsOption,
    SeedOption,
    TrainStepsOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress, show_table
from edgecost.cli.study_evrsnas import hw_evrsnas
from profiler.errors import ConfigError

__all__ = ["app", "show_study"]

app = typer.Typer(help="A search beside its controls.", no_args_is_help=True, rich_markup_mode=None)


app.command("hw-evrsnas")(hw_evrsnas)


@app.callback()
def studies() -> None:
    """A search beside its controls."""


@app.command()
def s3nas(
    target: list[str] = typer.Option([], "--target", "-t", help="A target or device id; may be repeated."),
    data: str = DataOption,
    resize: int | None = ResizeOption,
    seeds: int = typer.Option(3, "--seeds", help="How many seeds."),
    quantile: float = typer.Option(0.5, "--quantile", help="The search's budget, among random networks' costs."),
    search_budget_ms: float | None = typer.Option(
        None, "--search-budget-ms", min=0.0, help="The search's budget, instead of that quantile."
    ),
    share: float = typer.Option(0.6, "--share", help="The search's budget, as a share of the final one."),
    controls: bool = typer.Option(True, "--controls/--no-controls", help="On the first target, S3NAS's controls too."),
    post_processing: bool = typer.Option(
        True, "--post-processing/--no-post-processing", help="Of the first seed's S3NAS networks."
    ),
    setting: list[str] = typer.Option(
        [], "--set", help="A setting of the search, such as phase1=150; may be repeated."
    ),
    train_steps: int | None = TrainStepsOption,
    divisor: int | None = DivisorOption,
    resolution_step: int = ResolutionStepOption,
    imported: list[str] = typer.Option(
        [], "--imported", help="A device of HW-NAS-Bench, on which fbnet32 is searched as well; may be repeated."
    ),
    imported_setting: list[str] = typer.Option([], "--set-imported", help="A setting of these searches."),
    jobs: int = typer.Option(2, "--jobs", help="Searches and trainings side by side."),
    measure: bool = typer.Option(False, "--measure", help="At the end, measure all networks of a target together."),
    effort: str = EffortOption,
    out: Path | None = typer.Option(None, "--out", help="Folder of the study [default: RESULTS/s3nas]."),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """S3NAS on every target, and random search, scaling alone, no choice dropout, flat and MBConv supernets and a swept
    log-latency loss on the first: one row each, at equal budgets.

    Interrupted, the same command continues.
    Example: edgecost study s3nas --target ort-fp32-t1 --target ort-int8-t1 --data digits
    """
    from edgecost.stages.s3nas.study import run_study
    from edgecost.stages.s3nas.study_measure import together_on
    from edgecost.stages.s3nas.study_plan import StudyOptions
    from edgecost.stages.s3nas.train import TrainOptions
    from edgecost.stages.targets import all_devices

    if not target and not imported:
        raise ConfigError("a study needs a target: --target ID, or --imported DEVICE for costs of HW-NAS-Bench")
    training = TrainOptions(data, resize, steps=train_steps, seed=seed)
    options = StudyOptions(
        tuple(target),
        pricing_of(results, "table", "latency"),
        training,
        quantile,
        share,
        seeds,
        settings_of(setting),
        jobs,
        divisor,
        resolution_step,
        tuple(imported),
        settings_of(imported_setting, "--set-imported"),
        search_budget_ms,
        controls,
        post_processing,
    )
    with progress("study", quiet=json_) as bar:
        folder = out or results / "s3nas"
        # in a place of its own: what is measured to judge a table must not become the table
        measuring = together_on(all_devices(devices), effort, folder / "runs", bar) if measure else None
        answer = run_study(options, folder, measuring, bar)
    if json_:
        emit_json(answer)
    else:
        show_study(answer)


def show_study(answer: dict[str, Any]) -> None:
    """Methods in a table."""

    def figure(value: float | None, digits: int = 3) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    rows = [
        (
            m["method"], m["target"], m["n"], figure(100 * m["accuracy"], 1),
            figure(None if m["accuracy_sd"] is None else 100 * m["accuracy_sd"], 1), figure(m["budget_ms"]),
            figure(m["predicted_ms"]), figure(m["measured_ms"]), figure(m["levelled_ms"]),
            f"{m['params'] / 1e6:.3f}", f"{m['macs'] / 1e6:.2f}", figure(m["search_s"], 0),
        )
        for m in answer["methods"]
    ]  # fmt: skip
    columns = (
        "method", "target", "seeds", "accuracy %", "sd", "budget ms", "predicted", "measured", "levelled",
        "M params", "M MACs", "search s",
    )  # fmt: skip
    show_table(answer["note"], columns, rows, right=range(2, len(columns)))
