"""`edgecost fusion`: which operators a target runs as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edgecost.cli.options import DevicesOption, EffortOption, ResultsOption, RoundsOption, SeedOption
from edgecost.cli.output import JsonOption, emit_json, progress, say, show_table

__all__ = ["fusion"]


def fusion(
    target: list[str] = typer.Option(..., "--target", "-t", help="A target or device id; may be given several times."),
    pairs: list[str] = typer.Option(
        [], "--pairs", help="A pair such as conv2d+relu, with * for any [default: a choice of what networks hold]."
    ),
    measure: bool = typer.Option(
        True, "--measure/--no-measure", help="Try the pairs on the board, or only print what rules and graph say."
    ),
    threshold: float | None = typer.Option(
        None, "--threshold", help="Fused is what saves more than this share of the second operator's cost."
    ),
    effort: str = EffortOption,
    rounds: int | None = RoundsOption,
    devices: Path | None = DevicesOption,
    results: Path = ResultsOption,
    seed: int = SeedOption,
    json_: bool = JsonOption,
) -> None:
    """Try pairs of operators: is the one behind the other absorbed, or does it cost what it costs alone?

    Exits with 1 where a verdict contradicts the rules that models are cut by.
    Example: edgecost fusion --target rpi5/litert-fp32-t1 --pairs "conv2d+*"
    """
    from edgecost.stages.fusion import fusion_of_target, rules_and_graph, told_of_pairs, tried_pairs
    from edgecost.stages.planning import measure_config
    from edgecost.stages.targets import all_devices, select_targets
    from profiler.measure.fusion_verdicts import ABSORBED

    chosen = select_targets(all_devices(devices), target)
    config = measure_config(effort, rounds=rounds, seed=seed)
    answers: list[dict[str, Any]] = []
    for device, found in chosen:
        tried = tried_pairs(pairs, found)
        if not measure:
            rows = [{"pair": "+".join(t.pair), "rules": t.rules, "graph": t.graph} for t in told_of_pairs(tried, found)]
            answers.append({"target": found.id, "pairs": rows, "rules_and_graph": rules_and_graph(found)})
            continue
        with progress(f"fusion {found.id}", quiet=json_) as bar:
            cut = ABSORBED if threshold is None else threshold
            answers.append(fusion_of_target(device, found, tried, config, results, cut, bar))
    if json_:
        emit_json(answers)
    else:
        for answer in answers:
            _show(answer)
    if any(_contradicts(row) for answer in answers for row in answer["pairs"]):
        raise typer.Exit(1)


def _contradicts(row: dict[str, Any]) -> bool:
    verdict = row.get("verdict", "undecided")
    return verdict != "undecided" and (verdict == "fused") is not row["rules"]


def _show(answer: dict[str, Any]) -> None:
    title = f"{answer['target']}{' (simulated)' if answer.get('emulation') == 'simulated' else ''}"
    if answer["pairs"] and "verdict" not in answer["pairs"][0]:
        rows = [(row["pair"], _word(row["rules"]), _word(row["graph"])) for row in answer["pairs"]]
        show_table(title, ("pair", "rules", "optimised graph"), rows)
    else:
        cells = [_cells(row) for row in answer["pairs"]]
        columns = ("pair", "verdict", "saved of the second %", "benefit %", "shapes", "rules", "optimised graph", "why")
        show_table(title, columns, cells, right=(2, 3, 4))
        typer.echo(f"{answer['run_dir']}/fusion.json")
    checked = answer["rules_and_graph"]
    if checked:
        differ = f"differ in {', '.join(checked['differ'])}" if checked["differ"] else "say the same"
        say(f"rules and optimised graph {differ} (of {checked['pairs']} pairs)")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counted = sum(shape["resolved"] for shape in row["shapes"])
    return (
        row["pair"],
        row["verdict"],
        _interval(row, "share"),
        _interval(row, "benefit"),
        str(counted),
        _word(row["rules"]),
        _word(row["graph"]),
        row["reason"],
    )


def _interval(row: dict[str, Any], name: str) -> str:
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return "–" if value is None else f"{100 * value:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def _word(fused: bool | None) -> str:
    return "–" if fused is None else "fused" if fused else "apart"
