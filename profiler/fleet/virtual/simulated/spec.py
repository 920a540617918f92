"""What a simulated board is, as data: every part that a measurement may meet, with the true figures behind it.

Sizes, rates and seconds are at the reference clock (the highest of the clock's steps) unless said otherwise. A spec is
written to the board's home as JSON, and read there by the agent's side in `board`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from profiler.errors import ConfigError
from profiler.fleet.virtual.simulated.hidden import FusionTruth, as_onnxruntime

__all__ = [
    "SPEC_VERSION", "Clock", "Faults", "Noise", "Power", "PowerSensor", "Roofline", "SimulatedSpec", "Thermal",
]  # fmt: skip

SPEC_VERSION = 1


@dataclass(frozen=True, slots=True)
class Roofline:
    """Latency without noise: dispatch + max(arithmetic, memory), kernel by kernel.

    Attributes:
        macs_per_s: peak by precision, one thread.
        efficiency: share of the peak by kind of kernel: conv2d, pointwise, depthwise, grouped, linear.
        values_per_s: what operators without multiply-accumulates take, per value (per tap, for pooling).
        bytes_per_s, cached_bytes_per_s: of main memory and of the last-level cache.
        cache_bytes: size of that cache.
        lanes: output channels are rounded up to a multiple of it, as vector units do.
        thread_gain: what each thread beyond the first adds to arithmetic, of a whole core.
        kernel_s, run_s: dispatch of every kernel, and what every run pays once.
    """

    macs_per_s: Mapping[str, float]
    efficiency: Mapping[str, float]
    values_per_s: float
    bytes_per_s: float
    cached_bytes_per_s: float
    cache_bytes: int
    lanes: int = 8
    thread_gain: float = 0.85
    kernel_s: float = 2e-6
    run_s: float = 10e-6


@dataclass(frozen=True, slots=True)
class Clock:
    """The processor's clock, and the one that durations are read from.

    Attributes:
        mhz, volts: the steps of frequency, rising, and the voltage of each.
        governor, governors: what is set at boot, and what may be set.
        writable: whether governor and limits may be set at all.
        ramp_s: so long after idling a governor that scales with load stays at the lowest step.
        read_ns, resolution_ns: what reading the board's clock takes, and its tick.
        step_every_s, step_s: the board's clock jumps back by `step_s`, on average so often; 0: never.
    """

    mhz: tuple[int, ...]
    volts: tuple[float, ...]
    governor: str = "ondemand"
    governors: tuple[str, ...] = ("ondemand", "performance", "powersave", "userspace")
    writable: bool = True
    ramp_s: float = 0.02
    read_ns: int = 45
    resolution_ns: int = 19
    step_every_s: float = 0.0
    step_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Noise:
    """What lies between the true latency and the samples; all 0: nothing does.

    Attributes:
        spread: standard deviation of the logarithm of the slow part, which is an Ornstein-Uhlenbeck process (an AR(1)
            seen at any spacing).
        correlation_s: its correlation time: at a distance of t the correlation is exp(-t / correlation_s).
        jitter: the same deviation of each run by itself, independent.
        outlier_hz, outlier_s: interruptions: how many a second of running, and their mean (exponential) length.
        mode_ratio, mode_share: in the second state runs take `mode_ratio` times as long, for that share of time.
        mode_dwell_s: how long the second state lasts on average; 0: each process is in one state for good.
        process_spread: deviation of the logarithm of what each fresh process has of its own.
        drift_per_sqrt_h, drift_per_h: of the logarithm: a random walk (deviation after an hour), and a line.
        step_at_s, step: from that time on the board is slower by this share; 0: never.
        warm_excess, warm_s: a freshly loaded model is slower by that share at first, which fades with that time.
        cold_s: what the very first run of a model takes besides.
        background_every_s, background_s, background_share: other programs: how often, how long, and how much of the
            processor they take; seen in load and pressure.
        observer_share: of what reading a file beside a measurement takes, so much is taken from the measurement.
    """

    spread: float = 0.0
    correlation_s: float = 0.1
    jitter: float = 0.0
    outlier_hz: float = 0.0
    outlier_s: float = 0.0
    mode_ratio: float = 1.0
    mode_share: float = 0.0
    mode_dwell_s: float = 0.0
    process_spread: float = 0.0
    drift_per_sqrt_h: float = 0.0
    drift_per_h: float = 0.0
    step_at_s: float = 0.0
    step: float = 0.0
    warm_excess: float = 0.0
    warm_s: float = 0.1
    cold_s: float = 0.0
    background_every_s: float = 0.0
    background_s: float = 0.0
    background_share: float = 0.0
    observer_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Thermal:
    """One resistance to the air, one heat capacity, and what happens when it gets hot.

    Attributes:
        ambient_c, r_k_per_w, c_j_per_k: the steady temperature at a power P is ambient + R P, reached with the time
            constant R C.
        trip_c, hysteresis_k: from the trip on the clock goes down a step every `poll_s`, and up again below the trip
            less the hysteresis.
        hard_c: from here on the throttle word says "throttled", below only "soft temperature limit".
        zones: types of the thermal zones shown.
        step_mc: the zones' resolution in thousandths of a degree.
        zone_mode: "ok", "zero" (they read 0) or "missing".
        word: whether there is a throttle word, by `vcgencmd get_throttled` and by a file.
    """

    ambient_c: float = 25.0
    r_k_per_w: float = 8.0
    c_j_per_k: float = 12.0
    trip_c: float = 80.0
    hysteresis_k: float = 3.0
    hard_c: float = 85.0
    poll_s: float = 0.25
    zones: tuple[str, ...] = ("cpu-thermal",)
    step_mc: int = 100
    zone_mode: Literal["ok", "zero", "missing"] = "ok"
    word: bool = False


@dataclass(frozen=True, slots=True)
class Power:
    """idle + (static + dynamic x f x V² x activity) while running, both relative to the reference clock's.

    Attributes:
        idle_w: at rest.
        static_w, dynamic_w: what a running core adds; the activity lies between `least_activity` (memory-bound) and 1.
        leakage_w_per_k: more at rest and running alike, per degree above the air; part of no true net energy.
        idle_walk_w: the idle power's random walk: standard deviation after a minute.
    """

    idle_w: float
    static_w: float
    dynamic_w: float
    least_activity: float = 0.55
    leakage_w_per_k: float = 0.0
    idle_walk_w: float = 0.0


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """What shows the power, and how wrongly.

    Attributes:
        kind: "hwmon" (a chip by name, with volts and amperes or power) or "command" (`vcgencmd pmic_read_adc`).
        name, channel: of the chip and of its label.
        form: of hwmon: "volt-ampere" (in*_input, curr*_input) or "power" (power1_input).
        volts: of the supply; amperes follow.
        refresh_s: a new value comes so often, the mean power since the one before.
        lsb_w: its step, as power.
        shunt_uohm: of the resistor beside the chip, as its driver shows it; 0: inside the chip.
        gain, offset_w, noise_w: value = gain x power + offset + noise (normal, fresh with every value).
        mode: "ok", "stuck" (one value for ever), "negative", or "vanishing" (gone `mode_after_s` after boot); the first
            two from `mode_after_s` on as well.
    """

    kind: Literal["hwmon", "command"]
    name: str
    channel: str = ""
    form: Literal["volt-ampere", "power"] = "volt-ampere"
    volts: float = 5.0
    refresh_s: float = 0.01
    lsb_w: float = 0.001
    shunt_uohm: int = 0
    gain: float = 1.0
    offset_w: float = 0.0
    noise_w: float = 0.0
    mode: Literal["ok", "stuck", "negative", "vanishing"] = "ok"
    mode_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with the board itself.

    Attributes:
        crash_jobs, reboot_jobs: the models at whose warm-up the worker dies of a signal, or the board boots anew, by
            the count of models ever loaded on it (0 is the first).
        crash_rate, reboot_rate: the same by chance, for every model loaded.
        boot_s: how long a boot takes, in virtual time.
    """

    crash_jobs: tuple[int, ...] = ()
    reboot_jobs: tuple[int, ...] = ()
    crash_rate: float = 0.0
    reboot_rate: float = 0.0
    boot_s: float = 30.0


