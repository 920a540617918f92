"""On a board: what this Python is, what is provisioned, and how much space there is. Changes nothing."""

import contextlib
import os
import platform
import struct
import sys
import sysconfig
from typing import Any

if __package__:  # on a board this text follows that of `common`
    from profiler.fleet.provisioning.far_end.common import RECORD, current_file, perform, read_object

KINDS_OF_32_BITS = {"x86_64": "i686", "aarch64": "armv7l", "armv8l": "armv7l"}


def look(spec: Any) -> Any:
    """Facts for choosing wheels: PEP 508's markers, and what PEP 600's platform tags are made of."""
    root = spec["root"]
    machine = platform.machine()
    glibc = ""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        glibc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    disk = os.statvfs(root)
    return {
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": ".".join(map(str, sys.implementation.version[:3])),
            "os_name": os.name,
            "platform_machine": machine,
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "platform_python_implementation": platform.python_implementation(),
            "python_full_version": platform.python_version(),
            "python_version": ".".join(map(str, sys.version_info[:2])),
            "sys_platform": sys.platform,
        },
        # a 32-bit Python on a 64-bit kernel loads 32-bit wheels
        "machine": KINDS_OF_32_BITS.get(machine, machine) if struct.calcsize("P") == 4 else machine,
        "abiflags": getattr(sys, "abiflags", ""),
        "hard_float": (sysconfig.get_config_var("MULTIARCH") or "gnueabihf").endswith("gnueabihf"),
        "glibc": glibc,
        "android": hasattr(sys, "getandroidapilevel"),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "current": _current(root),
    }


def _current(root: Any) -> Any:
    """The environments in use whose trees are there whole, each with the record that was left in it."""
    found = {}
    for runtime, entry in read_object(current_file(root)).items():
        record = read_object(os.path.join(str(entry.get("site")), RECORD)) if isinstance(entry, dict) else {}
        if record:
            found[runtime] = {"digest": entry.get("digest"), "record": record}
    return found


if __name__ == "__main__":
    perform({"look": look})
