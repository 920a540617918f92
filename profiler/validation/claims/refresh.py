"""Whether the refresh of a sensor is found from the times at which its value changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from profiler.validation.lines import Line, Record, share, tries_of

__all__ = ["judge"]

_NEAR, _LEAST = 0.1, 0.99


def judge(records: Mapping[str, Sequence[Record]]) -> list[Line]:
    """See the module."""
    boards = []
    unknown = tries = 0
    for record in records["metered"]:
        true_hz = 1 / record["refresh_s"]
        models = [each for each in tries_of(record) if each["role"] == "model" and "sensor_stuck" not in each["issues"]]
        found = [each["energy_refresh_hz"] for each in models if "energy_refresh_hz" in each]
        unknown += len(models) - len(found)
        tries += len(models)
        boards.append([abs(hz / true_hz - 1) <= _NEAR for hz in found])
    return [
        Line.of_share(
            "refresh of the sensor found within 10 %", "at least 99 %", share(boards), least=_LEAST,
            note=f"{unknown} of {tries} records say that it cannot be told",
        )
    ]  # fmt: skip
