"""A published table's form filled for one's own board: the layers as Workloads, measured, written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from edgecost.stages.planning import PlanOptions
    from profiler.fleet.targets import Device, Target
    from profiler.measure.board import SessionFactory
    from profiler.measure.config import MeasureConfig
    from profiler.measure.jobs import Job
    from profiler.measure.limits import CampaignLimits
    from profiler.measure.progress import Progress
    from profiler.tables.formats.layerkeys import LayerRow, LayerShape
    from profiler.workloads.graph import Workload

__all__ = ["BUILT", "LayerPlan", "build_table", "plan_layers"]

BUILT = ("ofa", "proxylessnas", "hwnasbench")
"""The forms that can be filled."""

_NAMED = 3
_BLOCKS_A_PLACE = 2
"""How many blocks of each width and stride a typical network of such a space has, for the ballast beside the layers."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a table is made of.

    Attributes:
        form: out of BUILT.
        files: by resolution in pixels, the layers of its file; empty for "hwnasbench", which is one file.
        workloads: all layers of all files, each once.
    """

    form: str
    files: dict[int, tuple[LayerShape, ...]]
    workloads: tuple[Workload, ...]

    @property
    def typical_params(self) -> int:
        """About how many parameters a network of such layers has: of each place two layers of middling size."""
        sizes: dict[tuple[Any, ...], list[int]] = {}
        for w in self.workloads:
            place = (w.shapes[w.inputs[0]][0][1], w.shape(w.outputs[0])[1])
            sizes.setdefault(place, []).append(w.params)
        middles = [sorted(found)[len(found) // 2] for found in sizes.values()]
        return _BLOCKS_A_PLACE * sum(middles)

    def jobs(self, target: Target) -> tuple[Job, ...]:
        """The campaign's jobs on a target."""
        from profiler.measure.jobs import block_plan_jobs
        from profiler.workloads.isolation import block_jobs

        # an accelerator has no such caches as the ballast is for
        ballast_of = 0 if target.accelerator else self.typical_params
        return tuple(block_plan_jobs(block_jobs(self.workloads, target.runtime, target.precision, ballast_of)))


def plan_layers(
    form: str, resolutions: Sequence[int] = (), width: float | None = None, num_classes: int = 1000
) -> LayerPlan:
    """The layers of a form's tables.

    Args:
        form: out of BUILT.
        resolutions: in pixels; by default those of the published tables.
        width: by which the published widths are multiplied; by default that of the published tables.
        num_classes: of the classifier.

    Raises:
        ConfigError: another form, or options that it does not have.
    """
    if form not in BUILT:
        raise ConfigError(f"no table in the form {form!r} can be built; choose one of {', '.join(BUILT)}")
    if form == "hwnasbench":
        from search.s3nas.costs.fbnet import fbnet_layers

        if resolutions or width is not None or num_classes != 1000:
            raise ConfigError(
                "HW-NAS-Bench's layers are of 32 x 32 pixels, one width and 100 classes; leave options out"
            )
        return LayerPlan(form, {}, fbnet_layers())
    from profiler.tables.formats.layers.blocks import layer_workload
    from profiler.tables.formats.layers.spaces import LAYER_SPACES, space_layers
    from profiler.tables.formats.layers.writing import form_named

    key = form_named(form).key
    chosen = tuple(dict.fromkeys(resolutions)) or LAYER_SPACES[form].resolutions
    files = {size: space_layers(form, size, width, num_classes) for size in chosen}
    shapes = dict.fromkeys(shape for layers in files.values() for shape in layers)
    made = (layer_workload(shape, form, key(shape)) for shape in shapes)
    return LayerPlan(form, files, tuple({workload.key: workload for workload in made}.values()))


