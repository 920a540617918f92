"""`edgecost train`: a final network from scratch, exported and measured."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.options import (
    DataOption,
    DeviceOption,
    DevicesOption,
    EffortOption,
    NetworkArgument,
    ResizeOption,
    ResultsOption,
    ScheduleOption,
    SeedOption,
    TrainStepsOption,
)
from edgecost.cli.output import JsonOption, emit_json, progress

__all__ = ["train"]


def train(
    network: Path = NetworkArgument,
    data: str = DataOption,
    resize: int | None = ResizeOption,
    target: list[str] = typer.Option([], "--target", "-t", help="Measure it there; may be given several times."),
    schedule: str = ScheduleOption,
    train_steps: int | None = TrainStepsOption,
    effort: str = EffortOption,
    device: str = DeviceOption,
    out: Path | None = typer.Option(
        None, "--out", help="Folder of weights, files and figures [default: final, beside the network]."
    ),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Train a network from scratch, export it as ONNX and TFLite in float32 and int8, and hold the files against torch.

    Interrupted, the same command continues.
    Example: edgecost train results/s3nas/RUN/scaled.yaml --data digits --target ort-fp32-t1
    """
    from edgecost.stages.s3nas.demand import measure_on
    from edgecost.stages.s3nas.train import TrainOptions, train_file
    from edgecost.stages.targets import all_devices, select_targets

    found = all_devices(devices) if target else ()
    chosen = [t for _, t in select_targets(found, target)]
    options = TrainOptions(data, resize, schedule, train_steps, seed, device)
    with progress("train", quiet=json_) as bar:
        measure = measure_on(found, effort, results, bar) if chosen else None
        answer = train_file(network, options, out, chosen, measure, bar)
    if json_:
        emit_json(answer)
    else:
        typer.echo(answer["sentence"])
