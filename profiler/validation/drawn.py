"""Boards that are drawn at random around the presets, by what a claim needs of them.

All draws are from distributions written down here before anything was measured on them; none depends on a result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from profiler.fleet.virtual.simulated.hidden import with_changes
from profiler.fleet.virtual.simulated.presets import PRESETS
from profiler.fleet.virtual.simulated.spec import Noise, Power, PowerSensor, SimulatedSpec, Thermal

__all__ = ["SENSORS", "drifting", "fusing", "hot", "metered", "quiet", "stepping", "toneless"]

NAMES = ("rpi5", "rpi4", "jetson-orin-nano", "coral-devboard", "rock5b", "kv260")

FUSABLE = ("relu", "relu6", "hswish", "sigmoid", "add", "mul")
"""Kinds that may or may not be drawn into the kernel before them."""

HEADS = ("conv2d", "add", "mul", "avg_pool", "max_pool", "linear")


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 31))


def _noise(rng: np.random.Generator, preset: Noise) -> Noise:
    """Noise of any plausible size; modes and background programs stay those of the preset, and nothing drifts."""
    return replace(
        preset,
        spread=_log_uniform(rng, 0.003, 0.012),
        correlation_s=_log_uniform(rng, 0.03, 0.6),
        jitter=_log_uniform(rng, 0.002, 0.01),
        outlier_hz=rng.uniform(0.0, 5.0),
        outlier_s=_log_uniform(rng, 2e-4, 3e-3),
        process_spread=_log_uniform(rng, 0.002, 0.008),
        drift_per_sqrt_h=0.0,
        drift_per_h=0.0,
    )


def quiet(rng: np.random.Generator) -> SimulatedSpec:
    """A board at rest: noise, offsets of processes, modes and background programs, and no drift."""
    spec = PRESETS[str(rng.choice(NAMES))]
    return replace(spec, noise=_noise(rng, spec.noise), seed=_seed(rng))


def drifting(rng: np.random.Generator) -> SimulatedSpec:
    """The same with a random walk and a line, so fast that minutes of a campaign see what hours of a real one do: some
    0.2 to 1 % over a campaign."""
    spec = quiet(rng)
    noise = replace(spec.noise, drift_per_sqrt_h=_log_uniform(rng, 0.01, 0.04), drift_per_h=rng.uniform(-0.2, 0.2))
    return replace(spec, noise=noise)


def toneless(rng: np.random.Generator) -> SimulatedSpec:
    """A quiet board without modes and background programs, which jump as a board does that moves."""
    spec = quiet(rng)
    return replace(spec, noise=replace(spec.noise, mode_ratio=1.0, mode_share=0.0, background_every_s=0.0))


def stepping(rng: np.random.Generator, calm_s: float, until_s: float) -> SimulatedSpec:
    """A board that becomes slower or faster by 3 to 10 %: at once, or bit by bit.

    Args:
        rng: draws.
        calm_s, until_s: when it does so, in virtual time.
    """
    spec = toneless(rng)
    size = float(rng.choice([-1, 1])) * rng.uniform(0.03, 0.10)
    if rng.random() < 0.25:
        # bit by bit: that much within the time between the two
        return replace(spec, noise=replace(spec.noise, drift_per_h=size * 3600 / (until_s - calm_s)))
    return replace(spec, noise=replace(spec.noise, step=size, step_at_s=rng.uniform(calm_s, until_s)))


def hot(rng: np.random.Generator) -> SimulatedSpec:
    """A board whose temperature under load ends between 5 K below its trip and 25 K above it, within seconds."""
    spec = PRESETS[str(rng.choice([name for name in NAMES if len(PRESETS[name].clock.mhz) > 1]))]
    power = spec.power
    load_w = power.idle_w + power.static_w + power.dynamic_w * 0.8
    trip_c = spec.thermal.trip_c
    resistance = (trip_c + rng.uniform(-5.0, 25.0) - spec.thermal.ambient_c) / load_w
    thermal = Thermal(
        ambient_c=spec.thermal.ambient_c,
        r_k_per_w=resistance,
        c_j_per_k=_log_uniform(rng, 0.3, 6.0) / resistance,
        trip_c=trip_c,
        hysteresis_k=rng.uniform(0.5, 4.0),
        hard_c=trip_c + 5,
        zones=spec.thermal.zones,
        step_mc=spec.thermal.step_mc,
        word=bool(rng.random() < 0.5),
    )
    return replace(spec, thermal=thermal, noise=_noise(rng, spec.noise), seed=_seed(rng))


@dataclass(frozen=True, slots=True)
class _Chip:
    """A chip on its board: errors of gain and offset (A) as its data sheet allows them (k = 2), the step of the file
    that its driver shows (W), the supply, the shunt beside it (0: inside), and which files there are."""

    gain_u: float
    offset_a: float
    step_w: float
    volts: float
    shunt_uohm: int
    form: Literal["volt-ampere", "power"]


SENSORS = {
    "ina219": _Chip(0.0122, 1e-3, 20 * 0.1e-3, 5.0, 100_000, "power"),
    "ina226": _Chip(0.0101, 2e-3, 25 * 0.5e-3, 5.0, 5_000, "power"),
    "ina260": _Chip(0.0018, 5e-3, 0.010, 12.0, 0, "power"),
    "ina3221": _Chip(0.0106, 8e-3, 4e-3 * 5.0, 5.0, 10_000, "volt-ampere"),
}
"""By name; a shunt beside its chip is of the 1 % kind."""


def metered(rng: np.random.Generator, *, least_w: float = 0.005, most_w: float = 4.0) -> SimulatedSpec:
    """A quiet board with a power sensor whose errors are as its data sheet allows, and a power step of any size.

    Args:
        rng: draws.
        least_w, most_w: what a fully busy core adds lies between these.
    """
    spec = quiet(rng)
    step_w = _log_uniform(rng, least_w, most_w)
    power = Power(
        idle_w=rng.uniform(1.5, 6.0),
        static_w=0.2 * step_w,
        dynamic_w=0.8 * step_w,
        leakage_w_per_k=rng.uniform(0.0, 0.001),
        idle_walk_w=_log_uniform(rng, 0.0005, 0.005) if rng.random() < 0.5 else 0.0,
    )
    # a heat that no such load brings to its trip
    thermal = Thermal(ambient_c=spec.thermal.ambient_c, r_k_per_w=4.0, c_j_per_k=15.0)
    return replace(spec, power=power, thermal=thermal, sensor=_sensor(rng))


def _sensor(rng: np.random.Generator) -> PowerSensor:
    name = str(rng.choice(list(SENSORS)))
    chip = SENSORS[name]
    return PowerSensor(
        kind="hwmon",
        name=name,
        channel="VDD",
        form=chip.form,
        volts=chip.volts,
        refresh_s=_log_uniform(rng, 0.012, 0.4),
        lsb_w=chip.step_w,
        shunt_uohm=chip.shunt_uohm,
        gain=1 + rng.normal() * chip.gain_u / 2,
        offset_w=rng.normal() * chip.offset_a / 2 * chip.volts,
        noise_w=_log_uniform(rng, 0.002, 0.05),
    )


def fusing(rng: np.random.Generator) -> SimulatedSpec:
    """A quiet board with fusions of its own, which differ from the rules in about a third of what may be fused."""
    spec = toneless(rng)
    also: dict[str, tuple[str, ...]] = {}
    without: dict[str, tuple[str, ...]] = {}
    for head in HEADS:
        drawn = rng.random(len(FUSABLE))
        also[head] = tuple(kind for kind, chance in zip(FUSABLE, drawn, strict=True) if chance < 1 / 3)
        without[head] = tuple(kind for kind, chance in zip(FUSABLE, drawn, strict=True) if chance > 2 / 3)
    return replace(spec, fusion=with_changes(also=also, without=without))
