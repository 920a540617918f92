"""Provenance: how a target's figures were measured, as far as their runs say it: what tables have to agree on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.errors import StorageError
from profiler.fleet.targets import Runtime
from profiler.measure.runfolder import RunFolder, stable_facts

if TYPE_CHECKING:
    from profiler.tables.loading.runs import Run

__all__ = ["EFFORT", "Provenance", "provenance_of"]

EFFORT = frozenset(
    {
        "rounds", "warmup_runs", "warmup_s", "min_batches", "target_half_width", "cap_s", "job_timeout_s", "seed",
        "cool_s", "sentinel_jobs", "sentinel_s", "sentinel_drift", "sentinel_tries", "sentinel_gross", "process_probes",
        "retries", "gate_noise", "observe_hz", "energy", "energy_load_s", "energy_updates", "energy_runs",
        "energy_preroll_s", "energy_idle_s",
    }
)  # fmt: skip
"""Settings that decide how well a figure is known, not what it is of."""

_SETS = ("runtime_versions", "machines", "kernels", "schemas", "programs")


@dataclass(frozen=True)
class Provenance:
    """What the runs of one target say of themselves. Each set holds a value a run; it is empty where none is said.

    Attributes:
        runtime_versions, machines, kernels: of the boards: runtime, processor, operating system.
        schemas, programs: the version of the journal's schema, and of this program.
        protocols: name and values of each setting that decides what a figure is of.
        isolations: how each kernel and block was isolated, by key: "chain" or "fan", and with which companions.
        freq_mhz: the processor's frequency in the median measurement; None where none was seen.
    """

    runtime_versions: frozenset[str] = frozenset()
    machines: frozenset[str] = frozenset()
    kernels: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()
    programs: frozenset[str] = frozenset()
    protocols: Mapping[str, frozenset[str]] = field(default_factory=dict)
    isolations: Mapping[str, str] = field(default_factory=dict)
    freq_mhz: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values by name."""
        return {
            **{name: sorted(getattr(self, name)) for name in _SETS},
            "protocols": {name: sorted(values) for name, values in sorted(self.protocols.items())},
            "isolations": dict(self.isolations),
            "freq_mhz": self.freq_mhz,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Provenance:
        """Read what `to_dict` wrote; KeyError, TypeError, ValueError or AttributeError where it is not that."""
        freq = data["freq_mhz"]
        return cls(
            **{name: _texts(data[name]) for name in _SETS},
            protocols={str(name): _texts(values) for name, values in data["protocols"].items()},
            isolations={str(key): str(how) for key, how in data["isolations"].items()},
            freq_mhz=None if freq is None else float(freq),
        )


def _texts(values: Iterable[Any]) -> frozenset[str]:
    if isinstance(values, str):
        raise TypeError("a list was expected")
    return frozenset(str(value) for value in values)


def provenance_of(runs: Iterable[Run]) -> dict[str, Provenance]:
    """By target id, what its runs say.

    Raises:
        StorageError: a run's header cannot be read.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.target.id, []).append(run)
    return {target_id: _of_target(own) for target_id, own in found.items()}


def _of_target(runs: Sequence[Run]) -> Provenance:
    folders = [RunFolder(run.path) for run in runs]
    headers = [folder.header() or {} for folder in folders]
    runtime = runs[0].target.runtime
    facts = [_facts(header, runtime, run) for header, run in zip(headers, runs, strict=True)]
    return Provenance(
        runtime_versions=frozenset(str(fact[runtime]) for fact in facts if fact.get(runtime)),
        machines=frozenset(f"{fact['cpu_model']}, {fact.get('arch')}" for fact in facts if fact.get("cpu_model")),
        kernels=frozenset(str(fact["kernel"]) for fact in facts if fact.get("kernel")),
        schemas=frozenset(str(header["schema"]) for header in headers if "schema" in header),
        programs=frozenset(str(header["edgecost"]) for header in headers if header.get("edgecost")),
        protocols=_protocols(headers),
        isolations=_isolations(folders),
        freq_mhz=_frequency(runs),
    )


def _facts(header: dict[str, Any], runtime: Runtime, run: Run) -> dict[str, Any]:
    try:
        return stable_facts(header.get("facts") or {}, runtime)
    except (AttributeError, TypeError) as error:
        raise StorageError(f"the facts in {run.path / 'run.json'} cannot be read ({error}); restore the file") from None


def _protocols(headers: Iterable[dict[str, Any]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for header in headers:
        config = header.get("config")
        for name, value in config.items() if isinstance(config, dict) else ():
            if name not in EFFORT:
                found.setdefault(name, set()).add(str(value))
    return {name: frozenset(values) for name, values in found.items()}


def _isolations(folders: Iterable[RunFolder]) -> dict[str, str]:
    subjects = (subject for folder in folders for subject in folder.subjects() if subject is not None)
    return {s.key: " ".join((s.mode, *sorted(s.companions))) for s in subjects if s.repeats}


def _frequency(runs: Iterable[Run]) -> float | None:
    seen = np.concatenate([run.lines["freq_mhz"].to_numpy() for run in runs])
    seen = seen[np.isfinite(seen)]
    middle = float(np.median(seen)) if seen.size else None
    return middle if middle is not None and isfinite(middle) and middle > 0 else None
