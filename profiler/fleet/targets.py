"""Device and Target: which board, and which configuration of it, a cost belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "STICKY_BIT",
    "Cluster",
    "Device",
    "Heat",
    "JumpHost",
    "LeaseTerms",
    "Precision",
    "Runtime",
    "Sensor",
    "Target",
]

Runtime = str
"""The name of a runtime: one of RUNTIMES, or of a plug-in (`profiler.fleet.plugins`)."""

Precision = Literal["fp32", "int8"]
STICKY_BIT = 16
"""Bits of a throttle word from here on say what has happened since the board was switched on."""

RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "litert", "torch")
"""The runtimes that come with the project."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class Target:
    """A configuration of a board under which costs are comparable.

    It is device x runtime x accelerator x precision x threads x cores x clock.

    Attributes:
        device_id: the board.
        runtime, precision, threads: how workloads are run there.
        clock: the pinned frequency in MHz as text, or "unpinned".
        accelerator: the provider or delegate asked for ("cuda", "xnnpack", "edgetpu", ...); "" for the runtime's own
            default on the CPU.
        cores: the name of the core cluster that the job is bound to ("big", "little", ...); "" for all cores.
        allow_fallback: whether a figure counts although operators ran elsewhere than on the accelerator; it is flagged
            then. No part of the id: what may be kept differs, not what is measured.
    """

    device_id: str
    runtime: Runtime
    precision: Precision
    threads: int = 1
    clock: str = "unpinned"
    accelerator: str = ""
    cores: str = ""
    allow_fallback: bool = False

    @property
    def id(self) -> str:
        """Such as "rpi5/onnxruntime-fp32-t1"; accelerator, cores and clock are added where they are not the default."""
        accelerator = f"-{self.accelerator}" if self.accelerator else ""
        cores = f"-{self.cores}" if self.cores else ""
        clock = "" if self.clock == "unpinned" else f"-{self.clock}mhz"
        return f"{self.device_id}/{self.runtime}{accelerator}-{self.precision}-t{self.threads}{cores}{clock}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cores of one kind.

    Attributes:
        name: "big", "middle", "little", or another short name.
        cpus: their numbers.
        capacity: of each by the kernel's measure (1024 is the strongest on the board); None where it gives none.
        max_mhz: their highest clock; None where unknown.
    """

    name: str
    cpus: tuple[int, ...]
    capacity: int | None = None
    max_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class JumpHost:
    """The SSH server through which a board is reached; its key is checked like a board's."""

    host: str
    user: str
    port: int = 22
    identity_file: str | None = None
    host_key: str | None = None
    known_hosts: str | None = None


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a board is waited for and kept; all in seconds.

    Attributes:
        wait_s: for a board that somebody else uses.
        linger_s: so long an idle agent keeps the board for a host that does not come back.
    """

    wait_s: float = 15.0
    linger_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """Where power can be read; see `SensorEntry` for what the fields mean."""

    kind: str
    scope: str
    name: str = ""
    channels: tuple[str, ...] = ()
    update_hz: float | None = None
    forks: bool = False
    gain: float | None = None
    offset_uw: float | None = None
    gain_u: float | None = None
    offset_u_uw: float | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """How a board tells that it is hot, and that it slows down for it; () and "" where it does not.

    Attributes:
        zones: thermal zones by their type; () for all.
        files: globs of further temperatures in thousandths of a degree.
        throttle_command, throttle_file: what holds the throttle word.
        throttle_bits: the bits of it that mean "now" (those from 16 on are sticky and mean "since boot").
    """

    zones: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    throttle_command: tuple[str, ...] = ()
    throttle_file: str = ""
    throttle_bits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One board as devices.yaml describes it.

    Attributes:
        id: short name, [a-z0-9-].
        host, port, user: where its SSH server listens.
        identity_file: the private key offered; None offers ~/.ssh/id_{ed25519,ecdsa,rsa}, never an agent's keys.
        host_key: pinned fingerprint "SHA256:...", or None to go by `known_hosts`.
        known_hosts: file of known host keys, or None for the user's own.
        jump: the host through which it is reached, or None.
        python: the interpreter on the board that runs the agent, and the runtimes that are not provisioned.
        workdir: folder on the board for agent and artefacts ("~" is the board's home).
        machine: boards with the same machine take turns; by default the id.
        shared: whether another device of the file has the same machine.
        targets: the configurations to measure.
        clusters: its kinds of cores, the strongest first; () where they are all alike.
        governor: the cpufreq governor it is meant to run with; "" where that is left open.
        memory_limit_mb: of one job; None leaves it to the board.
        libraries: (accelerator, path on the board of its library), where it is not the usual one.
        lease: how long it is waited for and kept.
        description, notes: for people.
        emulation: "" for hardware; "loopback" for a configuration of the host machine itself; "qemu" for an emulated
            processor, whose latencies mean nothing; "simulated" for a board that there is not, with known truth.
        sensors: where its power can be read, the first that is there counts.
        heat: how it tells its temperature, and that it slows down.
    """

    id: str
    host: str
    user: str
    targets: tuple[Target, ...]
    port: int = 22
    identity_file: str | None = None
    host_key: str | None = None
    known_hosts: str | None = None
    jump: JumpHost | None = None
    python: str = "python3"
    workdir: str = "~/.cache/edgecost"
    machine: str = ""
    shared: bool = False
    clusters: tuple[Cluster, ...] = ()
    governor: str = ""
    memory_limit_mb: int | None = None
    libraries: tuple[tuple[str, str], ...] = ()
    lease: LeaseTerms = LeaseTerms()
    description: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
    emulation: str = ""
    sensors: tuple[Sensor, ...] = ()
    heat: Heat = Heat()

    def affinity(self, target: Target) -> tuple[int, ...] | None:
        """The CPUs that a target's jobs are bound to; None for all that there are.

        Raises:
            KeyError: the target names a cluster that the board does not have.
        """
        if not target.cores:
            return None
        return {cluster.name: cluster.cpus for cluster in self.clusters}[target.cores]
