"""What a board may answer when it is provisioned, and nothing else: what arrives is hostile until it passed here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiler.errors import DeviceError
from profiler.fleet.messages import Name, Text
from profiler.fleet.provisioning.platform_tags import BoardPython, Unsupported

__all__ = [
    "Cleared",
    "Distributions",
    "Done",
    "InUse",
    "Look",
    "Missing",
    "Outcome",
    "Piped",
    "Record",
    "Trial",
    "Unpacked",
    "nonsense",
]

_MARKERS = frozenset(
    (
        "implementation_name",
        "implementation_version",
        "os_name",
        "platform_machine",
        "platform_release",
        "platform_system",
        "platform_version",
        "platform_python_implementation",
        "python_full_version",
        "python_version",
        "sys_platform",
    )
)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Distributions = Annotated[dict[Name, Text], Field(max_length=100)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Outcome(_Lenient):
    """What trying one version came to: "accepted", or why not."""

    version: Text
    outcome: Text


class Record(_Lenient):
    """What is left in a tree about itself.

    Attributes:
        package: the distribution that is the runtime.
        version: of it.
        board: for which kind of Python it was made (`BoardPython.name`).
        via: "host" or "board".
        distributions: what it holds.
        bytes: its size.
        tried: what was tried until it was accepted, in that order.
    """

    package: Name
    version: Text
    board: Text
    via: Text
    distributions: Distributions
    bytes: Annotated[int, Field(ge=0, le=2**50)]
    tried: Annotated[list[Outcome], Field(max_length=100)] = Field(default_factory=list)


class InUse(_Lenient):
    """An environment that agents use now."""

    digest: Digest
    record: Record


class Look(_Lenient):
    """A board's Python and workdir."""

    markers: dict[Name, Text]
    machine: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")]
    abiflags: Annotated[str, Field(pattern=r"^[a-z]{0,8}$")]
    hard_float: bool
    glibc: Text
    android: bool
    free_bytes: Annotated[int, Field(ge=0)]
    current: Annotated[dict[Name, Any], Field(max_length=20)]

    def python(self, device_id: str) -> BoardPython:
        """The board's Python; DeviceError where no wheels are made for it."""
        if set(self.markers) != _MARKERS:
            raise nonsense(device_id, "other markers than those of PEP 508")
        try:
            return BoardPython.of(
                self.markers,
                machine=self.machine,
                abiflags=self.abiflags,
                glibc=self.glibc,
                android=self.android,
                hard_float=self.hard_float,
            )
        except Unsupported as error:
            raise DeviceError(f"{device_id} cannot be provisioned: {error}.", device_id) from error

    def in_use(self, runtime: str) -> InUse | None:
        """The environment of a runtime; None where there is none, or none that we can make sense of."""
        try:
            return InUse.model_validate(self.current.get(runtime))
        except ValidationError:
            return None


class Missing(_Lenient):
    """Of the wheels asked about, those that are not there whole."""

    missing: Annotated[list[Digest], Field(max_length=1000)]


class Unpacked(_Lenient):
    """Whether the tree was there already."""

    there: bool


class Piped(_Lenient):
    """What the board's own pip came to: a digest or an error, or neither where there is no pip."""

    pip: bool
    error: Annotated[str, Field(max_length=8000)]
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    distributions: Distributions
    bytes: Annotated[int, Field(ge=0, le=2**50)]


class Trial(_Lenient):
    """The workdir of a trial."""

    folder: Annotated[str, Field(max_length=4096)]


class Done(_Lenient):
    """Nothing more is to be said."""


class Cleared(_Lenient):
    """What removing came to.

    Attributes:
        there: whether there was a workdir.
        busy: the lease's text, where somebody holds it: nothing was removed then.
        ended: how many agents were ended.
        kept: what is left, relative to the workdir, since it is not ours.
        left: whether the workdir is still there.
    """

    there: bool
    busy: Annotated[str, Field(max_length=8000)] | None
    ended: Annotated[int, Field(ge=0)]
    kept: Annotated[list[Text], Field(max_length=50)]
    left: bool


def nonsense(device_id: str, what: str) -> DeviceError:
    """The error for an answer that is none."""
    return DeviceError(f"{device_id} answered provisioning with nonsense ({what}): check its rc files.", device_id)
