"""Adding a board: from an address to an entry of devices.yaml."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from profiler.errors import ConfigError
from profiler.fleet.inventory.describe import Survey, entry_text, survey
from profiler.fleet.inventory.devices import load_document
from profiler.fleet.inventory.editing import append, refuse_taken
from profiler.fleet.inventory.schema import MODELINE
from profiler.fleet.targets import Device, JumpHost

__all__ = ["Newcomer"]

PREAMBLE = (
    f"{MODELINE}\n"
    "# Editors complete this file once `edgecost devices schema --out schemas/devices.schema.json` has been run here.\n"
)


class Newcomer:
    """A board that is not in devices.yaml yet: made, trusted, asked, written, in this order.

    Args:
        path: the devices.yaml that it is to be written into.
        device_id, host, port, user: as of a device.
        identity: the private key for it and for its jump host; None for the user's own.
        jump: "user@host" or "user@host:port" of its jump host; None where it has none.
        emulation: "loopback", "qemu" or "", which finds loopback out by itself.

    Raises:
        ConfigError: something of this is malformed, or the id or address is taken.
    """

    def __init__(
        self,
        path: Path,
        device_id: str,
        host: str,
        port: int,
        user: str,
        identity: Path | None,
        jump: str | None,
        emulation: str,
    ) -> None:
        if emulation not in ("", "loopback", "qemu"):
            raise ConfigError(f"{emulation!r} is no emulation: give loopback or qemu, or leave it out.")
        self._path = path
        self._emulation = emulation
        self._identity = None
        if identity is not None:  # relative paths in the file start from its own folder, not from this one
            self._identity = str(identity) if str(identity).startswith("~") else str(identity.absolute())
        before = _jump(jump, self._identity) if jump is not None else None
        refuse_taken(path, device_id, host, port, (before.host, before.port) if before else None)
        self.device = Device(device_id, host, user, (), port, identity_file=self._identity, jump=before)
        self._survey: Survey | None = None

    def trust(self, fingerprint: str, *, of_jump: bool) -> None:
        """Pin the key of the board, or of its jump host."""
        if of_jump:
            assert self.device.jump is not None
            self.device = replace(self.device, jump=replace(self.device.jump, host_key=fingerprint))
        else:
            self.device = replace(self.device, host_key=fingerprint)

    def ask(self) -> tuple[str, ...]:
        """Have the board say what it is; what it could not be asked, one sentence each.

        Raises:
            DeviceError: it cannot be reached, or the link broke.
        """
        from profiler.agent.facts import machine_id
        from profiler.fleet.transport.ssh import connect

        self._survey = survey(self.device, connect(self.device))
        facts = self._survey.facts
        if not self._emulation and facts is not None and facts.machine_id == machine_id():
            self._emulation = "loopback"
        return self._survey.notes

    def write(self) -> str:
        """Append the entry to the file; its text.

        Raises:
            ConfigError: the file cannot be edited.
            StorageError: it cannot be written.
        """
        assert self._survey is not None
        text = entry_text(self.device, self._survey, identity_file=self._identity, emulation=self._emulation)
        append(self._path, text, self.device.id, PREAMBLE)
        return text

    def entry(self) -> dict[str, Any]:
        """The entry as the file now has it, without what is left to its default."""
        entries = {entry.id: entry for entry in load_document(self._path).devices}
        return entries[self.device.id].model_dump(mode="json", exclude_unset=True)


def _jump(text: str, identity_file: str | None) -> JumpHost:
    match = re.fullmatch(r"([^@\s]+)@(?:\[([0-9a-fA-F:.]+)\]|([^@:\s\[\]]+))(?::([0-9]{1,5}))?", text)
    if match is None or not 0 < int(match[4] or 22) < 65536:
        raise ConfigError(f"{text!r} is no jump host: give user@host or user@host:port.")
    return JumpHost(match[2] or match[3], match[1], int(match[4] or 22), identity_file=identity_file)
