"""Other projects' tables in and out: layers as rows of our tables, and our rows as layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import ConfigError

if TYPE_CHECKING:
    from profiler.fleet.targets import Target
    from profiler.tables.table import CostTable

__all__ = ["IMPORTED", "export_layers", "import_table", "parse_target"]

IMPORTED = ("ofa", "proxylessnas", "hwnasbench", "s3nas")
"""The forms that are read."""

_PICKLES = (".pickle", ".pkl", ".pt", ".pth")
_TARGET = re.compile(
    r"(?P<device>[a-z0-9][a-z0-9-]*)/(?P<runtime>[a-z0-9_]+)-(?P<precision>\w+)-t(?P<threads>[1-9]\d?)"
)


def parse_target(text: str) -> Target:
    """The target that an id such as "note10/litert-fp32-t1" names, of a device that need not be in any file.

    Raises:
        ConfigError: another form, or an unknown runtime or precision.
    """
    from profiler.fleet.plugins import is_known, known_names
    from profiler.fleet.targets import PRECISIONS, Target

    match = _TARGET.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"--target {text!r} does not say what the table was measured on: DEVICE/RUNTIME-PRECISION-tTHREADS, such "
            "as note10/litert-fp32-t1"
        )
    if not is_known(match["runtime"]) or match["precision"] not in PRECISIONS:
        raise ConfigError(
            f"--target {text!r} names the runtime {match['runtime']!r} in {match['precision']!r}; known are "
            f"{', '.join(known_names())} in {' and '.join(PRECISIONS)}"
        )
    return Target(match["device"], match["runtime"], match["precision"], int(match["threads"]))


def import_table(path: Path, form: str, target: str, out: Path, unit: str = "", device: str = "") -> dict[str, Any]:
    """Read another project's table and write it as one of ours, its layers as rows of kind "block".

    Args:
        path: the file, or the folder of S3NAS's layout.
        form: out of IMPORTED, or "auto" to tell by the file.
        target: what it was measured on; see `parse_target`.
        out: the file to write, .json or .parquet.
        unit: of its figures: ns, us, ms or s; by default ms, and ns of S3NAS's.
        device: of HW-NAS-Bench's devices.

    Raises:
        ConfigError: an unknown form, unit or device, or a file that is not of the form.
        StorageError: the file cannot be written.
    """
    if path.suffix.lower() in _PICKLES:
        raise ConfigError(
            f"{path} is a pickle, and such files are never opened, since they run what they hold; write its values to "
            ".yaml, .json or .parquet where it comes from"
        )
    chosen = _guess(path) if form == "auto" else form
    if chosen not in IMPORTED:
        raise ConfigError(f"there is no form {form!r}; choose auto or one of {', '.join(IMPORTED)}")
    if device and chosen != "hwnasbench":
        raise ConfigError(f"--device chooses one of HW-NAS-Bench's devices, and {path} is in the form {chosen}")
    if out.suffix.lower() not in (".json", ".parquet"):
        raise ConfigError(f"cannot write the table to {out}: the name must end in .json or .parquet")
    where = parse_target(target)
    if chosen == "s3nas":
        table = _s3nas(path, where, _factor(unit, "ns"))
    elif chosen == "hwnasbench":
        table = _hwnasbench(path, where, device, _factor(unit, "ms"))
    else:
        from profiler.tables.formats.layers.own import table_of_layers
        from profiler.tables.formats.layers.writing import form_named

        found = form_named(chosen)
        table = table_of_layers(found.read(path), found, where, path, _factor(unit, "ms"))
    table.export(out)
    sentence = f"{len(table.rows())} rows of {where.id} from {path} ({chosen}) written to {out}"
    return {"file": str(out), "format": chosen, "target": where.id, "rows": len(table.rows()),
            "notes": list(table.notes), "sentence": sentence}  # fmt: skip


def _guess(path: Path) -> str:
    from profiler.tables.formats.layerkeys import read_pairs
    from profiler.tables.formats.ofa import is_ofa

    if path.is_dir():
        return "s3nas"
    if path.suffix.lower() == ".parquet":
        return "hwnasbench"
    return "ofa" if is_ofa(read_pairs(path)) else "proxylessnas"


def _factor(unit: str, default: str) -> float:
    """What makes figures ms."""
    from profiler.tables.formats.columns import UNITS_MS

    said = (unit or default).lower()
    if said not in UNITS_MS:
        raise ConfigError(f"--unit {unit!r} is no unit of a latency; choose one of {', '.join(UNITS_MS)}")
    return UNITS_MS[said]


def _s3nas(path: Path, target: Target, factor: float) -> CostTable:
    from profiler.tables.formats.s3nas import read_s3nas
    from search.s3nas.costs.folders import blocks_of_folder

    found = blocks_of_folder(read_s3nas(path))
    notes = [f"{len(found.workloads)} stems, blocks and heads of {path.name}, S3NAS's layout, as their files say"]
    if found.others:
        notes.append(f"{len(found.others)} files are left out: {'; '.join(found.others[:3])}")
    latencies = [factor * ns for ns in found.latencies_ns]
    return _table(path, target, list(zip(found.workloads, latencies, found.names, strict=True)), notes)


def _hwnasbench(path: Path, target: Target, device: str, factor: float) -> CostTable:
    from profiler.tables.formats.hwnasbench import read_hwnasbench
    from search.s3nas.costs.imported import absolute_blocks

    read = read_hwnasbench(path)
    name = device or (read.devices[0] if len(read.devices) == 1 else "")
    if not name:
        raise ConfigError(f"{path} holds {', '.join(read.devices)}; choose one of them with --device")
    workloads, latencies_ms = absolute_blocks(read, name)
    relative = len(read.of(name)) - len(workloads)
    notes = [f"{len(workloads)} layers of {name} out of {path.name}"]
    if relative:
        notes.append(
            f"{relative} figures of {name} are differences to a skipped layer whose cost is not known, and are left out"
        )
    if name in ("eyeriss", "fpga"):
        notes.append(f"figures of {name} were simulated or estimated by their authors, not measured")
    figures = [(w, factor * float(ms), w.name) for w, ms in zip(workloads, latencies_ms, strict=True)]
    return _table(path, target, figures, notes)


def _table(path: Path, target: Target, figures: list[tuple[Any, float, str]], notes: list[str]) -> CostTable:
    """Rows of kind "block" without deviation or count; a workload of two figures is refused."""
    from profiler.tables.formats.layers.own import row_of_figure
    from profiler.tables.table import CostTable

    rows: dict[str, Any] = {}
    for workload, latency_ms, name in figures:
        row = row_of_figure(workload, target, name, latency_ms, path)
        known = rows.setdefault(row.key, row)
        if known.latency_ns != row.latency_ns:
            raise ConfigError(
                f"{path}: {known.label} and {name} are the same block with {known.latency_ns / 1e6:g} and "
                f"{latency_ms:g} ms; leave one of them out"
            )
    workloads = {workload.key: workload for workload, _, _ in figures}
    return CostTable(rows.values(), workloads, (target,), sources=[path.as_posix()], notes=notes)


def export_layers(table: CostTable, target: str, form: str, out: Path) -> dict[str, Any]:
    """Write a target's blocks in another project's form.

    Raises:
        ConfigError: another form, or no block of the target is one of its layers.
        StorageError: the file cannot be written.
    """
    from edgecost.stages.costs import resolve_target

    target_id = resolve_target(table, target)
    if form == "hwnasbench":
        from profiler.tables.formats.hwnasbench_writing import write_hwnasbench
        from search.s3nas.costs.fbnet import fbnet_table

        found = fbnet_table(table, target_id)
        write_hwnasbench(found, out, f"measured on {target_id}; absolute figures are marginal costs inside a network")
        return _answer(out, form, target_id, len(found.rows), ())
    from profiler.tables.formats.layers.own import layers_of_table
    from profiler.tables.formats.layers.writing import form_named, write_layers

    chosen = form_named(form)
    own = layers_of_table(table, target_id, chosen)
    comments = [f"latencies on {target_id}, a layer's marginal cost inside a network"]
    if own.gated:
        comments.append(f"{own.gated} of {len(own.layers)} figures failed a gate of their measurement")
    write_layers(own.layers, out, chosen, comments)
    left = [f"{len(own.others)} blocks that are no layer of {chosen.title}'s"] if own.others else []
    left += [f"{len(own.unresolved)} layers too cheap to be resolved ({', '.join(own.unresolved[:2])})"] * bool(
        own.unresolved
    )
    return _answer(out, form, target_id, len(own.layers), left)


def _answer(out: Path, form: str, target_id: str, rows: int, left: Any) -> dict[str, Any]:
    words = f"; left out: {', '.join(left)}" if left else ""
    return {"file": str(out), "format": form, "target": target_id, "rows": rows, "left_out": list(left),
            "sentence": f"{rows} layers of {target_id} written to {out}{words}"}  # fmt: skip
