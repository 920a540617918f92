"""devices.yaml: read strictly, every complaint one sentence that names file, line, field and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from profiler.errors import ConfigError
from profiler.fleet import yamltext
from profiler.fleet.targets import Device, Precision, Runtime, Target

__all__ = [
    "DeviceEntry",
    "DevicesFile",
    "SensorEntry",
    "TargetEntry",
    "ThermalEntry",
    "ThrottleEntry",
    "find_device",
    "load_devices",
    "load_document",
    "pin",
]

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
FINGERPRINT_PATTERN = r"^SHA256:[A-Za-z0-9+/]{43}$"

Scope = Literal["wall", "board-in", "module-in", "SoC-rails", "core-rail", "battery"]


class _Strict(BaseModel):
    """No unknown key, no conversion: "22" is not a port."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TargetEntry(_Strict):
    """One configuration of a board to measure; `clock` is "unpinned" or a frequency in MHz, as text."""

    runtime: Runtime
    precision: Precision
    threads: int = Field(default=1, ge=1, le=256)
    clock: str = Field(default="unpinned", pattern=r"^(unpinned|[1-9][0-9]{1,4})$")

    @pydantic.model_validator(mode="after")
    def _has_a_lowering(self) -> Self:
        if self.runtime == "torch" and self.precision == "int8":
            raise ValueError("torch is measured in fp32 only: use onnxruntime or litert for int8")
        return self


class SensorEntry(_Strict):
    """Where the board's power can be read; looked for by name, since hwmon numbers move between boots.

    Attributes:
        kind: hwmon (a chip called `name`), command (a program called `name`), external (a meter beside the board).
        channels: what is read of it.
        scope: what the figure includes; figures of different scopes are never compared.
        update_hz: how often its value changes.
        forks: whether every reading starts a process.
    """

    kind: Literal["hwmon", "command", "external"]
    name: str = ""
    channels: tuple[str, ...] = Field(default=(), strict=False)
    scope: Scope
    update_hz: float | None = Field(default=None, gt=0)
    forks: bool = False
    note: str = ""


class ThermalEntry(_Strict):
    """Thermal zones by type, the temperatures at which the board slows down, and files with further temperatures."""

    zones: tuple[str, ...] = Field(default=(), strict=False)
    trips_celsius: tuple[float, ...] = Field(default=(), strict=False)
    files: tuple[str, ...] = Field(default=(), strict=False)


class ThrottleEntry(_Strict):
    """How the board says that it slowed itself down: a command or a file (a glob) with a word of bits."""

    command: tuple[str, ...] = Field(default=(), strict=False)
    file: str = ""
    bits: dict[int, str] = Field(default_factory=dict)


class DeviceEntry(_Strict):
    """One board of devices.yaml; the fields are those of profiler.fleet.targets.Device and three about its sensors."""

    id: str = Field(pattern=ID_PATTERN)
    description: str = ""
    host: str = Field(min_length=1, pattern=r"^[^\s]+$")
    port: int = Field(default=22, ge=1, le=65535)
    user: str = Field(min_length=1)
    identity_file: str | None = None
    host_key: str | None = Field(default=None, pattern=FINGERPRINT_PATTERN)
    known_hosts: str | None = None
    python: str = Field(default="python3", min_length=1)
    workdir: str = Field(default="~/.cache/edgecost", pattern=r"^(~/|/).*[^/]$")
    machine: str = ""
    emulation: Literal["", "loopback"] = ""
    notes: tuple[str, ...] = Field(default=(), strict=False)
    targets: tuple[TargetEntry, ...] = Field(min_length=1, strict=False)
    sensors: tuple[SensorEntry, ...] = Field(default=(), strict=False)
    thermal: ThermalEntry | None = None
    throttle: ThrottleEntry | None = None


_HasId = TypeVar("_HasId", Device, DeviceEntry)


class DevicesFile(_Strict):
    """A whole devices.yaml."""

    version: Literal[1]
    devices: tuple[DeviceEntry, ...] = Field(min_length=1, strict=False)


def load_devices(path: Path) -> tuple[Device, ...]:
    """The boards of a devices.yaml, in its order; relative paths in it start from its folder.

    Raises:
        ConfigError: the file is missing or malformed.
    """
    return tuple(_device(entry, path.parent) for entry in load_document(path).devices)


def find_device(devices: Sequence[_HasId], device_id: str) -> _HasId:
    """The device of that id; ConfigError that lists the ids there are."""
    for device in devices:
        if device.id == device_id:
            return device
    known = [device.id for device in devices]
    raise ConfigError(f"There is no device {device_id!r}{_nearest(device_id, known)}: the ids are {', '.join(known)}.")


def load_document(path: Path) -> DevicesFile:
    """All that a devices.yaml declares, sensors included; ConfigError as `load_devices`."""
    return _validated(yamltext.read_text(path), path)


