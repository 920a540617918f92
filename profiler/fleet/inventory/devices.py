"""devices.yaml: read strictly, every complaint one sentence that names file, line, field and remedy."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic import BaseModel

from profiler.errors import ConfigError
from profiler.fleet.inventory import yamltext
from profiler.fleet.inventory.consistency import nearest, problems
from profiler.fleet.inventory.entries import DeviceEntry, DevicesFile
from profiler.fleet.targets import STICKY_BIT, Cluster, Device, Heat, JumpHost, LeaseTerms, Sensor, Target

__all__ = ["REMEDIES", "find_device", "load_devices", "load_document", "mark_shared", "parse_document"]

_HasId = TypeVar("_HasId", Device, DeviceEntry)


def load_devices(path: Path) -> tuple[Device, ...]:
    """The boards of a devices.yaml, in its order; relative paths in it start from its folder.

    Raises:
        ConfigError: the file is missing, malformed, or contradicts itself.
    """
    return mark_shared(_device(entry, path.parent) for entry in load_document(path).devices)


def mark_shared(devices: Iterable[Device]) -> tuple[Device, ...]:
    """The same devices, `shared` where several of them have one machine."""
    found = tuple(devices)
    count = Counter(device.machine for device in found)
    return tuple(replace(device, shared=count[device.machine] > 1) for device in found)


def find_device(devices: Sequence[_HasId], device_id: str) -> _HasId:
    """The device of that id; ConfigError that lists the ids there are."""
    for device in devices:
        if device.id == device_id:
            return device
    known = [device.id for device in devices]
    raise ConfigError(f"There is no device {device_id!r}{nearest(device_id, known)}: the ids are {', '.join(known)}.")


def load_document(path: Path) -> DevicesFile:
    """All that a devices.yaml declares, sensors included; ConfigError as `load_devices`."""
    return parse_document(yamltext.read_text(path), path)


def parse_document(text: str, path: Path) -> DevicesFile:
    """The text of a devices.yaml; `path` is for complaints. ConfigError as `load_devices`."""
    root, value = yamltext.parse(text, path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not a mapping with `version` and `devices`: see the example devices.yaml.")
    try:
        document = DevicesFile.model_validate(value)
    except pydantic.ValidationError as error:
        raise ConfigError(_complaint(path, root, error)) from error

    def line_of(location: yamltext.Location) -> int:
        return yamltext.find_line(root, location)

    found = list(problems(document, line_of))
    if found:
        location, clause = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(f"{path}, line {line_of(location)}: {clause}{more}.")
    return document


def _device(entry: DeviceEntry, folder: Path) -> Device:
    def resolve(name: str | None) -> str | None:
        return None if name is None else str(folder.absolute() / Path(name).expanduser())

    shared: dict[str, Any] = {name: getattr(entry, name) for name in _PLAIN}
    jump = entry.jump
    if jump is not None:
        files = {"identity_file": resolve(jump.identity_file), "known_hosts": resolve(jump.known_hosts)}
        shared["jump"] = JumpHost(**{**jump.model_dump(), **files})
    shared.update(
        identity_file=resolve(entry.identity_file),
        known_hosts=resolve(entry.known_hosts),
        machine=entry.machine or entry.id,
        clusters=tuple(Cluster(**cluster.model_dump()) for cluster in entry.clusters),
        libraries=tuple(sorted(entry.libraries.items())),
        lease=LeaseTerms(**entry.lease.model_dump()),
        sensors=tuple(Sensor(**sensor.model_dump(exclude={"note"})) for sensor in entry.sensors),
        heat=_heat(entry),
        targets=tuple(Target(device_id=entry.id, **target.model_dump()) for target in entry.targets),
    )
    return Device(**shared)


def _heat(entry: DeviceEntry) -> Heat:
    thermal, throttle = entry.thermal, entry.throttle
    return Heat(
        zones=thermal.zones if thermal else (),
        files=thermal.files if thermal else (),
        throttle_command=throttle.command if throttle else (),
        throttle_file=throttle.file if throttle else "",
        throttle_bits=tuple(sorted(bit for bit in throttle.bits if bit < STICKY_BIT)) if throttle else (),
    )


_PLAIN = (
    *("id", "host", "user", "port", "host_key", "python", "workdir"),
    *("governor", "memory_limit_mb", "description", "notes", "emulation"),
)
"""The fields that a Device takes as they are."""


def _complaint(path: Path, root: yaml.Node | None, error: pydantic.ValidationError) -> str:
    """The first thing wrong, and how many more there are."""
    # a misspelt key also leaves the right one missing: say what is there and wrong before what is not there
    found = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = found[0]
    location = tuple(first["loc"])
    field, message = yamltext.field_name(location), first["msg"]
    if first["type"] == "extra_forbidden":
        text = f"`{field}` is not a known key{nearest(str(location[-1]), _names(location[:-1]))}: correct or remove it"
    elif first["type"] == "missing":
        text = f"`{field}` is missing: add it"
    elif first["type"] == "value_error":
        text = f"`{field}`: {message.removeprefix('Value error, ')}"
    else:
        remedy = REMEDIES.get(str(location[-1]), "correct it")
        text = f"`{field}` is {repr(first['input'])[:80]}, and {message[0].lower()}{message[1:]}: {remedy}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{path}, line {yamltext.find_line(root, location)}: {text}{more}."


REMEDIES = {
    "port": "give a number from 1 to 65535, without quotes",
    "id": "use small letters, digits and hyphens",
    "host_key": 'give "SHA256:" and 43 characters, as `ssh-keygen -lf` prints it, or use `edgecost devices trust`',
    "workdir": 'give a path that begins with "/" or "~/"',
    "cpus": 'give CPU numbers such as "4-7" or [4, 5]',
    "clock": 'give "unpinned" or a frequency in MHz, in quotes',
    "version": "this release reads version 1",
}
"""By field, what to do about a value that does not fit."""


def _names(location: yamltext.Location) -> list[str]:
    """The keys that are allowed at a place in the file."""
    model: type[BaseModel] = DevicesFile
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's annotation is made of, such as TargetEntry in tuple[TargetEntry, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models_in(part)
