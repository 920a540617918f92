"""The networks of a study measured: all of a target in one campaign, beside networks that the table was checked by.

A machine that is slower today than when its table was filled is slower for all of them: what the anchors cost now over
what the table says they cost tells how far predictions and measurements can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecost.stages.costs import write_json
from edgecost.stages.measuring import interval_ms, measure_together
from edgecost.stages.s3nas.costs import checked_networks
from edgecost.stages.s3nas.post import FINAL
from edgecost.stages.s3nas.scale import SCALED
from edgecost.stages.s3nas.study_plan import IMPORTED, OWN, Run, StudyOptions, costs_of
from profiler.fleet.targets import Device

if TYPE_CHECKING:
    from profiler.measure.progress import Progress
    from profiler.tables.row import Row
    from search.spaces.network import Network

__all__ = ["Together", "measure_target", "measured_file", "option_networks", "read_measured", "together_on"]

Together = Callable[[str, "Sequence[Network]"], "dict[str, Row]"]
"""(target id, networks) -> rows by key."""

ROUNDS = 9
"""In fresh processes: a machine's slow minutes move the median of so many less than that of three."""


def together_on(devices: Sequence[Device], effort: str, results: Path, progress: Progress | None = None) -> Together:
    """Measuring on boards."""
    from search.spaces.network import network_workload

    def measure(target: str, networks: Sequence[Network]) -> dict[str, Row]:
        workloads = [network_workload(network) for network in networks]
        return measure_together(devices, target, workloads, effort, results, progress, rounds=ROUNDS)

    return measure


def measured_file(out: Path, target: str) -> Path:
    """Where the measurements of a target are written."""
    return out / target.replace("/", "-") / "measured.json"


def measure_target(options: StudyOptions, target: str, runs: Sequence[Run], out: Path, together: Together) -> int:
    """Measure the networks of all runs on a target, and what post-processing made of them; returns how many.

    Raises:
        DeviceError, MeasurementError: where a board or a measurement fails.
    """
    from search.spaces.network import network_workload, read_network

    chosen = [run for run in runs if run.target == target and run.method != IMPORTED]
    networks = [read_network(run.folder / SCALED) for run in chosen if (run.folder / SCALED).exists()]
    for run in chosen:
        if run.method == OWN and (run.folder / FINAL).exists():
            networks += [read_network(run.folder / FINAL), *(n for _, n in option_networks(run))]
    space = costs_of(options, target, OWN)[0]
    anchors = checked_networks(options.pricing, target, space.network(space.maximal))
    rows = together(target, [*networks, *(network for network, _ in anchors)])

    def figure(network: Network) -> dict[str, Any]:
        row = rows[network_workload(network).key]
        return interval_ms(row) if row.has_figure else {"measured_ms": None, "status": row.status}

    answer = {
        "target": target,
        "anchors": [{"network": n.text, "table_ms": ms, **figure(n)} for n, ms in anchors],
        "networks": {network_workload(n).key: figure(n) for n in networks},
    }
    write_json(measured_file(out, target), answer)
    return len(answer["networks"])


def option_networks(run: Run) -> list[tuple[str, Network]]:
    """The network that a search found, with every option of post-processing, by the option's name."""
    from search.s3nas.post.options import all_options
    from search.spaces.network import read_network

    found = read_network(run.folder / "network.yaml")
    return [(o.name, o.applied(found)) for o in all_options((1.0, 0.0)) if not o.pruned]


def read_measured(out: Path, target: str) -> dict[str, Any]:
    """What `measure_target` wrote; nothing measured where it has not been run."""
    path = measured_file(out, target)
    if not path.exists():
        return {"target": target, "anchors": [], "networks": {}}
    return dict(json.loads(path.read_text(encoding="utf-8")))
