"""The digest of a journal: one row a measurement, its samples reduced to an estimate, its power to an energy.

The first read of a journal parses every line and estimates every sample: some 0.05 ms a measurement with a few dozen
samples, so about a minute for a million. The digest is then kept beside the journal (`digest.arrow`), and later reads
take what it holds and parse only the lines that came since: about a microsecond a measurement.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from profiler.errors import StorageError
from profiler.measure import journal, journal_lines, record, stats
from profiler.measure.record import ROLE_KINDS, STATUSES, Measurement
from profiler.tables.loading import conditions, energies, estimates, outliers
from profiler.tables.loading.conditions import CONDITIONS, LASTED, conditions_of, verdict_of
from profiler.tables.loading.energies import energies_of, number
from profiler.tables.loading.kept import Kept, fingerprint, keep, load_kept, source_of, tail_crc
from profiler.tables.loading.rounds import Floats

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

__all__ = ["DIGEST_NAME", "ENERGIES", "SPLITS", "digest_schema", "read_digest"]

DIGEST_NAME = "digest.arrow"
SPLITS = ("held_out", "fit", "")
"""In the order in which they win: a model that was held out once stays held out."""
_AT_A_TIME = 50_000
_SAMPLES_AT_A_TIME = 2_000_000
ENERGIES = ("energy_mj", "energy_gross_mj", "energy_upper_mj", "energy_gain_mj", "energy_lsb_mj", "energy_own_mj")
_ESTIMATES = ("median_ns", "standard_error_ns", "robust_cv")
_FLOATS = ("load_ns", *ENERGIES, "freq_mhz", "temperature_c")


@cache
def digest_schema() -> pa.Schema:
    """Columns of a digest; NaN stands for what is not known.

    kind, split, status: places in ROLE_KINDS, SPLITS and STATUSES. issues: codes with a blank between. median_ns:
    NaN where there is no estimate. energy_*: `profiler.tables.loading.energies.Energies`. started_us: since 1970, 0
    where unknown. verdict and all from freq_min_mhz to lasted_s: `profiler.tables.loading.conditions`. outliers: how
    many of the samples lie beyond Tukey's fences.
    """
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    small, number = pa.int8(), pa.int32()
    columns = [("kind", small), ("subject", words), ("split", small), ("repeats", number), ("round", number)]
    columns += [("status", small), ("issues", words), ("scope", words), ("error", words), ("started_us", pa.int64())]
    columns += [(name, pa.float64()) for name in _FLOATS]
    columns += [("verdict", small), *((name, pa.float32()) for name in (*CONDITIONS, LASTED))]
    columns += [(name, pa.float64()) for name in _ESTIMATES]
    return pa.schema([*columns, ("outliers", number), ("samples", number)])


@cache
def _maker() -> str:
    modules = [Path(str(module.__file__)) for module in (estimates, outliers, stats, record, journal, journal_lines)]
    return fingerprint([Path(__file__), *modules, *energies.MAKERS, *conditions.MAKERS])


def read_digest(path: Path) -> tuple[pa.Table, int]:
    """A journal's measurements as a table of `digest_schema`, in the order written, and how many lines are corrupt.

    A journal that does not exist is empty.

    Raises:
        StorageError: it cannot be read, or holds records of a newer schema.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except FileNotFoundError:
        return digest_schema().empty_table(), 0
    except OSError as error:
        raise StorageError(f"cannot read journal {path}: {(error.strerror or str(error)).lower()}") from None


def _read(path: Path, file: BinaryIO) -> tuple[pa.Table, int]:
    import pyarrow as pa

    source = source_of(file)
    found = load_kept(path.with_name(DIGEST_NAME), file, digest_schema(), _maker())
    builder = _Builder(path, found)
    file.seek(builder.covered)
    torn = builder.add_lines(file, source.size)
    table = builder.table()
    if builder.covered > (found[1].covered if found else 0) or (found and found[1].source != source):
        tail = tail_crc(file, builder.covered)
        kept = Kept(_maker(), source, builder.covered, builder.crc32, tail, builder.lines, builder.corrupt)
        keep(path.with_name(DIGEST_NAME), table, kept)
    if torn:
        # a whole record whose newline is still missing counts, and may yet change its place
        table = pa.concat_tables([table, torn]).unify_dictionaries().combine_chunks()
    return table, builder.corrupt


