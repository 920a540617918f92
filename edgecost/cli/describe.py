"""`edgecost describe`: what a network, a supernet or an ONNX model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from edgecost.cli.output import JsonOption, emit_json, say, show_table

__all__ = ["describe"]

_RIGHT = (3, 4)


def describe(
    source: str = typer.Argument(
        ..., metavar="FILE", help="A network's or supernet's YAML file, a bundled supernet's name, or an ONNX file."
    ),
    layers: bool = typer.Option(False, "--layers", help="List every operator of a network, not only its blocks."),
    json_: bool = JsonOption,
) -> None:
    """Parameters, MACs, peak activation memory, key and layers, before anything is measured.

    Example: edgecost describe graded32
    """
    from edgecost.stages.describing import describe as describe_file

    answer = describe_file(source)
    if json_:
        emit_json(answer)
    elif answer["kind"] == "supernet":
        _show_supernet(answer)
    elif answer["kind"] == "network":
        _show_network(answer, layers)
    else:
        _show_onnx(answer)
    if not answer.get("complete", True):
        names = ", ".join(dict.fromkeys(u["op_type"] for u in answer["unsupported"]))
        say(f"edgecost: {source} holds operators that are not known: {names}; all figures are lower bounds")
        raise typer.Exit(2)


def _show_network(answer: Mapping[str, Any], layers: bool) -> None:
    typer.echo(
        f"{answer['file']}: a network of the supernet {answer['supernet']}, {answer['blocks']} blocks, "
        f"{answer['resolution']} x {answer['resolution']} pixels, {answer['num_classes']} classes, "
        f"{answer['activation']}"
    )
    se = f"; {_count(answer['params_se'])} in squeeze-and-excitation" if answer["params_se"] else ""
    _show_sizes(answer, se)
    rows: list[list[object]] = []
    for part in answer["parts"]:
        rows.append([part["name"], _shape(part["in"]), _shape(part["out"]), f"{part['params']:,}", f"{part['macs']:,}"])
        if layers:
            rows += [["  " + str(cell[0]), *cell[1:]] for cell in _layer_rows(part["layers"])]
    show_table("", ("part", "in", "out", "parameters", "MACs"), rows, _RIGHT)


def _show_onnx(answer: Mapping[str, Any]) -> None:
    inputs = ", ".join("x".join(str(n) for n in shape) for shape in answer["inputs"])
    typer.echo(f"{answer['file']}: an ONNX model, input {inputs}")
    _show_sizes(answer, "", "" if answer["complete"] else "at least ")
    show_table("", ("operator", "in", "out", "parameters", "MACs"), _layer_rows(answer["layers"]), _RIGHT)
    if answer["unsupported"]:
        rows = [[u["name"], u["op_type"], u["reason"]] for u in answer["unsupported"]]
        show_table("Not known, and not counted", ("node", "operator", "reason"), rows)


def _show_supernet(answer: Mapping[str, Any]) -> None:
    branches = ", ".join(f"k up to {b['kernel']} e up to {b['expansion']}" for b in answer["branches"])
    typer.echo(f"{answer['name']}: {answer['description']}" if answer["description"] else answer["name"])
    typer.echo(
        f"  {answer['blocks']} blocks of {len(answer['branches'])} branches ({branches}); "
        f"10^{answer['architectures_log10']:.1f} architectures; {answer['parts_to_measure']} distinct blocks, stem and "
        f"head among them; {answer['resolution']} x {answer['resolution']} pixels, {answer['num_classes']} classes"
    )
    rows = [
        [i + 1, s["filters"], s["stride"], s["blocks"], _each(s["choices"]), _each(s["combinations"])]
        for i, s in enumerate(answer["stages"])
    ]
    columns = ("stage", "filters", "stride", "blocks", "distinct choices a block", "combinations of branches")
    show_table("", columns, rows)
    for name in ("minimal", "maximal"):
        typer.echo(f"{name} network: {answer[name]['text']}")
        _show_sizes(answer[name], "")


def _show_sizes(sizes: Mapping[str, Any], more: str, bound: str = "") -> None:
    without = f"{_count(sizes['params_without_bn'])} without scale and shift of batch norms"
    typer.echo(f"  parameters        {bound}{_count(sizes['params'])} ({without}{more})")
    typer.echo(f"  MACs              {bound}{_count(sizes['macs'])}")
    typer.echo(f"  peak activations  {bound}{_bytes(sizes['peak_activation_bytes'])} (float32, one image)")
    typer.echo(f"  key               {sizes['key']}")


def _layer_rows(layers: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    return [
        [f"{d['op']} {d['detail']}".strip(), _shape(d["in"]), _shape(d["out"]), f"{d['params']:,}", f"{d['macs']:,}"]
        for d in layers
    ]


def _shape(shapes: Sequence[Sequence[int]]) -> str:
    """Shapes without the batch of one."""
    return " + ".join("x".join(str(n) for n in (shape[1:] if len(shape) > 1 else shape)) for shape in shapes)


def _each(values: Sequence[int]) -> str:
    """The value where all are equal, else that of the first block and of the others."""
    if len(set(values)) == 1:
        return str(values[0])
    rest = set(values[1:])
    return f"{values[0]}, then {values[1]}" if len(rest) == 1 else ", ".join(str(v) for v in values)


def _count(value: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:#.4g} {unit}"
    return str(value)


def _bytes(value: int) -> str:
    return f"{value / 2**20:.2f} MiB" if value >= 2**20 else f"{value / 1024:.1f} KiB"
