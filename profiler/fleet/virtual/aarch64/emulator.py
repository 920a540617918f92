"""The board's processes: in process and mount namespaces of their own, so that with their first process all of them
end and all mounts are gone, whatever became of us.

The kernel hands aarch64 programs to QEMU (binfmt_misc, flag F: the emulator is opened once, here, and found from inside
any root). Its registration lives in the same namespace; kernels before 6.7 keep it until they are restarted, which does
no harm: it names an emulator for programs that this machine could not run at all.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from profiler.fleet.virtual.aarch64 import machine

__all__ = ["Emulated"]

_STOP_S = 10.0

_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
"""The head of an aarch64 ELF program or shared object, whatever its ABI."""

_SCRIPT = Path(__file__).with_name("namespace.sh")


class Emulated:
    """One process tree under emulation: started once, stopped once.

    Args:
        root: the system.
        state: folder of the board: home, run, sys, cpuinfo, machine-id, boot_id; the rest of the system is read-only.
        home: where `state`/home is seen on the board.
        log: what the processes write.

    Raises:
        ConfigError: this machine cannot emulate it.
    """

    def __init__(self, root: Path, state: Path, home: str, log: IO[bytes]) -> None:
        machine.require()
        self._qemu = machine.find_qemu()
        self._places = [str(root.resolve()), str(state.resolve()), home]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a command as the board's root; what becomes of it is in the log."""
        register = f":edgecost-aarch64:M::{_MAGIC}:{_MASK}:{self._qemu}:F"
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        self._process = subprocess.Popen(
            [*own, "sh", str(_SCRIPT), *self._places, register, *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # a terminal's Ctrl-C is for us to pass on
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End every process and, with them, every mount; may be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its child dies with it, and the namespace with that
            process.wait()
