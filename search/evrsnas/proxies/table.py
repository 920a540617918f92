"""Training-free scores of a whole space as one Parquet file: a row an isomorphism class, a column a score.

    arch_str                               naswot    jacov
    |nor_conv_3x3~0|+|none~0|...           279.3     -35.1        (null where there is no score)

What every column depends on stands in the file's metadata. A column that is there under the same settings is kept, so
that filling the file again, for more scores or after it was interrupted, computes what is missing only.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError, StorageError
from search.data import ImageSet
from search.evrsnas.proxies.known import find_proxy
from search.evrsnas.proxies.scorer import ProxyScorer
from search.files import write_bytes
from search.spaces.base import Architecture, SearchSpace

__all__ = ["classes_of", "fill_score_file"]

_META = b"edgecost.proxies"
_NAMES = "arch_str"
_CHUNKS_PER_JOB = 8


def classes_of(space: SearchSpace) -> list[Architecture]:
    """The representatives of all classes of a space whose output depends on their input, in the space's order."""
    found: dict[str, Architecture] = {}
    for arch in space.all():
        if space.connected(arch):
            found.setdefault(space.canonical(arch), space.representative(arch))
    return list(found.values())


def fill_score_file(
    path: Path,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    names: Sequence[str],
    images: ImageSet,
    seed: int,
    *,
    jobs: int = 1,
    told: Callable[[str], None] = lambda line: None,
    **macro: int,
) -> dict[str, int]:
    """Score architectures and write, or go on with, the file; it is replaced after every score, atomically.

    Args:
        path: a .parquet file; one that holds other architectures is refused.
        space, architectures, images, seed, macro: see `ProxyScorer`.
        names: of the scores.
        jobs: processes at once.
        told: hears of every score.

    Returns:
        for every name how many architectures have no score.

    Raises:
        ConfigError: for an unknown name, or a file of other architectures.
        StorageError: where the file cannot be read or written.
    """
    from joblib import Parallel, delayed

    scorers = {name: ProxyScorer(space, find_proxy(name)(), images, seed, **macro) for name in names}
    labels = [space.describe(a) for a in architectures]
    columns, identities = _read(path, labels)
    chunks = np.array_split(np.arange(len(architectures)), min(len(architectures), jobs * _CHUNKS_PER_JOB) or 1)
    for name, scorer in scorers.items():
        if identities.get(name) != scorer.identity:
            parts = Parallel(n_jobs=jobs)(delayed(scorer)([architectures[i] for i in chunk]) for chunk in chunks)
            columns[name], identities[name] = np.concatenate(parts), scorer.identity
            _write(path, labels, columns, identities)
        told(f"{name}: {int(np.isfinite(columns[name]).sum())} of {len(labels)} architectures have a score")
    return {name: int((~np.isfinite(columns[name])).sum()) for name in names}


def _read(path: Path, labels: list[str]) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    if not path.exists():
        return {}, {}
    try:
        table: Any = pq.read_table(path)
        identities = json.loads((table.schema.metadata or {})[_META])
        same = table[_NAMES].to_pylist() == labels
        columns = {n: np.array(table[n].to_pandas(), dtype=np.float64) for n in identities}
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{path} cannot be read as a file of scores ({error}): name another, or remove it") from None
    if not same:
        raise ConfigError(f"{path} holds scores of other architectures: name another file")
    return columns, identities


def _write(path: Path, labels: list[str], columns: dict[str, NDArray[np.float64]], identities: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {_NAMES: labels, **{n: pa.array(v, from_pandas=True) for n, v in columns.items()}}
    table = pa.table(arrays).replace_schema_metadata({_META: json.dumps(identities, sort_keys=True)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getvalue())