def build_table(
    device: Device,
    target: Target,
    plan: LayerPlan,
    config: MeasureConfig,
    results: Path,
    out: Path,
    partial: bool = False,
    progress: Progress | None = None,
    limits: CampaignLimits | None = None,
    connect: SessionFactory | None = None,
) -> dict[str, Any]:
    """Measure a plan's layers on a target and write its tables; the same call continues what was interrupted.

    Args:
        device, target: where.
        plan: what.
        config: how.
        results: folder of the runs.
        out: folder of the files: RESOLUTION_lookup_table.yaml, or hwnasbench_fbnet_DEVICE.parquet.
        partial: write tables that lack layers too; by default none is written until all are there.
        progress, limits, connect: as of `profile_targets`.

    Raises:
        ConfigError: layers are missing, and not `partial`; it names them and says why.
        StorageError: something cannot be written.
    """
    from edgecost.stages.planning import PlanOptions
    from edgecost.stages.profiling import profile_targets

    def jobs(_: PlanOptions, chosen: Target) -> tuple[Job, ...]:
        return plan.jobs(chosen)

    keys = sorted(workload.key for workload in plan.workloads)
    digest = hashlib.sha256(json.dumps([keys, config.to_dict()], sort_keys=True).encode()).hexdigest()[:8]
    runs = profile_targets(
        [(device, target)], PlanOptions(), config, results, f"{plan.form}-layers-{digest}", progress, limits, connect,
        plan=jobs,
    )  # fmt: skip
    run = runs[0]
    written = [] if run.failed_boards else _write(plan, target, Path(run.run_dir), out, partial)
    return {
        "target": target.id,
        "format": plan.form,
        "layers": len(plan.workloads),
        "run": run.to_dict(),
        "files": [file for file, _, _ in written],
        "missing": sorted({key for _, _, missing in written for key in missing}),
        "complete": bool(written) and not any(missing for _, _, missing in written),
        "sentences": [run.sentence(), *(f"{rows} layers written to {file}" for file, rows, _ in written)],
    }


def _write(plan: LayerPlan, target: Target, run: Path, out: Path, partial: bool) -> list[tuple[str, int, list[str]]]:
    """(file, layers, missing keys) of every file."""
    from profiler.tables.table import CostTable

    # of this run alone: another one may have measured some of the layers by other settings
    table = CostTable.from_runs([run])
    if table.left_out:
        raise ConfigError(f"the processor of {target.id} is emulated, and such latencies make no table; choose a board")
    if plan.form == "hwnasbench":
        from profiler.tables.formats.hwnasbench_writing import write_hwnasbench
        from search.s3nas.costs.fbnet import fbnet_table

        found = fbnet_table(table, target.id)
        path = out / f"hwnasbench_fbnet_{target.device_id}.parquet"
        write_hwnasbench(found, path, f"{target.id}, from {run.name}: marginal costs of layers inside a network")
        return [(str(path), len(found.rows), [])]
    from profiler.tables.formats.layers.own import layers_of_table
    from profiler.tables.formats.layers.writing import form_named, write_layers

    form = form_named(plan.form)
    own = layers_of_table(table, target.id, form)
    known: dict[str, LayerRow] = {row.key: row for row in own.layers}
    wanted = {size: [form.key(shape) for shape in layers] for size, layers in plan.files.items()}
    lacking = {key for keys in wanted.values() for key in keys if key not in known}
    if lacking and not partial:
        raise ConfigError(_missing(lacking, own.unresolved, target, out))
    emulations = sorted({row.emulation for row in table.all_rows} - {""})
    files = []
    for size, keys in wanted.items():
        rows = [known[key] for key in keys if key in known]
        missing = [key for key in keys if key not in known]
        comments = [f"{target.id}, {size} x {size} pixels, from {run.name}: marginal costs of layers inside a network"]
        comments += [f"not a board: {word}" for word in emulations]
        doubtful = f"{own.gated} of {len(own.layers)} figures of the run failed a gate of their measurement"
        comments += [doubtful] * bool(own.gated) + [f"missing: {key}" for key in missing]
        path = out / f"{size}_lookup_table.yaml"
        write_layers(rows, path, form, comments)
        files.append((str(path), len(rows), missing))
    return files


def _missing(lacking: set[str], unresolved: Sequence[str], target: Target, out: Path) -> str:
    cheap = len(lacking & set(unresolved))
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    why = f", {cheap} of them because they take less than could be resolved" if cheap else ""
    return (
        f"{len(lacking)} layers have no figure on {target.id}{why}: {'; '.join(sorted(lacking)[:_NAMED])}{more}; "
        f"nothing is written to {out}: measure with --effort record or more --rounds, or write without them by "
        "--partial"
    )
