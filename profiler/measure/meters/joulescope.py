"""Joulescope JS110 and JS220 through pyjoulescope_driver, which is imported when one is opened.

The instrument integrates by itself; what is taken are its statistics, several times a second: its counter of energy
since it was started, and the number of the sample at which that held, so that no reading depends on the host's timing.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import Any

from profiler.errors import ConfigError
from profiler.measure.meters.base import Accuracy, Meter, MeterLost, Trace

__all__ = ["STATISTICS_HZ", "JoulescopeMeter"]

STATISTICS_HZ = 20

RATES_HZ = {"js220": 1_000_000, "js110": 2_000_000}
"""Samples a second, by which the length of a statistics window is told."""

ACCURACY = Accuracy(gain_u=0.005, offset_u_uw=50.0)
"""What is allowed for where nobody says better; a calibration certificate does (give `accuracy`)."""


class JoulescopeMeter(Meter):
    """The only Joulescope that is connected, or the one whose path holds `serial`.

    Args:
        serial: part of the device's path, such as its serial number.
        driver: the module; by default pyjoulescope_driver.
        clock: the host's monotonic one.

    Raises:
        ConfigError: the driver is not installed.
    """

    def __init__(
        self,
        scope: str,
        serial: str = "",
        accuracy: Accuracy | None = None,
        driver: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(scope, accuracy or ACCURACY)
        if driver is None:
            try:
                driver = importlib.import_module("pyjoulescope_driver")
            except ImportError:
                raise ConfigError(
                    "a Joulescope needs its driver: install it with `pip install 'edgecost[joulescope]'`"
                ) from None
        self.name = "joulescope"
        self._module = driver
        self._serial = serial
        self._clock = clock
        self._driver: Any = None
        self._handler = self._take  # the driver knows a subscriber again by the very same object
        self._path = ""
        self._lock = threading.Lock()
        self._seen: list[tuple[float, float, float]] = []

    def start(self) -> None:
        """Open the instrument, and have it send its statistics."""
        self._seen = []
        try:
            self._driver = self._module.Driver()
            path = self._choose(list(self._driver.device_paths()))
            self.name = f"joulescope {path}"
            model = next((name for name in RATES_HZ if name in path), "js220")
            self._driver.open(path)
            self._path = path
            if model == "js110":
                # its ranges are named otherwise, and the host computes the statistics of what it streams
                for topic, value in (("i/range/select", "auto"), ("i/ctrl", "on"), ("v/ctrl", "on"), ("p/ctrl", "on")):
                    self._driver.publish(f"{self._path}/s/{topic}", value)
            else:
                self._driver.publish(f"{self._path}/s/i/range/mode", "auto")
            self._driver.publish(f"{self._path}/s/stats/scnt", RATES_HZ[model] // STATISTICS_HZ)
            self._driver.publish(f"{self._path}/s/stats/ctrl", 1)
            self._driver.subscribe(f"{self._path}/s/stats/value", "pub", self._handler)
        except MeterLost:
            self.close()
            raise
        except (RuntimeError, OSError, ValueError) as error:
            self.close()
            raise MeterLost(f"the Joulescope cannot be opened: {error}") from None

    def so_far(self) -> Trace:
        """The times are the instrument's own, laid on the host's clock by the soonest message."""
        with self._lock:
            seen = list(self._seen)
        if len(seen) < 2:
            raise MeterLost(f"{self.name} sent no statistics: is it connected by USB, with the board behind it?")
        if self._clock() - seen[-1][0] > 5.0:
            raise MeterLost(f"{self.name} stopped sending")
        delays = sorted(arrived - at for arrived, at, _ in seen)
        return Trace(
            meter=self.name,
            scope=self.scope,
            form="energy",
            times_s=tuple(at + delays[0] for _, at, _ in seen),
            values=tuple(joules * 1e6 for _, _, joules in seen),
            time_u_s=delays[len(delays) // 2] - delays[0] + 1e-4 * (seen[-1][1] - seen[0][1]),
            accuracy=self.accuracy,
        )

    def forget(self, before_s: float) -> None:
        """By when the statistics arrived."""
        with self._lock:
            self._seen = [each for each in self._seen if each[0] >= before_s]

    def close(self) -> None:
        """Give the instrument back."""
        driver, self._driver = self._driver, None
        path, self._path = self._path, ""
        if driver is None:
            return
        try:
            if path:
                driver.unsubscribe(f"{path}/s/stats/value", self._handler)
                driver.publish(f"{path}/s/stats/ctrl", 0)
                driver.close(path)
        except (RuntimeError, OSError, ValueError):  # it was unplugged: there is nothing left to give back
            pass
        finally:
            driver.finalize()

    def _choose(self, paths: list[str]) -> str:
        found = [path for path in paths if self._serial in path]
        if len(found) == 1:
            return found[0]
        if found:
            raise MeterLost(f"there are several Joulescopes; say which: joulescope:{found[0].rsplit('/', 1)[-1]}, ...")
        raise MeterLost(f"there is no Joulescope {self._serial}".rstrip() + "; connect it, and mind who may use USB")

    def _take(self, topic: str, value: dict[str, Any]) -> None:
        """One statistics window, in the driver's own thread."""
        arrived = self._clock()
        end = float(value["time"]["range"]["value"][1])
        with self._lock:
            self._seen.append((arrived, end, float(value["accumulators"]["energy"]["value"])))