@dataclass(frozen=True, slots=True)
class SimulatedSpec:
    """A simulated board.

    Attributes:
        id: its name.
        model: what it says it is; always that it is simulated.
        roofline, clock, power, noise, thermal, sensor, faults: its parts; no sensor is None.
        fusion: by precision, what it really fuses, which nobody who measures is told.
        cpus: how many cores it shows.
        memory_mb: as /proc/meminfo shows it.
        lacks: kinds of operators that its runtime refuses.
        load_s, load_bytes_per_s: what loading a model takes, at least, and by its size.
        seed: of all randomness.
    """

    id: str
    model: str
    roofline: Roofline
    clock: Clock
    power: Power
    noise: Noise = Noise()
    thermal: Thermal = Thermal()
    sensor: PowerSensor | None = None
    faults: Faults = Faults()
    fusion: Mapping[str, FusionTruth] = field(default_factory=as_onnxruntime)
    cpus: int = 4
    memory_mb: int = 4096
    lacks: tuple[str, ...] = ()
    load_s: float = 0.01
    load_bytes_per_s: float = 1e8
    seed: int = 0

    def __post_init__(self) -> None:
        steps = self.clock.mhz
        if not steps or list(steps) != sorted(set(steps)) or len(self.clock.volts) != len(steps):
            raise ConfigError(f"simulated board {self.id!r}: give rising clock steps and one voltage each, not {steps}")
        if self.clock.governor not in self.clock.governors:
            raise ConfigError(f"simulated board {self.id!r}: its governor {self.clock.governor!r} is not among its own")
        for name in ("r_k_per_w", "c_j_per_k", "poll_s"):
            if getattr(self.thermal, name) <= 0:
                raise ConfigError(f"simulated board {self.id!r}: thermal.{name} must be above 0")
        if self.power.leakage_w_per_k * self.thermal.r_k_per_w >= 1:
            raise ConfigError(f"simulated board {self.id!r}: with such leakage its temperature runs away")

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able values, with the version of this form."""
        return {"version": SPEC_VERSION, **asdict(self)}

    def to_json(self) -> str:
        """As it is written to a board's home; equal specs give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SimulatedSpec:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: it is of another version, or not such a form.
        """
        if data.get("version") != SPEC_VERSION:
            raise ConfigError(f"a simulated board of version {data.get('version')!r} is not one of {SPEC_VERSION}")
        try:
            found: SimulatedSpec = _read(cls, {name: value for name, value in data.items() if name != "version"})
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"not a simulated board: {error}") from None
        return found


def _read(kind: Any, data: Any) -> Any:
    """A dataclass out of plain values, level by level."""
    hints = get_type_hints(kind)
    known = {each.name for each in fields(kind)}
    if set(data) - known:
        raise ValueError(f"{kind.__name__} has no {sorted(set(data) - known)[0]!r}")
    return kind(**{name: _value(hints[name], value) for name, value in data.items()})


def _value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        inner = [each for each in (hint, *getattr(hint, "__args__", ())) if is_dataclass(each)]
        if not inner:
            return {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}
        if hint is inner[0] or type(None) in getattr(hint, "__args__", ()):
            return _read(inner[0], value)
        return {name: _read(inner[0], each) for name, each in value.items()}
    return tuple(_value(hint, each) for each in value) if isinstance(value, list | tuple) else value
