"""Fusion experiments: what of a target runs as one, by the clock, by our rules and by the runtime's own graph."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.places import artefact_cache
from profiler.errors import ConfigError
from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig
from profiler.workloads.fusion_pairs import Pair, in_context, pairs_of, parse_pairs

if TYPE_CHECKING:
    from profiler.measure.board import ArtefactSource, SessionFactory
    from profiler.measure.fusion_verdicts import Finding
    from profiler.measure.progress import Progress

__all__ = ["FOLDER", "Told", "evidence", "fusion_of_target", "told_of_pairs", "tried_pairs"]

FOLDER = "fusion"
"""Runs of experiments lie in RESULTS/fusion/<device>/<run>, where no table is made of them."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a pair without measuring: by our rules, and by the runtime's own graph (None: it has none)."""

    pair: Pair
    rules: bool
    graph: bool | None


def tried_pairs(texts: Sequence[str], target: Target) -> tuple[Pair, ...]:
    """The pairs to try on a target: those named, or a choice of what networks are made of.

    Raises:
        ConfigError: for a pair that cannot be tried, or a target without rules.
    """
    from profiler.measure.fusion_trials import default_pairs

    return parse_pairs(texts) if texts else default_pairs(target.runtime, target.precision)


def told_of_pairs(pairs: Iterable[Pair], target: Target) -> tuple[Told, ...]:
    """What rules and graph say; the graph is that of ONNX Runtime on this machine.

    Raises:
        ArtefactError: a graph cannot be read.
        ConfigError: there are no rules for the target.
    """
    from profiler.workloads.fusion import cut
    from profiler.workloads.optimised_graph import optimised_graph

    found: list[Told] = []
    for pair in pairs:
        context = in_context(pair)
        both = {context.first, context.second}
        kernels = cut(context.workload, target.runtime, target.precision)
        graph = None
        if target.runtime == "onnxruntime" and not target.accelerator:
            graph = optimised_graph(context.workload, target.precision).together(context.first, context.second)
        found.append(Told(pair, any(both <= set(kernel.ops) for kernel in kernels), graph))
    return tuple(found)


def fusion_of_target(
    device: Device,
    target: Target,
    pairs: Sequence[Pair],
    config: MeasureConfig,
    results: Path,
    threshold: float,
    progress: Progress | None = None,
    connect: SessionFactory | None = None,
    source: ArtefactSource | None = None,
) -> dict[str, Any]:
    """Run the trials of pairs on a target and judge them; writes RESULTS/fusion/<device>/<run>/fusion.json.

    What was journaled before is not measured again.

    Args:
        device, target: where.
        pairs: what is tried.
        config: how long and how often.
        results: the folder of results.
        threshold: the share of the second operator's cost that has to be saved.
        progress: is told what happens.
        connect: opens a session; by default over SSH.
        source: builds artefacts; by default into the usual cache.

    Raises:
        ConfigError: for no pairs, a threshold outside of (0, 1), or a target without rules.
        DeviceError: when the board cannot be used.
        StorageError: when results cannot be written.
    """
    from profiler.measure.campaign import Campaign
    from profiler.measure.fusion_trials import pair_trials, read_findings, trial_jobs
    from profiler.measure.lowering import Lowerings
    from profiler.workloads.artefacts import ArtefactCache

    if not pairs:
        raise ConfigError("there is no pair to try; name some with --pairs conv2d+relu")
    if not 0 < threshold < 1:
        raise ConfigError(f"the threshold is a share between 0 and 1, not {threshold:g}")
    if connect is None:
        from profiler.fleet.sessions.session import connect as connect_over_ssh

        connect = connect_over_ssh
    jobs = trial_jobs(pair_trials(pairs))
    with nullcontext(source) if source else Lowerings(ArtefactCache(artefact_cache())) as files:
        campaign = Campaign(connect, files, results / FOLDER, config, progress)
        done = campaign.run(device, target, jobs, _run_id(target, pairs, config))
    findings = read_findings(done.run_dir, pairs, threshold)
    rows = [_row(f, t) for f, t in zip(findings, told_of_pairs(pairs, target), strict=True)]
    answer = {
        "target": target.id,
        "emulation": device.emulation,
        "run_dir": str(done.run_dir),
        "rounds": config.rounds,
        "threshold": threshold,
        "failures": done.failures,
        "pairs": rows,
        "evidence": evidence(rows),
        "rules_and_graph": rules_and_graph(target),
    }
    write_json(done.run_dir / "fusion.json", answer)
    return answer


def _run_id(target: Target, pairs: Sequence[Pair], config: MeasureConfig) -> str:
    """The name of a run that the same command finds again."""
    text = json.dumps([sorted("+".join(pair) for pair in pairs), config.to_dict()], sort_keys=True)
    return f"pairs-{hashlib.sha256(text.encode()).hexdigest()[:8]}-{target.id.split('/', 1)[1]}"


def _row(finding: Finding, told: Told) -> dict[str, Any]:
    return {**finding.to_dict(), "pair": "+".join(finding.pair), "rules": told.rules, "graph": told.graph}


def rules_and_graph(target: Target) -> dict[str, Any] | None:
    """Our rules against the runtime's own graph, over all pairs that shapes allow; None where it gives no graph."""
    if target.runtime != "onnxruntime" or target.accelerator:
        return None
    told = told_of_pairs(pairs_of(), target)
    wrong = ["+".join(t.pair) for t in told if t.graph is not t.rules]
    return {"pairs": len(told), "differ": wrong}


def evidence(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What verdicts and threshold are worth where the runtime's own graph is the truth; None where there is none.

    The highest share that was saved among pairs that run apart and the lowest among those that run as one say where a
    threshold may lie; where the two overlap, no threshold tells them apart.
    """
    known = [row for row in rows if row["graph"] is not None and row["share"] is not None]
    if not known:
        return None
    fused, apart = ([r for r in known if r["graph"] is truth] for truth in (True, False))
    decided = [row for row in known if row["verdict"] != "undecided"]
    wrong = [row["pair"] for row in decided if (row["verdict"] == "fused") is not row["graph"]]
    return {
        "decided": len(decided),
        "undecided": len(rows) - len(decided),
        "wrong": wrong,
        "lowest_fused": _extreme(min, fused),
        "highest_apart": _extreme(max, apart),
    }


def _extreme(pick: Any, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if not rows:
        return None
    row = pick(rows, key=lambda r: r["share"] if math.isfinite(r["share"]) else 0.0)
    return {"pair": row["pair"], "share": row["share"]}
