"""Changes to a devices.yaml: in place, comments kept, all or nothing."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from profiler.errors import ConfigError
from profiler.fleet.inventory import yamltext
from profiler.fleet.inventory.consistency import address
from profiler.fleet.inventory.devices import REMEDIES, find_device, load_document, parse_document
from profiler.fleet.inventory.entries import FINGERPRINT_PATTERN, ID_PATTERN, DeviceEntry

__all__ = ["append", "pin", "refuse_taken"]


def pin(path: Path, device_id: str, fingerprint: str, *, of_jump: bool = False) -> None:
    """Write a board's host key, or that of its jump host, into devices.yaml: in place, comments kept, all or nothing.

    Raises:
        ConfigError: there is no such device, it has no jump host, the file is malformed, or `fingerprint` is none.
        StorageError: the file cannot be written.
    """
    if not re.fullmatch(FINGERPRINT_PATTERN, fingerprint):
        raise ConfigError(f"{fingerprint!r} is no host key's fingerprint: {REMEDIES['host_key']}.")
    text = yamltext.read_text(path)
    old = parse_document(text, path)
    entry = find_device(old.devices, device_id)
    index = old.devices.index(entry)
    place: yamltext.Location = ("devices", index)
    after = "id"
    if of_jump:
        if entry.jump is None:
            raise ConfigError(f"{device_id!r} in {path} is reached without a jump host: leave out `--jump`.")
        place, after = (*place, "jump"), "host"
    mapping = yamltext.node_at(yamltext.parse(text, path)[0], place)
    by_hand = f"{path} is written in a way that cannot be edited for you: add `host_key: {fingerprint}` yourself."
    if not isinstance(mapping, yaml.MappingNode):  # a merge brought it there
        raise ConfigError(by_hand)
    text = yamltext.set_scalar(text, mapping, "host_key", fingerprint, after=after)

    def pinned(other: DeviceEntry) -> DeviceEntry:
        if not of_jump or other.jump is None:
            return other.model_copy(update={"host_key": fingerprint})
        return other.model_copy(update={"jump": other.jump.model_copy(update={"host_key": fingerprint})})

    # anchors and merges can make one place in the text mean two devices, which is meant for a jump host alone
    devices = parse_document(text, path).devices
    meant = tuple(
        pinned(other) if other is entry or (of_jump and other.jump == entry.jump and new != other) else other
        for other, new in zip(old.devices, devices, strict=True)
    )
    if devices != meant:
        raise ConfigError(by_hand)
    yamltext.write_atomically(path, text)


def refuse_taken(path: Path, device_id: str, host: str, port: int, jump: tuple[str, int] | None) -> None:
    """Complain when a new device's id or address is none, or is another's already; a file that is not there has none.

    Raises:
        ConfigError: it is taken, or the file is malformed.
    """
    if not re.fullmatch(ID_PATTERN, device_id):
        raise ConfigError(f"{device_id!r} is no id of a device: {REMEDIES['id']}.")
    if not path.exists():
        return
    via = f"{jump[0].lower().rstrip('.')}:{jump[1]}" if jump else ""
    for entry in load_document(path).devices:
        if entry.id == device_id:
            raise ConfigError(
                f"There is a device {device_id!r} in {path} already: choose another id, or edit it there."
            )
        if address(entry) == (host.lower().rstrip("."), port, via):
            raise ConfigError(
                f"{host}:{port} is the address of {entry.id!r} in {path} already: edit that entry, or add a second one "
                "by hand with the same `machine`, so that they take turns."
            )


def append(path: Path, item: str, device_id: str, preamble: str) -> None:
    """Add a device to a devices.yaml: in place, comments kept, all or nothing; a file that is missing is made.

    Args:
        path: the file.
        item: the entry as the text of one mapping, its lines not indented.
        device_id: its id.
        preamble: what a new file begins with.

    Raises:
        ConfigError: the id is taken, or the file is malformed or written in a way that cannot be edited.
        StorageError: the file cannot be written.
    """
    if not path.exists():
        text = f"{preamble}version: 1\ndevices:\n{yamltext.sequence_item(item, 2)}"
        find_device(parse_document(text, path).devices, device_id)
        yamltext.write_atomically(path, text)
        return
    text = yamltext.read_text(path)
    old = parse_document(text, path)
    root, _ = yamltext.parse(text, path)
    new = yamltext.append_item(text, yamltext.node_at(root, ("devices",)), item)
    by_hand = f"{path} is written in a way that cannot be edited for you: add this entry yourself."
    if new is None:
        raise ConfigError(by_hand)
    entries = parse_document(new, path).devices
    if entries[:-1] != old.devices or entries[-1].id != device_id:
        raise ConfigError(by_hand)
    yamltext.write_atomically(path, new)
