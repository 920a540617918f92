"""Fitted models as JSON files: configuration, coefficients and what they were fitted on; no pickle.

    {"schema": 1, "edgecost": "0.1.0", "model": "additive", "params": {...}, "target_id": "...", "runtime": "...",
     "precision": "...", "measurements_sha256": "...", "sources": [{"path": "...", "sha256": "..."}], "state": {...}}

A model of energy (`EnergyModel`) has {"model": "energy", "unit": "mj", "scope": "...", "of": {...}}, where "of" is the
model that adds its millijoules up. `load_model` gives models of latency only, so that no mJ is ever taken for ms.

`measurements_sha256` identifies the rows that the fit used (`Measurements.sha256`); `sources` names the files that
they came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predictors.base import CostModel
from predictors.energy import EnergyModel
from predictors.files import write_file
from predictors.models import find_model
from profiler.errors import ConfigError, StorageError
from profiler.measure.runfolder import edgecost_version

__all__ = ["MODEL_SCHEMA", "load_energy_model", "load_model", "save_model", "stale_sources"]

MODEL_SCHEMA = 1


def save_model(model: CostModel | EnergyModel, path: Path, sources: Sequence[Path] = ()) -> None:
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
        "sources": [{"path": str(source), "sha256": _file_sha256(source)} for source in sources],
    }
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    write_file(path, text.encode())


def load_model(path: Path) -> CostModel:
    """Read a fitted model; it predicts exactly what the saved one did.

    Raises:
        StorageError: where the file is missing, unreadable or of a newer schema.
        ConfigError: where it is not a saved model of latency, or of a kind that nobody offers.
    """
    data = _read(path)
    if data.get("model") == EnergyModel.name:
        raise ConfigError(f"{path} is a model of energy, in mJ; a model of latency is written by `edgecost fit`")
    try:
        return find_model(str(data["model"])).from_dict(data)
    except KeyError as error:
        raise ConfigError(f"{path} is not a saved model: it lacks {error}; fit one with `edgecost fit`") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def load_energy_model(path: Path) -> EnergyModel:
    """Read a fitted model of energy; it predicts exactly what the saved one did.

    Raises:
        StorageError: as `load_model`.
        ConfigError: where it is not a saved model of energy.
    """
    data = _read(path)
    if data.get("model") != EnergyModel.name:
        raise ConfigError(f"{path} is no model of energy; fit one with `edgecost fit --cost energy`")
    try:
        return EnergyModel.from_dict(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


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
    if data["schema"] > MODEL_SCHEMA:
        raise StorageError(
            f"{path} has schema {data['schema']} and this version reads up to {MODEL_SCHEMA}; update edgecost"
        )
    return data


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"cannot read {path}, on which the model was fitted: {error.strerror}") from None
    return digest.hexdigest()
