"""Several boards at once: none waits for another, and what is seen only by comparing them is said of the later one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from profiler.fleet.checks.board import Checkup
from profiler.fleet.checks.findings import Finding, warning
from profiler.fleet.checks.models import Models
from profiler.fleet.inventory.entries import DeviceEntry
from profiler.fleet.targets import Device

__all__ = ["check_all"]

MAX_AT_ONCE = 16


def check_all(devices: Sequence[Device], declared: Mapping[str, DeviceEntry]) -> Iterator[tuple[Device, list[Finding]]]:
    """Each board with its findings, in the given order, as soon as it and those before it are done.

    Args:
        devices: the boards.
        declared: their entries of devices.yaml by id, as far as they have any.
    """
    if not devices:
        return
    with Models() as models, ThreadPoolExecutor(min(MAX_AT_ONCE, len(devices)), "edgecost-check") as pool:

        def checked(device: Device) -> Checkup:
            checkup = Checkup(device, declared.get(device.id), models)
            checkup.run()
            return checkup

        seen: dict[str, Device] = {}
        for checkup in pool.map(checked, devices):
            device = checkup.device
            first = seen.setdefault(checkup.machine_id, device) if checkup.machine_id else device
            if first.machine != device.machine:
                checkup.findings.append(
                    warning(
                        f"it is the same machine as {first.id}, and both would be measured at once",
                        f"give both the same `machine` in devices.yaml, or remove one (two boards whose cards are "
                        f"copies of one another look alike too: delete /etc/machine-id on {device.id} and restart it)",
                    )
                )
            yield device, checkup.findings
