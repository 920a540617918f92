"""`edgecost predict`: what an ONNX model would cost on a target."""

from __future__ import annotations

from pathlib import Path

import typer

from edgecost.cli.costs import read_table
from edgecost.cli.options import ResultsOption, TargetOption
from edgecost.cli.output import JsonOption, emit_json, say, show_table

__all__ = ["predict"]


def predict(
    model: Path = typer.Argument(..., help="An ONNX file with fixed shapes."),
    target: str = TargetOption,
    cost: str = typer.Option("latency", "--cost", help="What is predicted: latency or energy."),
    results: Path = ResultsOption,
    json_: bool = JsonOption,
) -> None:
    """Print what each layer of a model costs, the total with its interval, and what is not covered.

    Example: edgecost predict model.onnx --target ort-fp32-t1/onnxruntime-fp32-t1 --results results/quickstart
    """
    from edgecost.stages.costs import predict_energy, predict_file
    from profiler.errors import ConfigError

    if cost not in ("latency", "energy"):
        raise ConfigError(f"--cost is latency or energy, not {cost!r}")
    answer = (predict_energy if cost == "energy" else predict_file)(read_table(results), model, target)
    if json_:
        emit_json(answer)
    elif cost == "energy":
        typer.echo(answer["sentence"])
        for line in answer["not_covered"]:
            typer.echo(f"not covered: {line}")
    else:
        rows = [
            (p["label"], p["source"], "–" if p["latency_ms"] is None else f"{p['latency_ms'] * 1000:.2f}")
            for p in answer["layers"]
        ]
        show_table(f"{model.name} on {answer['target']}", ("layer", "from", "µs"), rows, right=(2,))
        typer.echo(answer["sentence"])
        for line in answer["not_covered"]:
            typer.echo(f"not covered: {line}")
    if answer["simulated"] and not json_:
        say(f"{answer['target']} is simulated: no figure here is one of any hardware")
    if answer["unsupported"]:
        names = ", ".join(sorted({u["op_type"] for u in answer["unsupported"]}))
        unknown = f"{model}: operators that edgecost does not know: {names}"
        say(f"edgecost: {unknown}; the total above leaves them out and is a lower bound")
        raise typer.Exit(2)