class _Builder:
    """Gathers lines as columns."""

    def __init__(self, path: Path, found: tuple[pa.Table, Kept] | None) -> None:
        self.path = path
        self.parts: list[pa.Table] = [found[0].replace_schema_metadata(None)] if found else []
        self.covered = found[1].covered if found else 0
        self.crc32 = found[1].crc32 if found else 0
        self.lines = found[1].lines if found else 0
        self.corrupt = found[1].corrupt if found else 0
        self.rows: list[_Reduced] = []
        self.samples = 0  # of these rows

    def add_lines(self, file: BinaryIO, end: int) -> pa.Table | None:
        """Take up all lines before a place in the file; what a torn last line holds is returned apart."""
        while self.covered < end:
            line = file.readline(end - self.covered)
            row = self._row(line.removesuffix(b"\n"))
            if not line.endswith(b"\n"):
                return None if row is None else _as_table([row])
            self.covered += len(line)
            self.lines += 1
            self.crc32 = zlib.crc32(line, self.crc32)
            if row is None:
                self.corrupt += 1
            else:
                self.rows.append(row)
                self.samples += 0 if row.samples is None else len(row.samples)
            if len(self.rows) >= _AT_A_TIME or self.samples >= _SAMPLES_AT_A_TIME:
                self._flush()
        return None

    def table(self) -> pa.Table:
        """All of it."""
        import pyarrow as pa

        self._flush()
        if not self.parts:
            return digest_schema().empty_table()
        return pa.concat_tables(self.parts).unify_dictionaries().combine_chunks()

    def _flush(self) -> None:
        if self.rows:
            self.parts.append(_as_table(self.rows))
            self.rows, self.samples = [], 0

    def _row(self, line: bytes) -> _Reduced | None:
        try:
            return _reduced(journal.decode(line))
        except (ValueError, OverflowError):
            return None
        except StorageError as error:
            where = f"{self.path}, line {self.lines + 1}"
            raise StorageError(f"{where}: {error}; update edgecost to read it") from None


class _Reduced(NamedTuple):
    """One measurement: its values in the order of the schema's columns, without those of an estimate, and samples."""

    values: tuple[Any, ...]
    samples: Floats | None


def _as_table(rows: list[_Reduced]) -> pa.Table:
    import pyarrow as pa

    schema = digest_schema()
    samples = [row.samples for row in rows]
    columns = [*zip(*(row.values for row in rows), strict=True), *estimates.estimates_of(samples).T]
    columns += [*outliers.outliers_of(samples).T]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _reduced(m: Measurement) -> _Reduced:
    """ValueError where it cannot be a measurement."""
    role, e = m.role, energies_of(m)
    if not all(-(2**31) <= count < 2**31 for count in (role.repeats, m.round)):
        raise ValueError("a number of rounds or repetitions beyond all measure")
    role.subject_key.encode()
    samples = None
    if m.status == "ok" and m.samples_ns and m.runs_per_batch > 0:
        samples = np.array(m.samples_ns, dtype=np.float64) / m.runs_per_batch
    issues = _plain(" ".join(dict.fromkeys(map(str, e.issues))))
    words = (STATUSES.index(m.status), issues, _plain(e.scope), _plain(m.error), _microseconds(m.started_at))
    place = (ROLE_KINDS.index(role.kind), role.subject_key, SPLITS.index(role.split), role.repeats, m.round)
    env = (number(m.env.get("freq_mhz")), number(m.env.get("temperature_c")))
    return _Reduced((*place, *words, number(m.load_ns), *e[:6], *env, verdict_of(m), *conditions_of(m)), samples)


def _plain(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair cannot."""
    return text.encode(errors="replace").decode()


def _microseconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e6)
    except (ValueError, OverflowError):
        return 0