def pin(path: Path, device_id: str, fingerprint: str) -> None:
    """Write a board's host key into devices.yaml: in place, comments kept, all or nothing.

    Raises:
        ConfigError: there is no such device, the file is malformed, or `fingerprint` is none.
        StorageError: the file cannot be written.
    """
    if not re.fullmatch(FINGERPRINT_PATTERN, fingerprint):
        raise ConfigError(f"{fingerprint!r} is no host key's fingerprint: {_REMEDIES['host_key']}.")
    text = yamltext.read_text(path)
    old = _validated(text, path)
    index = old.devices.index(find_device(old.devices, device_id))
    root, _ = yamltext.parse(text, path)
    assert root is not None  # it was validated
    mapping = next(value for key, value in root.value if key.value == "devices").value[index]
    text = yamltext.set_scalar(text, mapping, "host_key", fingerprint, after="id")
    wanted = old.devices[index].model_copy(update={"host_key": fingerprint})
    # anchors and merges can make one place in the text mean two devices: look before writing
    if _validated(text, path).devices != (*old.devices[:index], wanted, *old.devices[index + 1 :]):
        raise ConfigError(
            f"{path} is written in a way that cannot be edited for you: add `host_key: {fingerprint}` yourself."
        )
    yamltext.write_atomically(path, text)


def _validated(text: str, path: Path) -> DevicesFile:
    root, value = yamltext.parse(text, path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not a mapping with `version` and `devices`: see the example devices.yaml.")
    try:
        document = DevicesFile.model_validate(value)
    except pydantic.ValidationError as error:
        raise ConfigError(_complaint(path, root, error)) from error
    _refuse_duplicates(path, root, document)
    return document


def _device(entry: DeviceEntry, folder: Path) -> Device:
    def resolve(name: str | None) -> str | None:
        return None if name is None else str(folder.absolute() / Path(name).expanduser())

    shared = entry.model_dump(exclude={"targets", "sensors", "thermal", "throttle"})
    shared.update(
        identity_file=resolve(entry.identity_file),
        known_hosts=resolve(entry.known_hosts),
        machine=entry.machine or entry.id,
        targets=tuple(Target(entry.id, t.runtime, t.precision, t.threads, t.clock) for t in entry.targets),
    )
    return Device(**shared)


def _complaint(path: Path, root: yaml.Node | None, error: pydantic.ValidationError) -> str:
    """The first thing wrong, and how many more there are."""
    # a misspelt key also leaves the right one missing: say what is there and wrong before what is not there
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    location = tuple(first["loc"])
    field, message = yamltext.field_name(location), first["msg"]
    if first["type"] == "extra_forbidden":
        text = f"`{field}` is not a known key{_nearest(str(location[-1]), _names(location[:-1]))}: correct or remove it"
    elif first["type"] == "missing":
        text = f"`{field}` is missing: add it"
    elif first["type"] == "value_error":
        text = f"`{field}`: {message.removeprefix('Value error, ')}"
    else:
        remedy = _REMEDIES.get(str(location[-1]), "correct it")
        text = f"`{field}` is {repr(first['input'])[:80]}, and {message[0].lower()}{message[1:]}: {remedy}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}, line {yamltext.find_line(root, location)}: {text}{more}."


_REMEDIES = {
    "port": "give a number from 1 to 65535, without quotes",
    "id": "use small letters, digits and hyphens",
    "host_key": 'give "SHA256:" and 43 characters, as `ssh-keygen -lf` prints it, or use `edgecost devices trust`',
    "workdir": 'give a path that begins with "/" or "~/"',
    "clock": 'give "unpinned" or a frequency in MHz, in quotes',
    "version": "this release reads version 1",
}


def _names(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a place in the file."""
    model: type[BaseModel] = DevicesFile
    for part in location:
        model = _CHILDREN.get(str(part), model) if isinstance(part, str) else model
    return list(model.model_fields)


_CHILDREN: dict[str, type[BaseModel]] = {
    "devices": DeviceEntry,
    "targets": TargetEntry,
    "sensors": SensorEntry,
    "thermal": ThermalEntry,
    "throttle": ThrottleEntry,
}


def _refuse_duplicates(path: Path, root: yaml.Node | None, document: DevicesFile) -> None:
    ids: dict[str, int] = {}
    for index, entry in enumerate(document.devices):
        line = yamltext.find_line(root, ("devices", index, "id"))
        if entry.id in ids:
            raise ConfigError(
                f"{path}, line {line}: the id {entry.id!r} is taken by the device in line {ids[entry.id]}: "
                "give every device an id of its own."
            )
        ids[entry.id] = line
        for number, target in enumerate(entry.targets):
            if target in entry.targets[:number]:
                line = yamltext.find_line(root, ("devices", index, "targets", number))
                raise ConfigError(f"{path}, line {line}: this target of {entry.id!r} is given twice: remove one.")


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
