"""An SSH server as a link sees it: a board, or the jump host before it, with the words that tell them apart."""

from __future__ import annotations

from dataclasses import dataclass

from profiler.fleet.targets import Device

__all__ = ["Endpoint", "board_of", "jump_of"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the (at most two) servers on the way to a board.

    Attributes:
        device_id: the board that is meant in the end.
        host, port, user, identity_file, host_key, known_hosts: as of a Device.
        is_jump: whether it is the jump host.
    """

    device_id: str
    host: str
    port: int
    user: str
    identity_file: str | None
    host_key: str | None
    known_hosts: str | None
    is_jump: bool = False

    @property
    def name(self) -> str:
        """Such as "rpi5", or "the jump host of rpi5"."""
        return f"the jump host of {self.device_id}" if self.is_jump else self.device_id

    @property
    def where(self) -> str:
        """Such as "rpi5 (192.0.2.11:22)"."""
        return f"{self.name} ({self.host}:{self.port})"

    @property
    def section(self) -> str:
        """Where in devices.yaml its fields are."""
        return f"`jump` of {self.device_id} in devices.yaml" if self.is_jump else "devices.yaml"

    @property
    def trust(self) -> str:
        """The command that pins its key."""
        return f"`edgecost devices trust {self.device_id}{' --jump' if self.is_jump else ''}`"


def board_of(device: Device) -> Endpoint:
    """The board itself."""
    return Endpoint(
        *(device.id, device.host, device.port, device.user),
        *(device.identity_file, device.host_key, device.known_hosts),
    )


def jump_of(device: Device) -> Endpoint | None:
    """The host through which it is reached; None where it is reached directly."""
    jump = device.jump
    if jump is None:
        return None
    return Endpoint(
        *(device.id, jump.host, jump.port, jump.user),
        *(jump.identity_file, jump.host_key, jump.known_hosts),
        is_jump=True,
    )
