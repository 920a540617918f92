"""Pricing whole search spaces: which kernels every architecture runs, counted once; then costs are one product.

    population = count_matrix(workloads, "onnxruntime", "fp32", cache=folder, space_id="nasbench201-c16-n5-32")
    latency_ms = price(population, costs_ms)      # 15,625 architectures in milliseconds

Counting takes a minute or so for a large space, since every workload is built and cut into kernels, and far longer
where the runtime itself is asked for its graph (the cut "optimised"); it needs no measurement and depends on the cut
and the runtime's rules only, so it is kept on disk. What of a model goes by another cut than the fused one
(`CostModel.cuts`) needs the same workloads counted under that one as well:

    population = population.beside(count_matrix(workloads, "onnxruntime", "fp32", "exported"))
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import ConfigError
from profiler.fleet.plugins import rules_of
from profiler.fleet.targets import Precision, Runtime
from profiler.measure.runfolder import write_file
from profiler.workloads.cuts import Cut, cut_as
from profiler.workloads.fusion import FUSION_VERSION, Kernel
from profiler.workloads.graph import KEY_VERSION, Workload

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Population", "count_matrix", "price"]

FORMAT_VERSION = 1

Workloads = Iterable[Workload | int]
"""Workloads, and places of earlier ones whose kernels are the same."""


@dataclass(frozen=True)
class Population:
    """The kernels of many workloads.

    Attributes:
        counts: (n workloads, n kernels) how often each runs each; only positive entries are stored.
        kernels: the distinct kernels, by column.
        cut: into which kernels the workloads were cut.
        others: the same workloads under other cuts.
    """

    counts: csr_matrix[np.float64]
    kernels: tuple[Kernel, ...]
    cut: Cut = "fused"
    others: tuple[Population, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Kernel keys by column."""
        return tuple(kernel.key for kernel in self.kernels)

    @property
    def n_kernels(self) -> NDArray[np.float64]:
        """Number of kernels that each workload runs, shape (n,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def under(self, how: Cut) -> Population | None:
        """The workloads as counted under a cut; None where they were not."""
        return next((one for one in (self, *self.others) if one.cut == how), None)

    def beside(self, other: Population) -> Population:
        """With the same workloads under another cut.

        Raises:
            ConfigError: where there are not as many of them, or the cut is there already.
        """
        if other.counts.shape[0] != self.counts.shape[0]:
            raise ConfigError(
                f"{other.counts.shape[0]} workloads under the cut {other.cut!r} are not the {self.counts.shape[0]} "
                f"under {self.cut!r}; count the same ones under both"
            )
        if self.under(other.cut) is not None:
            raise ConfigError(f"the population is counted under the cut {other.cut!r} already")
        return replace(self, others=(*self.others, other))


def price(population: Population, costs_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of kernel costs in ms, shape (n,).

    Args:
        population: of n workloads and k kernels.
        costs_ms: (k,); NaN where a cost is missing, which makes every workload that runs this kernel NaN and no other.

    Raises:
        ConfigError: where the number of costs is not that of the kernels.
    """
    if costs_ms.shape != (len(population.kernels),):
        raise ConfigError(f"{costs_ms.shape} costs for {len(population.kernels)} kernels; give one cost a kernel")
    # a sparse product multiplies stored entries only, so NaN meets no workload that lacks the kernel
    return np.asarray(population.counts @ costs_ms, dtype=np.float64)


def count_matrix(
    workloads: Workloads | Callable[[], Workloads],
    runtime: Runtime,
    precision: Precision,
    how: Cut = "fused",
    *,
    cache: Path | None = None,
    space_id: str = "",
) -> Population:
    """Cut every workload into the kernels that a runtime executes, and count them.

    Args:
        workloads: the workloads in order, or a function that makes them; it is called only where nothing is cached.
            A number stands for a workload with the very kernels of the one at that place, from 0, before it.
        runtime, precision: whose fusion rules to go by.
        how: the cut, out of `profiler.workloads.cuts.CUTS` but "blocks", which are no kernels.
        cache: folder in which counts are kept, under a name made of everything they depend on.
        space_id: names what `workloads` holds, macro parameters included; needed with `cache`.

    Raises:
        ArtefactError: as of `cut_as`.
        ConfigError: for a cache without a space id.
        StorageError: where the cache cannot be written.
    """
    path = None
    if cache is not None:
        if not space_id:
            raise ConfigError("a cache of kernel counts needs a space_id that names the space and its macro parameters")
        path = cache / f"counts-{_cache_key(space_id, runtime, precision, how)}.npz"
        population = _read(path, how)
        if population is not None:
            return population
    made = workloads() if callable(workloads) else workloads
    population = _count(made, runtime, precision, how)
    if path is not None:
        _write(path, population)
    return population


