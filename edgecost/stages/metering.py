"""The meters beside boards, as devices.yaml names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from profiler.errors import ConfigError
from profiler.fleet.targets import Device, Target
from profiler.measure.config import MeasureConfig

if TYPE_CHECKING:
    from profiler.measure.board import SessionFactory
    from profiler.measure.meters.base import Meter

__all__ = ["metering", "open_meter"]


def open_meter(text: str, scope: str, gain_u: float = 0.0, offset_u_uw: float = 0.0) -> Meter:
    """From what a user types: joulescope[:SERIAL], tcp:HOST:PORT, serial:PATH[:BAUD] or command:WORDS.

    Raises:
        ConfigError: it is none of them, the scope is none, or the Joulescope's driver is not installed.
    """
    from profiler.measure.meters.base import Accuracy

    accuracy = Accuracy(gain_u, offset_u_uw) if gain_u or offset_u_uw else None
    kind, _, serial = text.partition(":")
    if kind == "joulescope":
        from profiler.measure.meters.joulescope import JoulescopeMeter

        return JoulescopeMeter(scope, serial, accuracy)
    from profiler.measure.meters.lines import LineMeter, source_of

    return LineMeter(source_of(text), scope, accuracy)


@contextmanager
def metering(
    chosen: Sequence[tuple[Device, Target]], config: MeasureConfig, connect: SessionFactory | None = None
) -> Iterator[SessionFactory | None]:
    """A session factory for a campaign: of a device whose first sensor is an external meter, that meter is read.

    Args:
        chosen: what is measured.
        config: without energies nothing is read, and `connect` is given back.
        connect: opens a session; None, which is given back where there is no meter, is over SSH.

    Raises:
        ConfigError: a meter's name is none, or its board is simulated.
    """
    devices = {device.id: device for device, _ in chosen if device.sensors and device.sensors[0].kind == "external"}
    if not config.energy or not devices:
        yield connect
        return
    from profiler.measure.meters.metered import Metered

    if connect is None:
        from profiler.fleet.sessions.session import connect as over_ssh

        connect = over_ssh
    with Metered(connect, {device.id: _meter_of(device) for device in devices.values()}) as metered:
        yield metered


def _meter_of(device: Device) -> Meter:
    sensor = device.sensors[0]
    if device.emulation == "simulated":
        raise ConfigError(f"{device.id} is simulated: its time is not the meter's; declare a sensor of its own instead")
    if sensor.gain is not None or sensor.offset_uw is not None:
        raise ConfigError(f"the meter of {device.id} has a gain or an offset: set those in the meter itself")
    try:
        return open_meter(sensor.name, sensor.scope, sensor.gain_u or 0.0, sensor.offset_u_uw or 0.0)
    except ConfigError as error:
        raise ConfigError(f"the first sensor of {device.id} is external, and {error}") from None
