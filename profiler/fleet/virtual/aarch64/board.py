"""The board: its sshd up on 127.0.0.1 for as long as somebody wants it, its home kept from one time to the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

import yaml

from profiler.errors import ConfigError, DeviceTimeout, StorageError
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.inventory.yamltext import write_atomically
from profiler.fleet.targets import Device
from profiler.fleet.virtual.aarch64 import keys, recipe
from profiler.fleet.virtual.aarch64.emulator import Emulated
from profiler.fleet.virtual.aarch64.processor import find_processor, write_files
from profiler.fleet.virtual.aarch64.root import build

__all__ = ["BOARD_ID", "Aarch64Board"]

BOARD_ID = "qemu-aarch64"

_START_S = 60.0
_POLL_S = 0.05
_TARGETS = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("litert", "fp32"), ("litert", "int8"))

# ciphers: counter mode with its checksums costs the emulator five times as much
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey /run/board/host_key
AuthorizedKeysFile /run/board/authorized_keys
PidFile none
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers {user}
UsePAM no
StrictModes no
PermitTTY no
PermitUserRC no
DisableForwarding yes
Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com
ClientAliveInterval 15
ClientAliveCountMax 3
SetEnv QEMU_CPU={processor} LANG=C.UTF-8
Subsystem sftp internal-sftp
"""


class Aarch64Board:
    """A board of another architecture: up between `up()` and `down()`, or inside a `with`, which gives its Device.

    Keys, home and (where it is still free) port stay the same from one time to the next; `down` and `up` again are what
    a reboot is. One process at a time may have it up.

    Args:
        folder: of keys, home and devices.yaml.
        cache: of the system; by default `root.cache_folder()`.
        processor: a key of `processor.PROCESSORS`.
        say: told each step of building the system.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path | None = None,
        processor: str = "cortex-a76",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self._cache = cache
        self._processor = find_processor(processor)
        self._say = say
        self._emulated: Emulated | None = None
        self._lock: IO[bytes] | None = None

    @property
    def devices_path(self) -> Path:
        """The devices.yaml that lists the board; written by `up`."""
        return self.folder / "devices.yaml"

    @property
    def log_path(self) -> Path:
        """What its sshd wrote."""
        return self.folder / "sshd.log"

    @property
    def home(self) -> Path:
        """The user's home, as this machine sees it."""
        return self.folder / "home"

    def up(self) -> Device:
        """Start the board; returns when its sshd greets. The system is built first where it is not yet.

        Raises:
            ConfigError: this machine cannot emulate it (the message says why), or another process has it up.
            StorageError: the folder or the cache cannot be written.
            DeviceTimeout: sshd did not start in time.
        """
        if self._emulated is not None:
            return self._device()
        root = build(self._cache, self._say)
        try:
            self._lock = self._claim()
            public = self._prepare()
            port = self._free_port()
            self._write_config(port)
            self._start(root, port)
            self._write_devices(port, keys.fingerprint(public))
            return self._device()
        except OSError as error:
            self.down()
            raise StorageError(
                f"The emulated board cannot be kept in {self.folder}: {error.strerror}; choose another folder."
            ) from error
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End the board: no process and no mount of it stays; may be called twice."""
        emulated, self._emulated = self._emulated, None
        if emulated is not None:
            emulated.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Device:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _device(self) -> Device:
        return load_devices(self.devices_path)[0]

    def _claim(self) -> IO[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        file = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise ConfigError(
                f"The emulated board in {self.folder} is up already: use {self.devices_path}, or end what serves it."
            ) from error
        return file

    def _prepare(self) -> str:
        """The folders that the board mounts; the public half of its host key."""
        for name in ("run", "binfmt", "home"):
            (self.folder / name).mkdir(exist_ok=True, mode=0o700)
        (self.folder / "run").chmod(0o755)  # sshd reads the admitted keys as the user who logs in
        os.chown(self.home, recipe.UID, recipe.UID)
        shutil.rmtree(self.folder / "sys", ignore_errors=True)
        write_files(self._processor, len(os.sched_getaffinity(0)), self.folder)
        machine_id = self.folder / "machine-id"
        if not machine_id.exists():
            write_atomically(machine_id, f"{uuid.uuid4().hex}\n", mode=0o644)
        # a kernel of its own would have told: this board has been started anew
        write_atomically(self.folder / "boot_id", f"{uuid.uuid4()}\n", mode=0o644)
        client = keys.public_key(self.folder / "client_key")
        write_atomically(self.folder / "run" / "authorized_keys", client + "\n", mode=0o644)
        return keys.public_key(self.folder / "run" / "host_key")

    def _free_port(self) -> int:
        """The port of last time, where it is free."""
        last = 0
        with contextlib.suppress(ConfigError):
            last = self._device().port
        for port in (last, 0):
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        raise ConfigError("No port of 127.0.0.1 is free for the emulated board.")

    def _write_config(self, port: int) -> None:
        text = _CONFIG.format(port=port, user=recipe.USER, processor=self._processor.qemu)
        write_atomically(self.folder / "run" / "sshd_config", text, mode=0o644)

    def _start(self, root: Path, port: int) -> None:
        with self.log_path.open("wb") as log:
            self._emulated = Emulated(root, self.folder, recipe.HOME, log)
            command = ["/usr/sbin/sshd", "-D", "-e", "-f", "/run/board/sshd_config"]
            self._emulated.start(command, {"QEMU_CPU": self._processor.qemu})
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if _greets(port):
                return
            if not self._emulated.alive:
                words = self.log_path.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise ConfigError(f"The emulated board did not start ({words[-1][:300]}): see {self.log_path}.")
            time.sleep(_POLL_S)
        raise DeviceTimeout(f"The emulated board's sshd does not answer within {_START_S:g} s: see {self.log_path}.")

    def _write_devices(self, port: int, host_key: str) -> None:
        entry = {
            "id": BOARD_ID,
            "description": f"{self._processor.name} emulated by QEMU on this machine: its latencies mean nothing",
            "host": "127.0.0.1",
            "port": port,
            "user": recipe.USER,
            "identity_file": str((self.folder / "client_key").resolve()),
            "host_key": host_key,
            "python": "python3",
            "workdir": "~/.cache/edgecost",
            "emulation": "qemu",
            "targets": [{"runtime": r, "precision": p, "threads": 1, "clock": "unpinned"} for r, p in _TARGETS],
        }
        comment = "# Written by the emulated board when it starts; changes here are lost.\n"
        text = yaml.safe_dump({"version": 1, "devices": [entry]}, sort_keys=False, allow_unicode=True, width=200)
        write_atomically(self.devices_path, comment + text, mode=0o600)


def _greets(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as link:
        link.settimeout(5.0)  # a start under emulation takes its time even after the port is open
        return link.recv(8).startswith(b"SSH-2.0")
    return False
