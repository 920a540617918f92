"""A board, from a bare Python to the runtimes that its targets need.

    look at its Python -> lease -> for each runtime: keep what still works, or
        resolve and download here (or there) -> push wheels -> unpack -> try in a workdir apart -> accept or step back

Nothing but Python is needed on the board: no pip, no internet, no root. Nothing in use changes until its successor ran
a model there with the right output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from profiler.fleet.messages import escape
from profiler.fleet.provisioning.accept import make_probes, try_probes
from profiler.fleet.provisioning.answers import InUse, Record
from profiler.fleet.provisioning.ground import break_ground
from profiler.fleet.provisioning.index import Index
from profiler.fleet.provisioning.installing import Installer, NothingWorks, Say, Via
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.requirements import Package, packages, targets_by_runtime
from profiler.fleet.provisioning.wheels import WheelCache
from profiler.fleet.sessions.session import BoardSession, connect
from profiler.fleet.targets import Device, Target

__all__ = ["Provisioned", "provision"]

_TRANSFER_S = 3600.0
"""For one wheel: torch's has 200 MB, and some boards have Wi-Fi."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What became of one runtime.

    Attributes:
        runtime: its name.
        state: "kept" (it was there and works), "installed" or "failed".
        package, version: the distribution that provides it; "" where it failed.
        digest: names its tree, env/RUNTIME/DIGEST.
        size_mb: of the tree.
        via: where its wheels came from: "host" or "board".
        tried: (version, what came of it) in the order in which they were tried, when it was installed.
        error: one sentence where it failed.
    """

    runtime: str
    state: Literal["kept", "installed", "failed"]
    package: str = ""
    version: str = ""
    digest: str = ""
    size_mb: float = 0.0
    via: str = ""
    tried: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @classmethod
    def of(cls, runtime: str, state: Literal["kept", "installed"], digest: str, record: Record) -> Provisioned:
        """By the record that lies in the tree."""
        tried = tuple((outcome.version, outcome.outcome) for outcome in record.tried)
        size_mb = round(record.bytes / 1e6, 1)
        return cls(runtime, state, record.package, record.version, digest, size_mb, record.via, tried)


def provision(
    device: Device,
    *,
    cache: Path,
    runtimes: Iterable[str] | None = None,
    via: Via = "auto",
    force: bool = False,
    say: Say = lambda line: None,
) -> list[Provisioned]:
    """Give a board the runtimes that its targets need.

    Args:
        device: the board.
        cache: folder on this host for wheels; a second board of the same kind downloads nothing.
        runtimes: only these of the runtimes that its targets have.
        via: "host" (this host's pip finds and downloads them), "board" (the board's own pip does), "auto" (the first
            that can).
        force: look for the newest versions and install them although something works already.
        say: told about every step, in a line.

    Returns:
        What became of each runtime; one that failed hinders no other.

    Raises:
        ConfigError: a runtime is unknown, not among the targets, or missing on this host, or pip does not work here.
        DeviceError: the board cannot be reached or used, is in use by somebody else, or its disk is full.
        StorageError: the cache cannot be written.
    """
    from profiler.fleet.transport.ssh import Limits
    from profiler.fleet.transport.ssh import connect as connect_ssh

    wanted = targets_by_runtime(device, runtimes)
    plans = {
        runtime: packages(runtime, {target.accelerator for target in targets}) for runtime, targets in wanted.items()
    }
    transport = connect_ssh(device, Limits(transfer_s=_TRANSFER_S))
    try:
        ground = break_ground(transport, device)
        board = ground.look().python(device.id)
        # the lease is held all the while: unpacking would disturb whoever measures
        with connect(device) as session, tempfile.TemporaryDirectory(prefix="edgecost-") as folder:
            installer = Installer(device, ground, board, Index(board), WheelCache(cache), via, force, say)
            return [
                _one(installer, session, runtime, plans[runtime], targets, Path(folder))
                for runtime, targets in wanted.items()
            ]
    finally:
        transport.close()


def _one(
    installer: Installer,
    session: BoardSession,
    runtime: str,
    plan: Sequence[Package],
    targets: Sequence[Target],
    folder: Path,
) -> Provisioned:
    device, say = installer.device, installer.say
    if not plan:
        return Provisioned(runtime, "failed", error=f"{runtime} names no packages: install it on {device.id} yourself.")
    probes = make_probes(targets, folder)
    there = installer.ground.look().in_use(runtime)
    broken = False
    if there is not None and not installer.force and _suits(there, installer.board, plan):
        problem = try_probes(session, probes, there.record.version)
        name = f"{there.record.package} {there.record.version}"
        if problem is None:
            say(f"{device.id}: {name} is there and works")
            return Provisioned.of(runtime, "kept", there.digest, there.record)
        say(f"{device.id}: {name} is there, and does not work any more ({problem})")
        broken = True
    try:
        tree = installer.install(runtime, plan, probes, anew=broken or installer.force)
    except NothingWorks as error:
        return Provisioned(runtime, "failed", error=escape(str(error), 2000))
    return Provisioned.of(runtime, "installed", tree.digest, tree.record)


def _suits(there: InUse, board: BoardPython, plan: Sequence[Package]) -> bool:
    """Whether a tree was made for the Python that the board has now, of a package that its targets need."""
    return there.record.board == board.name and there.record.package in {package.name for package in plan}
