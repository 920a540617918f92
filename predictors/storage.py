"""Fitted models as JSON files: configuration, coefficients and what they were fitted on; no pickle.

    {"schema": 1, "edgecost": "0.1.0", "model": "additive", "params": {...}, "target_id": "...", "runtime": "...",
     "precision": "...", "measurements_sha256": "...", "libraries": {"numpy": "..."},
     "sources": [{"path": "...", "sha256": "..."}], "state": {...}}

Models of other costs have the same form, by their own names: "energy" in mJ, with its scope, and "memory". Whoever
wants one cost says which, so that no mJ is ever taken for ms: `load_cost_model` gives models of latency only,
`load_energy_model` models of energy only.

`measurements_sha256` identifies the rows that the fit used (`Measurements.sha256`); `sources` names the files that
they came from, `libraries` the versions that did the fit.

Under other versions a loaded model predicts what the saved one did, to the last bit: coefficients are written out. Only
trees have no form that outlives a version of scikit-learn. They are kept as the rows that they were fitted on, fitted
again on loading, and held against the predictions saved beside them; a version that builds other trees is refused, and
the model is to be fitted again from its measurements.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from predictors.base import CostModel
from predictors.energy import EnergyModel
from predictors.models import find_predictor
from predictors.scikit import Predictor
from profiler.errors import ConfigError, StorageError
from profiler.measure.runfolder import edgecost_version, write_file

__all__ = ["MODEL_SCHEMA", "load_cost_model", "load_energy_model", "load_model", "save_model", "stale_sources"]

MODEL_SCHEMA = 1

_LIBRARIES = ("numpy", "scipy", "scikit-learn")


def save_model(model: Predictor, path: Path, sources: Sequence[Path] = ()) -> None:
    """Write a fitted model, replacing what is there only once the new file is whole.

    Args:
        model: fitted, of latency or of energy.
        path: the file to write.
        sources: journals or table files that it was fitted on, recorded with their SHA-256.

    Raises:
        ConfigError: for a model that is not fitted.
        StorageError: where a source cannot be read or the file not be written.
    """
    data = {
        "schema": MODEL_SCHEMA,
        "edgecost": edgecost_version(),
        **model.to_dict(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "sources": [{"path": str(source), "sha256": _file_sha256(source)} for source in sources],
    }
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    write_file(path, text.encode())


def load_model(path: Path) -> Predictor:
    """Read a fitted model; it predicts exactly what the saved one did.

    Raises:
        StorageError: where the file is missing, unreadable or of another schema, or holds trees that the installed
            version of scikit-learn builds differently.
        ConfigError: where it is not a saved model, or of a kind that nobody offers.
    """
    data = _read(path)
    try:
        return find_predictor(str(data["model"])).from_dict(data)
    except StorageError as error:
        raise StorageError(f"{path}: {error}{_other_versions(data)}") from None
    except KeyError as error:
        raise ConfigError(f"{path} is not a saved model: it lacks {error}; fit one with `edgecost fit`") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def load_cost_model(path: Path) -> CostModel:
    """`load_model` of a model of latency.

    Raises:
        StorageError, ConfigError: as `load_model`; ConfigError for a model of another cost.
    """
    found = load_model(path)
    if not isinstance(found, CostModel):
        raise ConfigError(f"{path} is a model of {found.name}; a model of latency is written by `edgecost fit`")
    return found


def load_energy_model(path: Path) -> EnergyModel:
    """`load_model` of a model of energy.

    Raises:
        StorageError, ConfigError: as `load_model`; ConfigError for a model of another cost.
    """
    found = load_model(path)
    if not isinstance(found, EnergyModel):
        raise ConfigError(f"{path} is no model of energy; fit one with `edgecost fit --cost energy`")
    return found


def stale_sources(path: Path) -> tuple[Path, ...]:
    """The files that a saved model was fitted on and that have changed or gone since.

    Raises:
        StorageError, ConfigError: as `load_model`.
    """
    stale = []
    for source in _read(path).get("sources", []):
        try:
            name, digest = Path(str(source["path"])), str(source["sha256"])
        except (KeyError, TypeError):
            raise ConfigError(f"{path} is not a saved model: its sources lack path or sha256") from None
        if not name.is_file() or _file_sha256(name) != digest:
            stale.append(name)
    return tuple(stale)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read the model {path}: {error.strerror}; fit one with `edgecost fit`") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; a saved model is written by `edgecost fit`") from None
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise ConfigError(f"{path} is not a saved model; fit one with `edgecost fit`")
    if data["schema"] < 1:
        raise StorageError(
            f"{path} has schema {data['schema']}, and the oldest that is read is 1; fit it again with `edgecost fit`"
        )
    if data["schema"] > MODEL_SCHEMA:
        raise StorageError(
            f"{path} has schema {data['schema']} and this version reads up to {MODEL_SCHEMA}; update edgecost"
        )
    return data


def _other_versions(data: dict[str, Any]) -> str:
    """Which libraries have changed since a model was saved; "" where none has."""
    saved = data.get("libraries")
    found = [
        f"{name} {saved[name]}, and {version(name)} is installed"
        for name in _LIBRARIES
        if isinstance(saved, dict) and name in saved and saved[name] != version(name)
    ]
    return f" (it was saved under {'; '.join(found)})" if found else ""


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"cannot read {path}, on which the model was fitted: {error.strerror}") from None
    return digest.hexdigest()
