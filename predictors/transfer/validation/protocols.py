"""The protocols: device lists as published, figures to stand beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from profiler.errors import ConfigError

__all__ = ["PROTOCOLS", "Protocol", "find_protocol"]


@dataclass(frozen=True)
class Protocol:
    """Who learns from whom.

    Attributes:
        name: such as "nasflat:ND".
        space: the name of the space.
        sources: devices whose tables are given; none for a device on its own.
        targets: devices of which few architectures are measured; none for every device of the data.
        samples: architectures measured on each target.
        source_samples: architectures known of each source.
        published: mean Spearman correlation over the targets by method.
        published_targets: the same by target, where published.
        origin: where lists and figures are from.
    """

    name: str
    space: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    samples: int
    source_samples: int
    published: Mapping[str, float] = field(default_factory=dict)
    published_targets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        both = sorted(set(self.sources) & set(self.targets))
        if both:
            raise ConfigError(f"{self.name}: {', '.join(both)} would be both source and target; name it once")


_NASFLAT = "NASFLAT (MLSys 2024, arXiv 2403.02446); device lists of its authors' published code"
_HELP_DEVICES = (
    "1080ti_1", "1080ti_32", "1080ti_256", "silver_4114", "silver_4210r", "samsung_a50", "pixel3", "essential_ph_1",
    "samsung_s7",
)  # fmt: skip
_ND_TARGETS = ("titan_rtx_256", "gold_6226", "fpga", "pixel2", "raspi4", "eyeriss")
_FD_SOURCES = tuple(device.replace("_256", "_64") for device in _HELP_DEVICES)
_GPUS = tuple(
    f"{gpu}_{batch}" for gpu in ("1080ti", "2080ti", "titan_rtx", "titanx", "titanxp") for batch in (1, 32, 64)
)
_FBNET: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[float, float, float]]] = {
    "FD": (_FD_SOURCES, ("fpga", "raspi4", "eyeriss"), (0.910, 0.960, 0.961)),
    "F1": (
        ("2080ti_1", "essential_ph_1", "silver_4114", "titan_rtx_1", "titan_rtx_32"),
        ("eyeriss", "fpga", "raspi4", "samsung_a50", "samsung_s7"),
        (0.370, 0.450, 0.577),
    ),
    "F2": (
        ("essential_ph_1", "gold_6226", "gold_6240", "pixel3", "raspi4"),
        ("1080ti_1", "1080ti_32", "2080ti_32", "titan_rtx_1", "titanxp_1"),
        (0.793, 0.756, 0.809),
    ),
    "F3": (
        ("essential_ph_1", "pixel2", "pixel3", "raspi4", "samsung_s7"),
        ("1080ti_1", "1080ti_32", "2080ti_1", "titan_rtx_1", "titan_rtx_32"),
        (0.543, 0.567, 0.871),
    ),
    "F4": (
        (
            "1080ti_64", "2080ti_1", "eyeriss", "gold_6226", "gold_6240", "raspi4", "samsung_s7", "silver_4210r",
            "titan_rtx_1", "titan_rtx_32",
        ),
        ("1080ti_1", "pixel2", "essential_ph_1"),
        (0.413, 0.434, 0.814),
    ),
    "FA": (_GPUS, ("gold_6226", "essential_ph_1", "samsung_s7", "pixel2"), (0.799, 0.763, 0.734)),
}  # fmt: skip
_METHODS = ("HELP", "MultiPredict", "NASFLAT")

PROTOCOLS: dict[str, Protocol] = {
    "nasflat:ND": Protocol(
        "nasflat:ND", "nasbench201", _HELP_DEVICES, _ND_TARGETS, 20, 512,
        dict(zip(_METHODS, (0.948, 0.930, 0.959), strict=True)), origin=_NASFLAT,
    ),
    **{
        f"nasflat:{name}": Protocol(
            f"nasflat:{name}", "fbnet", sources, targets, 20, 800, dict(zip(_METHODS, published, strict=True)),
            origin=_NASFLAT,
        )
        for name, (sources, targets, published) in _FBNET.items()
    },
    "help:10": Protocol(
        "help:10", "nasbench201", _HELP_DEVICES, _ND_TARGETS, 10, 900, {"HELP": 0.932},
        {
            "HELP": {
                "titan_rtx_256": 0.987, "gold_6226": 0.989, "pixel2": 0.802, "raspi4": 0.890, "eyeriss": 0.940,
                "fpga": 0.985,
            }
        },
        origin="HELP (NeurIPS 2021)",
    ),
    "help:10-fbnet": Protocol(
        "help:10-fbnet", "fbnet", _FD_SOURCES, ("fpga", "raspi4", "eyeriss"), 10, 900, {"HELP": 0.910},
        origin="HELP (NeurIPS 2021), a mean over its own FBNet targets",
    ),
    "single-device:900": Protocol("single-device:900", "", (), (), 900, 0),
}  # fmt: skip
"""By name."""


def find_protocol(
    name: str,
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    samples: int | None = None,
) -> Protocol:
    """A protocol by name, with other devices or another number of samples where given.

    "nasflat:ND" and its kin, "help:10", "help:10-fbnet", "single-device:N", "leave-one-out:SPACE" (each device from all
    others, or of `sources` each from the others), and "transfer:SPACE", which needs both lists.
    Published figures are dropped where devices or samples are not the published ones.

    Raises:
        ConfigError: for a name that nobody knows, or lists that overlap or lack.
    """
    head, _, tail = name.partition(":")
    if name in PROTOCOLS:
        found = PROTOCOLS[name]
    elif head == "single-device" and tail.isascii() and tail.isdigit() and int(tail) > 0:
        found = replace(PROTOCOLS["single-device:900"], name=name, samples=int(tail))
    elif head == "leave-one-out" and tail:
        found = Protocol(name, tail, (), (), 20, 800 if tail == "fbnet" else 512)
    elif head == "transfer" and tail:
        if not targets:
            raise ConfigError(f"{name} needs its devices: name them with --targets, and --sources where there are any")
        found = Protocol(name, tail, (), (), 20, 800 if tail == "fbnet" else 512)
    else:
        raise ConfigError(
            f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)}, single-device:N, leave-one-out:SPACE "
            "and transfer:SPACE"
        )
    changed = replace(
        found,
        sources=tuple(sources) or found.sources,
        targets=tuple(targets) or found.targets,
        samples=found.samples if samples is None else samples,
    )
    if (changed.sources, changed.targets, changed.samples) != (found.sources, found.targets, found.samples):
        changed = replace(changed, published={}, published_targets={})
    return changed
