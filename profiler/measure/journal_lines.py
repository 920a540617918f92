"""One line of a journal: a measurement as JSON behind a checksum, and back.

A line is one JSON object that begins `{"crc32":"xxxxxxxx","schema":N,`. The checksum is over the bytes that follow
it, from `"schema"` to the closing brace, so that a flipped bit anywhere is found without parsing. Later schemas
keep that beginning.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any

from profiler.errors import StorageError
from profiler.measure.record import ROLE_KINDS, SCHEMA_VERSION, STATUSES, Measurement, Power, Role

__all__ = ["SPLITS", "decode", "encode", "frame", "unframe"]

_PREFIX = b'{"crc32":"'
_BODY_AT = len(_PREFIX) + 8 + 2  # eight hex digits, a quote and a comma
_NAMES = tuple(f.name for f in fields(Measurement))
_ROLE_NAMES = tuple(f.name for f in fields(Role))
_POWER_NAMES = tuple(f.name for f in fields(Power))
_POWER_OPTIONAL = frozenset({"periodic_uw"})
"""Left out where it is 0, as with most sensors: journals from before it was known look so as well."""
_INTS = ("round", "runs_per_batch", "warmup_runs")
_OPTIONAL_NUMBERS = ("load_ns", "first_run_ns", "output_error", "energy_mj")
SPLITS = ("held_out", "fit", "")
_TEXTS = ("job_key", "workload_key", "artefact_sha256", "device_id", "target_id", "error", "started_at")


def frame(body: dict[str, Any]) -> bytes:
    """One line with schema and checksum, newline included; ValueError where a value is not JSON (NaN, an object)."""
    text = json.dumps({"schema": SCHEMA_VERSION, **body}, separators=(",", ":"), allow_nan=False)
    tail = text[1:].encode()
    return b'%s%08x",%s\n' % (_PREFIX, zlib.crc32(tail), tail)


def unframe(line: bytes) -> dict[str, Any]:
    """What `frame` was given, from its line without the newline.

    Raises:
        ValueError: the line is not as it was written.
        StorageError: it is of a newer schema.
    """
    if not line.startswith(_PREFIX) or line[_BODY_AT - 2 : _BODY_AT] != b'",':
        raise ValueError("not a record of edgecost's")
    tail = line[_BODY_AT:]
    if line[len(_PREFIX) : _BODY_AT - 2] != b"%08x" % zlib.crc32(tail):
        raise ValueError("the checksum does not match")
    data: dict[str, Any] = json.loads(b"{" + tail)
    schema = data.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise StorageError(f"schema {schema} is newer than {SCHEMA_VERSION}, the newest that this edgecost reads")
    return data


def encode(measurement: Measurement) -> bytes:
    """One line, newline included.

    Raises:
        ValueError: where a value is not JSON (NaN, infinity, an object in `env`).
    """
    body = {name: getattr(measurement, name) for name in _NAMES}
    body["role"] = {name: getattr(measurement.role, name) for name in _ROLE_NAMES}
    if measurement.power is not None:
        power = {name: getattr(measurement.power, name) for name in _POWER_NAMES}
        body["power"] = {name: value for name, value in power.items() if value or name not in _POWER_OPTIONAL}
    return frame(body)


def decode(line: bytes) -> Measurement:
    """Read one line without its newline.

    Raises:
        ValueError: the line is not a record as it was written.
        StorageError: it is one of a newer schema.
    """
    data = unframe(line)
    if "power" not in data:  # schema 1, whose energy was gross and had no record to be made anew from
        data |= {"power": None, "energy_mj": None}
    return _measurement(data)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _measurement(data: dict[str, Any]) -> Measurement:
    """A record of the present schema; ValueError where a field is missing, unknown or of another type."""
    if set(data) != set(_NAMES):
        raise ValueError(f"fields missing or unknown: {sorted(set(data) ^ set(_NAMES))}")
    role = data["role"]
    if not isinstance(role, dict) or set(role) != set(_ROLE_NAMES) or role["kind"] not in ROLE_KINDS:
        raise ValueError("the role is malformed")
    if role["split"] not in SPLITS or not isinstance(role["subject_key"], str) or type(role["repeats"]) is not int:
        raise ValueError("the role is malformed")
    if data["status"] not in STATUSES:
        raise ValueError(f"unknown status {data['status']!r}")
    samples = data["samples_ns"]
    wrong = [name for name in _INTS if type(data[name]) is not int]
    wrong += [name for name in _TEXTS if not isinstance(data[name], str)]
    wrong += [name for name in _OPTIONAL_NUMBERS if data[name] is not None and not _is_number(data[name])]
    if (
        wrong
        or not isinstance(samples, list)
        or not isinstance(data["issues"], list)
        or not isinstance(data["env"], dict)
    ):
        raise ValueError(f"values of the wrong type: {wrong or 'samples_ns, issues or env'}")
    if not all(type(v) is int and v >= 0 for v in samples):
        raise ValueError("samples must be whole nanoseconds")
    issues, power = tuple(data["issues"]), _power(data["power"])
    return Measurement(**{**data, "role": Role(**role), "issues": issues, "samples_ns": tuple(samples), "power": power})


def _power(data: object) -> Power | None:
    """The record of a power sensor; ValueError where it is malformed."""
    if data is None:
        return None
    if not isinstance(data, dict) or set(data) | _POWER_OPTIONAL != set(_POWER_NAMES):
        raise ValueError("the power record is malformed")
    lists = {name: data[name] for name in ("times_us", "values", "idle_before_us", "load_us", "idle_after_us")}
    if not all(isinstance(found, list) and all(type(v) is int for v in found) for found in lists.values()):
        raise ValueError("the power record is malformed")
    spells = (lists["idle_before_us"], lists["load_us"], lists["idle_after_us"])
    numbers = [data[name] for name in ("polls", "lsb", "gain_u", "offset_uw", "runs")] + [data.get("periodic_uw", 0.0)]
    if (
        len(lists["times_us"]) != len(lists["values"])
        or any(len(spell) != 2 for spell in spells)
        or not all(_is_number(number) for number in numbers)
        or data["form"] not in ("power", "energy")
    ):
        raise ValueError("the power record is malformed")
    return Power(**{**data, **{name: tuple(found) for name, found in lists.items()}})