def _cache_key(space_id: str, runtime: str, precision: str, how: Cut) -> str:
    parts = [FORMAT_VERSION, KEY_VERSION, FUSION_VERSION, space_id, rules_of(runtime), precision, how]
    if how == "optimised":  # as the runtime on this machine has it
        from profiler.workloads.host_onnxruntime import import_onnxruntime

        parts.append(str(import_onnxruntime().__version__))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


# -------------------------------------------------------------------- counting


def _count(workloads: Workloads, runtime: Runtime, precision: Precision, how: Cut) -> Population:
    from scipy.sparse import csr_matrix

    columns: dict[str, int] = {}
    kernels: list[Kernel] = []
    indptr, indices, data = [0], list[int](), list[float]()
    for workload in workloads:
        if isinstance(workload, int):
            same = slice(indptr[workload], indptr[workload + 1])
            indices += indices[same]
            data += data[same]
        else:
            for kernel, n in _cut_one(workload, runtime, precision, how):
                column = columns.setdefault(kernel.key, len(kernels))
                if column == len(kernels):
                    kernels.append(kernel)
                indices.append(column)
                data.append(float(n))
        indptr.append(len(indices))
    shape = (len(indptr) - 1, len(kernels))
    return Population(csr_matrix((data, indices, indptr), shape=shape, dtype=np.float64), tuple(kernels), how)


def _cut_one(workload: Workload, runtime: Runtime, precision: Precision, how: Cut) -> list[tuple[Kernel, int]]:
    by_key: dict[str, Kernel] = {}
    counts: Counter[str] = Counter()
    for kernel in cut_as(workload, how, runtime, precision):
        by_key.setdefault(kernel.key, kernel)
        counts[kernel.key] += 1
    return [(by_key[key], n) for key, n in counts.items()]


# -------------------------------------------------------------------- on disk


def _kernel_rows(kernels: Sequence[Kernel]) -> list[dict[str, Any]]:
    return [{"workload": k.workload.to_dict(), "ops": list(k.ops), "kind": k.kind} for k in kernels]


def _write(path: Path, population: Population) -> None:
    buffer = io.BytesIO()
    kernels = np.frombuffer(json.dumps(_kernel_rows(population.kernels)).encode(), dtype=np.uint8)
    counts = population.counts
    np.savez_compressed(
        buffer,
        kernels=kernels,
        data=counts.data.astype(np.int32),
        indices=counts.indices.astype(np.int32),
        indptr=counts.indptr.astype(np.int32),
    )
    write_file(path, buffer.getvalue())


def _read(path: Path, how: Cut) -> Population | None:
    """The population kept at `path`; None where there is none, or a broken one (it can be counted again)."""
    import zipfile
    import zlib

    from scipy.sparse import csr_matrix

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            rows = json.loads(stored["kernels"].tobytes())
            kernels = tuple(
                Kernel(Workload.from_dict(r["workload"]), tuple(int(i) for i in r["ops"]), str(r["kind"])) for r in rows
            )
            shape = (len(stored["indptr"]) - 1, len(kernels))
            parts = (stored["data"].astype(np.float64), stored["indices"], stored["indptr"])
            counts = csr_matrix(parts, shape=shape, dtype=np.float64)
            counts.check_format(full_check=True)
            return Population(counts, kernels, how)
    except (OSError, EOFError, ValueError, KeyError, TypeError, ConfigError, zipfile.BadZipFile, zlib.error):
        return None
