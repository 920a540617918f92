"""What this machine must have to emulate a board, and where the emulator is."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from profiler.errors import ConfigError

__all__ = ["find_qemu", "require"]

_PROGRAMS = ("apt-get", "dpkg-deb", "unshare", "mount", "chroot")
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")


def require() -> None:
    """Complain where a board cannot be emulated here, before anything has been done for it.

    Raises:
        ConfigError: this is not Linux, this process is not root, or a program is missing.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ConfigError(
            "The emulated board needs Linux and root, for its mounts and its accounts: run this as root, on a machine "
            "or in a virtual machine that you may change."
        )
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise ConfigError(
            f"The emulated board needs {', '.join(missing)}: use a machine that runs Debian, with util-linux and apt."
        )
    find_qemu()


def find_qemu() -> Path:
    """The emulator.

    Raises:
        ConfigError: it is not installed.
    """
    for name in _EMULATORS:
        found = shutil.which(name)
        if found is not None:
            return Path(found).resolve()
    raise ConfigError(
        "The emulated board needs QEMU's user-mode emulation: install it with `apt-get install qemu-user-static`."
    )
