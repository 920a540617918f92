"""Simulated boards after the six of devices.yaml, and an ideal one.

Clock steps, sensors and limits are those that the real board's drivers and data sheets name; arithmetic, bandwidth,
noise and heat are of plausible size and nothing more. No figure here was measured, and none says what such a board
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from profiler.fleet.virtual.simulated.hidden import with_changes
from profiler.fleet.virtual.simulated.spec import (
    Clock,
    Noise,
    Power,
    PowerSensor,
    Roofline,
    SimulatedSpec,
    Thermal,
)

__all__ = ["IDEAL", "PRESETS", "preset"]

_EFFICIENCY = {"conv2d": 0.55, "pointwise": 0.6, "depthwise": 0.12, "grouped": 0.25, "linear": 0.35}

_QUIET = Noise(
    spread=0.006, correlation_s=0.15, jitter=0.004, outlier_hz=1.0, outlier_s=1e-3, process_spread=0.004,
    drift_per_sqrt_h=0.003, warm_excess=0.03, warm_s=0.08, cold_s=2e-3, observer_share=0.02,
)  # fmt: skip
"""A board that does nothing else, with the noise that even such a one has."""


def _roofline(gmacs: float, int8_gain: float, gbytes: float, cache_kb: int, kernel_us: float) -> Roofline:
    return Roofline(
        macs_per_s={"fp32": gmacs * 1e9, "int8": gmacs * 1e9 * int8_gain},
        efficiency=_EFFICIENCY,
        values_per_s=gmacs * 1e9 / 8,
        bytes_per_s=gbytes * 1e9,
        cached_bytes_per_s=gbytes * 4e9,
        cache_bytes=cache_kb << 10,
        kernel_s=kernel_us * 1e-6,
        run_s=4 * kernel_us * 1e-6,
    )


def _volts(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(round(low + (high - low) * place / max(1, count - 1), 4) for place in range(count))


def _model(name: str) -> str:
    return f"simulated board, in the manner of a {name}"


IDEAL = SimulatedSpec(
    id="ideal",
    model="simulated board, without noise",
    roofline=_roofline(16.0, 3.0, 8.0, 2048, 1.0),
    clock=Clock((1000, 1500, 2000), (0.8, 0.9, 1.0), governor="performance", ramp_s=0.0),
    power=Power(idle_w=2.0, static_w=0.5, dynamic_w=2.5),
    thermal=Thermal(r_k_per_w=5.0, c_j_per_k=10.0, word=True),
    sensor=PowerSensor("hwmon", "ina226", "VDD", refresh_s=0.01, lsb_w=0.005),
)
"""No noise, no drift, one true figure for everything; what is tested with it has nothing to hide behind."""

_RPI5 = SimulatedSpec(
    id="rpi5",
    model=_model("Raspberry Pi 5"),
    roofline=_roofline(19.2, 3.6, 9.0, 2048, 1.2),
    clock=Clock((1500, 1600, 1700, 1800, 1900, 2000, 2100, 2200, 2300, 2400), _volts(0.72, 0.9, 10)),
    power=Power(idle_w=2.6, static_w=0.6, dynamic_w=2.4, leakage_w_per_k=0.001, idle_walk_w=0.004),
    noise=_QUIET,
    thermal=Thermal(ambient_c=27.0, r_k_per_w=6.5, c_j_per_k=14.0, trip_c=80.0, hard_c=85.0, step_mc=550, word=True),
    sensor=PowerSensor(
        "command", "vcgencmd", "pmic_read_adc", refresh_s=0.25, lsb_w=0.004, gain=1.01, offset_w=0.02, noise_w=0.01
    ),
    memory_mb=8192,
)

_RPI4 = SimulatedSpec(
    id="rpi4",
    model=_model("Raspberry Pi 4"),
    roofline=_roofline(7.2, 1.7, 4.0, 1024, 2.5),
    clock=Clock((600, 900, 1200, 1500, 1800), _volts(0.84, 0.96, 5)),
    power=Power(idle_w=2.1, static_w=0.4, dynamic_w=1.6, leakage_w_per_k=0.001),
    noise=replace(_QUIET, outlier_hz=2.0, mode_ratio=1.05, mode_share=0.3),
    thermal=Thermal(ambient_c=28.0, r_k_per_w=9.0, c_j_per_k=12.0, trip_c=80.0, hard_c=85.0, step_mc=487, word=True),
    memory_mb=4096,
)

_JETSON = SimulatedSpec(
    id="jetson-orin-nano",
    model=_model("Jetson Orin Nano"),
    roofline=_roofline(12.1, 3.6, 20.0, 2048, 1.6),
    clock=Clock((729, 883, 1036, 1190, 1344, 1510), _volts(0.65, 0.85, 6), governor="schedutil",
                governors=("schedutil", "performance", "powersave", "userspace")),
    power=Power(idle_w=4.6, static_w=0.7, dynamic_w=1.9, leakage_w_per_k=0.001, idle_walk_w=0.006),
    noise=replace(_QUIET, spread=0.008, process_spread=0.006),
    thermal=Thermal(
        ambient_c=29.0, r_k_per_w=3.2, c_j_per_k=40.0, trip_c=95.0, hard_c=99.0, step_mc=31,
        zones=("cpu-thermal", "gpu-thermal", "tj-thermal"),
    ),
    sensor=PowerSensor(
        "hwmon", "ina3221", "VDD_IN", refresh_s=1 / 150, lsb_w=0.04, shunt_uohm=5000, gain=1.002, offset_w=0.03,
        noise_w=0.05,
    ),
    cpus=6,
    memory_mb=8192,
)  # fmt: skip

_CORAL = SimulatedSpec(
    id="coral-devboard",
    model=_model("Coral Dev Board"),
    roofline=_roofline(5.0, 1.8, 3.2, 1024, 3.5),
    clock=Clock((500, 1000, 1500), _volts(0.85, 1.0, 3), governor="schedutil",
                governors=("schedutil", "performance", "powersave")),
    power=Power(idle_w=2.7, static_w=0.3, dynamic_w=1.1, leakage_w_per_k=0.001),
    noise=replace(_QUIET, spread=0.010, outlier_hz=4.0, background_every_s=300.0, background_s=4.0,
                  background_share=0.15),
    thermal=Thermal(ambient_c=30.0, r_k_per_w=11.0, c_j_per_k=9.0, trip_c=80.0, hard_c=90.0, step_mc=1000),
    fusion=with_changes(also={"conv2d": ("hswish", "add hswish"), "add": ("relu",)}),
    memory_mb=1024,
)  # fmt: skip

_ROCK5B = SimulatedSpec(
    id="rock5b",
    model=_model("ROCK 5B"),
    roofline=_roofline(18.8, 3.6, 14.0, 3072, 1.4),
    clock=Clock((408, 816, 1200, 1608, 2016, 2352), _volts(0.675, 1.0, 6), governor="schedutil",
                governors=("schedutil", "ondemand", "performance", "powersave", "userspace")),
    power=Power(idle_w=3.0, static_w=0.6, dynamic_w=3.4, leakage_w_per_k=0.002),
    noise=replace(_QUIET, mode_ratio=1.08, mode_share=0.2, mode_dwell_s=2.0),
    # without a fan: a core that is busy for minutes reaches the trip
    thermal=Thermal(
        ambient_c=30.0, r_k_per_w=11.0, c_j_per_k=12.0, trip_c=85.0, hard_c=95.0, step_mc=923,
        zones=("soc-thermal", "bigcore0-thermal", "bigcore1-thermal", "littlecore-thermal", "gpu-thermal",
               "npu-thermal"),
    ),
    # what looks like a sensor and shows the constant of the USB-PD contract
    sensor=PowerSensor("hwmon", "tcpm_source_psy_4_0022", refresh_s=1.0, volts=12.0, lsb_w=0.012, mode="stuck"),
    cpus=4,
    memory_mb=16384,
)  # fmt: skip

_KV260 = SimulatedSpec(
    id="kv260",
    model=_model("Kria KV260"),
    roofline=_roofline(4.4, 1.8, 5.0, 1024, 4.0),
    clock=Clock((1333,), (0.85,), governor="performance", governors=("performance",), writable=False, ramp_s=0.0),
    power=Power(idle_w=5.2, static_w=0.3, dynamic_w=0.9, leakage_w_per_k=0.001, idle_walk_w=0.004),
    noise=replace(_QUIET, spread=0.009, drift_per_h=0.01),
    thermal=Thermal(ambient_c=28.0, r_k_per_w=4.0, c_j_per_k=45.0, trip_c=100.0, hard_c=105.0, zone_mode="missing"),
    sensor=PowerSensor(
        "hwmon", "ina260_u14", form="power", refresh_s=0.15, lsb_w=0.01, gain=1.001, offset_w=0.01, noise_w=0.01
    ),
    fusion=with_changes(without={"conv2d": ("add",), "linear": ("relu",)}),
    memory_mb=4096,
)

PRESETS: Mapping[str, SimulatedSpec] = {
    spec.id: spec for spec in (_RPI5, _RPI4, _JETSON, _CORAL, _ROCK5B, _KV260, IDEAL)
}
"""By id: the six boards of devices.yaml, and "ideal"."""


def preset(name: str, **changes: object) -> SimulatedSpec:
    """A preset, with some of its parts replaced (see `dataclasses.replace`).

    Raises:
        KeyError: there is none of that name.
    """
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]
