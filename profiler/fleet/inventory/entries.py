"""What a devices.yaml may hold, field by field; the published JSON Schema is made from these models.

A model checks a field by itself. What holds between fields and between devices is in `consistency`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from profiler.fleet.targets import RUNTIMES, Precision

__all__ = [
    "FINGERPRINT_PATTERN",
    "ID_PATTERN",
    "ClusterEntry",
    "DeviceEntry",
    "DevicesFile",
    "JumpEntry",
    "LeaseEntry",
    "SensorEntry",
    "TargetEntry",
    "ThermalEntry",
    "ThrottleEntry",
    "cpu_numbers",
]

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
FINGERPRINT_PATTERN = r"^SHA256:[A-Za-z0-9+/]{43}$"
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
CLUSTER_PATTERN = r"^[a-z][a-z0-9_-]{0,31}$"
PATH_PATTERN = r"^(~/|/).*[^/]$"

MAX_CPU = 4095

Scope = Literal["wall", "board-in", "module-in", "SoC-rails", "core-rail", "battery"]


def cpu_numbers(value: Any) -> Any:
    """CPU numbers from a list, one number, or the kernel's way of writing them ("0-3,6"), sorted."""
    if isinstance(value, bool):
        raise ValueError("not CPU numbers")
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    found: set[int] = set()
    for part in value.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part, re.ASCII)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise ValueError(f'"{value}" is no list of CPUs such as "4-7" or "0-3,6"')
        found |= set(range(low, high + 1))
    return tuple(sorted(found))


def _each_once(cpus: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(cpus)) != len(cpus):
        raise ValueError("a CPU is named twice: remove one")
    return tuple(sorted(cpus))


class _Strict(BaseModel):
    """No unknown key, no conversion: "22" is not a port."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Names = Annotated[tuple[str, ...], Field(strict=False)]
CpuNumber = Annotated[int, Field(ge=0, le=MAX_CPU)]
CpuList = Annotated[
    tuple[CpuNumber, ...],
    Field(min_length=1, strict=False),
    BeforeValidator(cpu_numbers),
    AfterValidator(_each_once),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*$"},
                {"type": "integer", "minimum": 0, "maximum": MAX_CPU},
                {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MAX_CPU}, "minItems": 1},
            ]
        }
    ),
]
RuntimeName = Annotated[
    str,
    Field(pattern=NAME_PATTERN),
    # an enumeration for editors to offer, a pattern for the plug-ins that they do not know
    WithJsonSchema({"anyOf": [{"enum": list(RUNTIMES)}, {"type": "string", "pattern": NAME_PATTERN}]}),
]
Accelerator = Annotated[
    str,
    Field(pattern=r"^([a-z][a-z0-9_]{0,31})?$"),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["", "xnnpack", "cuda", "tensorrt", "edgetpu", "gpu"]},
                {"type": "string", "pattern": NAME_PATTERN},
            ]
        }
    ),
]
Host = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Celsius = Annotated[float, Field(ge=-60, le=300)]
Temperatures = Annotated[tuple[Celsius, ...], Field(strict=False)]


class TargetEntry(_Strict):
    """One configuration of the board to measure."""

    runtime: RuntimeName = Field(description="onnxruntime, litert, torch, or the name of a plug-in's runtime.")
    precision: Precision = Field(description="torch is measured in fp32 only.")
    threads: int = Field(default=1, ge=1, le=256)
    accelerator: Accelerator = Field(
        default="",
        description=(
            "What executes the operators: onnxruntime: xnnpack, cuda, tensorrt; litert: edgetpu, gpu; torch: cuda. "
            "Empty: the runtime's own default on the CPU."
        ),
    )
    cores: str = Field(
        default="", pattern=r"^([a-z][a-z0-9_-]{0,31})?$", description="The name of the cluster that jobs are bound to."
    )
    clock: str = Field(
        default="unpinned",
        pattern=r"^(unpinned|[1-9][0-9]{1,4})$",
        description='"unpinned", or the frequency in MHz, in quotes, at which you have pinned these cores.',
    )
    allow_fallback: bool = Field(
        default=False,
        description="Keep (and flag) a figure although some operators ran elsewhere than on the accelerator.",
    )


class ClusterEntry(_Strict):
    """Cores of one kind."""

    name: str = Field(pattern=CLUSTER_PATTERN, description="Such as big, middle, little; `cores` of a target names it.")
    cpus: CpuList = Field(description='Their numbers: "4-7", "0-3,6", 4 or [4, 5].')
    capacity: int | None = Field(
        default=None, ge=1, le=1024, description="Of each by the kernel's cpu_capacity; 1024 is the strongest."
    )
    max_mhz: int | None = Field(default=None, ge=10, le=20000, description="Their highest clock.")


class JumpEntry(_Strict):
    """The SSH server through which a board is reached; its key is checked like a board's."""

    host: Host
    user: str = Field(min_length=1)
    port: Port = 22
    identity_file: str | None = Field(default=None, description="Relative to this file; default: your keys in ~/.ssh.")
    host_key: str | None = Field(
        default=None,
        pattern=FINGERPRINT_PATTERN,
        description="Pinned fingerprint; `edgecost devices trust ID --jump` writes it.",
    )
    known_hosts: str | None = Field(default=None, description="A file of known host keys, where none is pinned.")


class LeaseEntry(_Strict):
    """How long a board is waited for and kept."""

    wait_s: float = Field(
        default=15.0, ge=0, le=86400, allow_inf_nan=False, description="Seconds that a board in use is waited for."
    )
    linger_s: float = Field(
        default=600.0,
        ge=1,
        le=86400,
        allow_inf_nan=False,
        description="Seconds that an idle agent keeps the board for a host that does not come back.",
    )


