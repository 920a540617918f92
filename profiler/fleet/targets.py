"""Device and Target: which board, and which configuration of it, a cost belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["PRECISIONS", "RUNTIMES", "Device", "Precision", "Runtime", "Target"]

Runtime = Literal["onnxruntime", "litert", "torch"]
Precision = Literal["fp32", "int8"]
RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "litert", "torch")
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class Target:
    """A configuration of a board under which costs are comparable: device x runtime x precision x threads x clock.

    Attributes:
        device_id: the board.
        runtime, precision, threads: how workloads are run there.
        clock: the pinned frequency in MHz as text, or "unpinned".
    """

    device_id: str
    runtime: Runtime
    precision: Precision
    threads: int = 1
    clock: str = "unpinned"

    @property
    def id(self) -> str:
        """Such as "rpi5/onnxruntime-int8-t1"; the clock is added when it is pinned."""
        clock = "" if self.clock == "unpinned" else f"-{self.clock}mhz"
        return f"{self.device_id}/{self.runtime}-{self.precision}-t{self.threads}{clock}"


@dataclass(frozen=True, slots=True)
class Device:
    """One board as devices.yaml describes it.

    Attributes:
        id: short name, [a-z0-9-].
        host, port, user: where its SSH server listens.
        identity_file: the private key offered; None offers ~/.ssh/id_{ed25519,ecdsa,rsa}, never an agent's keys.
        host_key: pinned fingerprint "SHA256:...", or None to go by `known_hosts`.
        known_hosts: file of known host keys, or None for the user's own.
        python: the interpreter on the board that has the runtimes.
        workdir: folder on the board for agent and artefacts ("~" is the board's home).
        machine: boards with the same machine take turns; by default the id.
        targets: the configurations to measure.
        description, notes: for people.
        emulation: "" for hardware; "loopback" for a configuration of the host machine itself.
    """

    id: str
    host: str
    user: str
    targets: tuple[Target, ...]
    port: int = 22
    identity_file: str | None = None
    host_key: str | None = None
    known_hosts: str | None = None
    python: str = "python3"
    workdir: str = "~/.cache/edgecost"
    machine: str = ""
    description: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
    emulation: str = ""
