"""Which core is emulated, and the files by which software on the board recognises it.

User-mode emulation gives programs this machine's own /proc/cpuinfo and would give them its /sys: an x86-64 processor's.
Runtimes choose their kernels by these, so the board gets files that describe the core that it is told to have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import ConfigError

__all__ = ["PROCESSORS", "Processor", "find_processor", "write_files"]


@dataclass(frozen=True, slots=True)
class Processor:
    """One kind of core.

    Attributes:
        qemu: what QEMU calls it.
        name: for people.
        part: Arm's number for it.
        features: in the kernel's words.
    """

    qemu: str
    name: str
    part: int
    features: str


_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"

PROCESSORS: Mapping[str, Processor] = {
    core.qemu: core
    for core in (
        Processor(
            "cortex-a76",
            "Cortex-A76",
            0xD0B,
            "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        ),
        Processor("cortex-a72", "Cortex-A72", 0xD08, _ARMV8),
        Processor("cortex-a53", "Cortex-A53", 0xD03, _ARMV8),
    )
}
"""The cores that boards of this field have: those of a Raspberry Pi 5, a Raspberry Pi 4, and of small boards."""


def find_processor(name: str) -> Processor:
    """The core of that name; ConfigError that lists those there are."""
    if name not in PROCESSORS:
        raise ConfigError(f"There is no core {name!r} to emulate: choose {', '.join(PROCESSORS)}.")
    return PROCESSORS[name]


def write_files(processor: Processor, cores: int, folder: Path) -> None:
    """Write `folder`/cpuinfo, for /proc, and `folder`/sys, for /sys."""
    part = (
        f"model name\t: {processor.name} (emulated by QEMU)\n"
        f"Features\t: {processor.features}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
        f"CPU part\t: 0x{processor.part:x}\nCPU revision\t: 0\n"
    )
    text = "".join(f"processor\t: {core}\nBogoMIPS\t: 108.00\n{part}\n" for core in range(cores))
    (folder / "cpuinfo").write_text(text, encoding="ascii")
    cpus = folder / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{cores - 1}\n" if cores > 1 else "0\n", encoding="ascii")
