"""Layer tables as files: the form that once-for-all's and ProxylessNAS's own code reads.

Means are in ms. A file begins with comments, which no reader of YAML sees: what the figures are of, and their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from profiler.errors import ConfigError
from profiler.measure.runfolder import write_file
from profiler.tables.formats import ofa, proxylessnas
from profiler.tables.formats.layerkeys import LayerRow, LayerShape

__all__ = ["FORMS", "LayerForm", "form_named", "write_layers"]


@dataclass(frozen=True, slots=True)
class LayerForm:
    """One project's form.

    Attributes:
        name: such as "ofa".
        title: what people call it.
        read: a file's rows.
        key: a layer's key; ValueError, with the end of a sentence, for a layer that the form cannot name.
        deviation: what stands beside the mean: "std" in ms, or "var" in ms^2.
    """

    name: str
    title: str
    read: Callable[[Path], tuple[LayerRow, ...]]
    key: Callable[[LayerShape], str]
    deviation: str


FORMS: dict[str, LayerForm] = {
    form.name: form
    for form in (
        LayerForm("ofa", "once-for-all", ofa.read_ofa, ofa.key_of, "std"),
        LayerForm("proxylessnas", "ProxylessNAS", proxylessnas.read_proxylessnas, proxylessnas.key_of, "var"),
    )
}
"""Forms by name."""


def form_named(name: str) -> LayerForm:
    """A form by its name; ConfigError for one that there is not."""
    if name not in FORMS:
        raise ConfigError(f"there is no form of layer tables {name!r}; choose one of {', '.join(FORMS)}")
    return FORMS[name]


def write_layers(rows: Sequence[LayerRow], path: Path, form: LayerForm, comments: Sequence[str] = ()) -> None:
    """Write a table of layers: mean, deviation and count under each layer's key, sorted by key.

    A deviation or count that is not known is left out, as its readers allow.

    Args:
        rows: means and deviations in ms; keys are made anew from the shapes.
        path: ending in .yaml, .yml or .json (which holds no comments).
        form: whose form.
        comments: lines for the head of the file; "in ms" stands there in any case.

    Raises:
        ConfigError: another ending, no rows, a layer that the form cannot name, a mean that is no number above zero,
            or one layer with two different figures.
        StorageError: the file cannot be written; one that was there stays.
    """
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json"):
        raise ConfigError(f"cannot write a table of layers to {path}: the name must end in .yaml or .json")
    if not rows:
        raise ConfigError(f"there is no layer to write to {path}")
    entries: dict[str, dict[str, float | int]] = {}
    for row in rows:
        try:
            key = form.key(row.shape)
        except ValueError as error:
            raise ConfigError(f"{path}: the layer {row.key[:120]!r} {error}") from None
        entry = _entry(row, form, path)
        if entries.setdefault(key, entry) != entry:
            raise ConfigError(
                f"{path}: the layer {key!r} has two figures ({entries[key]['mean']:g} and {entry['mean']:g} ms), and "
                f"{form.title}'s form holds one; leave one of them out"
            )
    text = _json(entries) if suffix == ".json" else _yaml(entries, comments, form)
    write_file(path, text.encode())


def _entry(row: LayerRow, form: LayerForm, path: Path) -> dict[str, float | int]:
    if not (isfinite(row.latency_ms) and row.latency_ms > 0.0):
        raise ConfigError(
            f"{path}: the layer {row.key[:120]!r} has the latency {row.latency_ms:g} ms, and whoever sums the table up "
            "would take it for true; leave the layer out or measure it again"
        )
    entry: dict[str, float | int] = {} if row.count is None else {"count": row.count}
    entry["mean"] = row.latency_ms
    if isfinite(row.deviation_ms):
        # the square root of the square of a float is the float again, so a variance loses nothing
        entry[form.deviation] = row.deviation_ms if form.deviation == "std" else row.deviation_ms**2
    return entry


def _json(entries: dict[str, dict[str, float | int]]) -> str:
    import json

    return json.dumps(entries, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _yaml(entries: dict[str, dict[str, float | int]], comments: Sequence[str], form: LayerForm) -> str:
    unit = "mean and std in ms" if form.deviation == "std" else "mean in ms, var in ms^2"
    lines = [
        f"# {' '.join(line.split())}" for line in (*comments, f"{form.title}'s form: {unit}, count of measurements")
    ]
    for key in sorted(entries):
        lines.append(f"{key}:")
        # repr is what a float is read back from exactly; YAML 1.1 wants a point before an exponent
        lines += [f"  {name}: {_number(value)}" for name, value in entries[key].items()]
    return "\n".join(lines) + "\n"


def _number(value: float | int) -> str:
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text