class SensorEntry(_Strict):
    """Where the board's power can be read; looked for by name, since hwmon and iio numbers move between boots."""

    kind: Literal["hwmon", "iio", "rapl", "command", "battery", "external"] = Field(
        description=(
            "A chip of hwmon or iio called `name`, a package of the processor's own counters, a program that prints a "
            "figure with its unit (W, mW, uW, J, mJ, uJ), a battery's gauge, or a meter beside the board."
        )
    )
    name: str = Field(
        default="",
        description=(
            "As the kernel calls it; of a command, the program; of an external meter, how the host reaches it: "
            "joulescope[:SERIAL], tcp:HOST:PORT, serial:PATH[:BAUD] or command:WORDS."
        ),
    )
    channels: Names = Field(
        default=(),
        description=(
            "Labels or files of it, the first of which is the board's power; several are added up by a plus sign "
            "(VDD_CPU+VDD_GPU). Of a command: its arguments."
        ),
    )
    scope: Scope = Field(description="What the figure includes; figures of different scopes are never compared.")
    update_hz: float | None = Field(default=None, gt=0, description="How often its value changes.")
    forks: bool = Field(default=False, description="Whether every reading starts a process.")
    gain: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="power = gain x shown + offset; `edgecost energy calibrate` finds both.",
    )
    offset_uw: float | None = Field(default=None, allow_inf_nan=False, description="Added to what is shown, in µW.")
    gain_u: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Uncertainty of the gain, relative, k = 2, where it is better known than from the chip's name.",
    )
    offset_u_uw: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Uncertainty of the offset in µW, k = 2."
    )
    note: str = ""


class ThermalEntry(_Strict):
    """Temperatures: where they are read, and at which ones the board slows down."""

    zones: Names = Field(default=(), description="Thermal zones by their type.")
    trips_celsius: Temperatures = Field(default=(), description="Trip points that the kernel knows of.")
    limits_celsius: Temperatures = Field(
        default=(), description="Further limits, of the firmware or a data sheet, which the kernel does not show."
    )
    files: Names = Field(default=(), description="Files (globs) with further temperatures in thousandths of a degree.")


class ThrottleEntry(_Strict):
    """How the board says that it slowed itself down: a command or a file with a word of bits."""

    command: Names = ()
    file: str = Field(default="", description="A path on the board; may be a glob.")
    bits: dict[int, str] = Field(default_factory=dict, description="What each bit of the word means.")


class DeviceEntry(_Strict):
    """One board: how it is reached, what it is, and what is measured on it."""

    id: str = Field(pattern=ID_PATTERN, description="Small letters, digits, hyphens: the board's name everywhere else.")
    description: str = Field(default="", description="For people.")
    host: Host = Field(description="Where its SSH server listens.")
    port: Port = 22
    user: str = Field(min_length=1, description="Who logs in.")
    identity_file: str | None = Field(
        default=None,
        description="Private key without a passphrase, relative to this file; default: your keys in ~/.ssh.",
    )
    host_key: str | None = Field(
        default=None,
        pattern=FINGERPRINT_PATTERN,
        description="Pinned fingerprint, as `ssh-keygen -lf` prints it; `edgecost devices trust ID` writes it.",
    )
    known_hosts: str | None = Field(default=None, description="A file of known host keys, where none is pinned.")
    jump: JumpEntry | None = None
    python: str = Field(
        default="python3", min_length=1, description="Interpreter on the board, 3.7 or later, that runs the agent."
    )
    workdir: str = Field(
        default="~/.cache/edgecost", pattern=PATH_PATTERN, description="Folder on the board for everything of ours."
    )
    machine: str = Field(default="", description="Devices with the same machine take turns; by default the id.")
    emulation: Literal["", "loopback", "qemu", "simulated"] = Field(
        default="",
        description=(
            "loopback: a configuration of this very machine; qemu: an emulated processor; simulated: no board at all, "
            "its figures made up to test how boards are measured; empty: hardware."
        ),
    )
    arch: str = Field(
        default="", pattern=r"^[A-Za-z0-9_]*$", description="As `uname -m` says: aarch64, armv7l, x86_64."
    )
    memory_mb: int | None = Field(default=None, ge=16, le=2**30, description="Main memory as Linux counts it.")
    memory_limit_mb: int | None = Field(default=None, ge=16, le=2**30, description="That one job may use.")
    clusters: tuple[ClusterEntry, ...] = Field(
        default=(), strict=False, description="Its kinds of cores, the strongest first; leave out where all are alike."
    )
    governor: str = Field(
        default="",
        pattern=r"^[a-z_]*$",
        description="The cpufreq governor it is meant to run with.",
    )
    thermal: ThermalEntry | None = None
    throttle: ThrottleEntry | None = None
    sensors: tuple[SensorEntry, ...] = Field(default=(), strict=False)
    libraries: dict[str, str] = Field(
        default_factory=dict,
        description="By accelerator: the path on the board of its delegate library, where it is not the usual one.",
    )
    lease: LeaseEntry = LeaseEntry()
    targets: tuple[TargetEntry, ...] = Field(min_length=1, strict=False)
    notes: Names = Field(default=(), description="For people.")


class DevicesFile(_Strict):
    """A whole devices.yaml."""

    version: Literal[1]
    devices: tuple[DeviceEntry, ...] = Field(min_length=1, strict=False)
