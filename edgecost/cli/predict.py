"""`edgecost predict`: what an ONNX model would cost on a target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.options import DevicesOption, ResultsOption, TargetOption
from edgecost.cli.output import JsonOption, emit_json, progress, say, show_table

__all__ = ["predict"]


def predict(
    model: Path = typer.Argument(..., help="An ONNX file."),
    target: str = TargetOption,
    per_layer: bool = typer.Option(True, "--per-layer/--total", help="Print every layer, or the total alone."),
    input_shape: list[str] = typer.Option(
        [], "--input-shape", help="A shape for an input, such as 1,3,224,224; of several inputs NAME=1,3,224,224."
    ),
    measure: bool = typer.Option(False, "--measure", help="Measure the file on the target too, and print both."),
    cost: str = typer.Option("latency", "--cost", help="What is predicted: latency, energy or memory."),
    effort: str = typer.Option("record", "--effort", help="With --measure: record (the full protocol) or quick."),
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Print what each layer of a model costs, the total with its interval, and what is not covered.

    Example: edgecost predict model.onnx --target ort-fp32-t1/onnxruntime-fp32-t1 --results results/quickstart
    """
    from edgecost.stages.predicting import parse_shapes
    from profiler.errors import ConfigError

    if cost not in ("latency", "energy", "memory"):
        raise ConfigError(f"--cost is latency, energy or memory, not {cost!r}")
    if measure and cost != "latency":
        raise ConfigError(f"--measure measures latency; leave out --cost {cost}, or measure with `edgecost profile`")
    shapes = parse_shapes(input_shape)
    if cost == "energy":
        from edgecost.cli.costs import read_table
        from edgecost.stages.costs import predict_energy

        answer = predict_energy(read_table(results), model, target, shapes)
    elif cost == "memory":
        from edgecost.cli.costs import read_table
        from edgecost.stages.memory import predict_memory

        answer = predict_memory(read_table(results), model, target, shapes)
    else:
        answer = _latency(model, target, shapes, results, measure, effort, devices, quiet=json_)
    if json_:
        emit_json(answer)
    else:
        _show(answer, model, per_layer)
    if answer.get("simulated") and not json_:
        say(f"{answer['target']} is simulated: no figure here is one of any hardware")
    if answer["unsupported"]:
        names = ", ".join(sorted({u["op_type"] for u in answer["unsupported"]}))
        unknown = f"{model}: operators that edgecost does not know: {names}"
        say(f"edgecost: {unknown}; the total above leaves them out and is a lower bound")
        raise typer.Exit(2)


def _latency(
    model: Path,
    target: str,
    shapes: dict[str, tuple[int, ...]],
    results: Path,
    measure: bool,
    effort: str,
    devices: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    from edgecost.stages.fitted import fitted_predictor
    from edgecost.stages.predicting import predict_file, read_model, with_measurement

    read = read_model(model, shapes)
    fitted = fitted_predictor(results, target)
    for note in fitted.notes:
        say(note)
    answer = predict_file(fitted, read, model)
    if measure:
        from edgecost.stages.measuring_files import measure_file
        from edgecost.stages.targets import all_devices

        known = all_devices(devices)
        with progress("measure", quiet=quiet) as bar:
            row, what = measure_file(known, fitted.target_id, model, read, shapes, effort, results, bar)
        answer = with_measurement(answer, row, what)
    return answer


def _show(answer: dict[str, Any], model: Path, per_layer: bool) -> None:
    """The answer as people read it."""
    if per_layer and "layers" in answer:
        rows = [
            (p["label"], p["source"], "–" if p["latency_ms"] is None else f"{p['latency_ms'] * 1000:.2f}")
            for p in answer["layers"]
        ]
        show_table(f"{model.name} on {answer['target']}", ("layer", "from", "µs"), rows, right=(2,))
    typer.echo(answer["sentence"])
    for note in answer.get("notes", ()):
        typer.echo(f"note: {note}")
    for line in answer["not_covered"]:
        typer.echo(f"not covered: {line}")
    for kind in answer.get("never_measured", ()):
        priced = "has no price" if kind["latency_ms"] is None else f"priced at {kind['latency_ms']:.3f} ms by relatives"
        typer.echo(f"never measured on this target: {kind['kind']} ({kind['kernels']} kernels, {priced})")
    if answer.get("measure_with"):
        typer.echo(f"measure them with: {answer['measure_with']}")
    if "measured" in answer:
        typer.echo(answer["measured"]["sentence"])
