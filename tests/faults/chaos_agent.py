"""The board's half of the runtime "chaos": an artefact says how long it takes and what becomes of it."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import Any

from ..runtimes.base import Model as Base

EATEN_AT_ONCE = 8 << 20


def import_runtime() -> Any:
    import numpy

    return numpy, "chaos 1"


def sleep(seconds: float) -> None:
    """By a timer that a faked wall clock leaves alone; Python's own names a moment on the clock."""
    select.select([], [], [], seconds)


class Model(Base):
    interface = "pretended"

    def __init__(self, runtime: Any, job: dict[str, Any]) -> None:
        with open(job["path"]) as file:
            script = json.load(file)
        sleep(script["sleep_s"])
        self._value = runtime.asarray([script["value"]], dtype=float)
        self._eaten: list[bytearray] = []
        self.run = getattr(self, "_" + script["do"])

    def output(self) -> Any:
        return self._value

    def _ok(self) -> None:
        sleep(0.0005)

    def _hang(self) -> None:
        while True:
            sleep(60)

    def _eat(self) -> None:
        while True:
            self._eaten.append(bytearray(b"x" * EATEN_AT_ONCE))

    def _segv(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)
        sleep(60)

    def _refuse(self) -> None:
        raise RuntimeError("the operator Chaos is not supported")
