"""One runtime on one board: found, brought there, tried; older and older versions of it, until one is accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from profiler.errors import DeviceError
from profiler.fleet.provisioning.accept import Probe, try_probes
from profiler.fleet.provisioning.answers import Outcome, Record
from profiler.fleet.provisioning.ground import Ground, Tree
from profiler.fleet.provisioning.index import Index, NoWheel
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.requirements import Package, below
from profiler.fleet.provisioning.resolving import Conflict, Found, NeedsGpuLibraries, resolve
from profiler.fleet.provisioning.wheels import Wheel, WheelCache, digest_of
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device

__all__ = ["Installer", "NothingWorks", "Say", "Via"]

Via = Literal["auto", "host", "board"]
Say = Callable[[str], None]

_MOST_STEPS = 6
"""So often is an older version of a package tried."""

_MOST_SERIES = 10
"""So many series of releases are looked through for one without GPU libraries."""


_GPU_MACHINES = ("x86_64",)


class NothingWorks(Exception):
    """A runtime could not be had; the text says why, and what to do."""


class _NotToBeHad(Exception):
    """A package is not there for the board; the text says where it was looked for."""


@dataclass(slots=True)
class Installer:
    """Installs runtimes on a board whose lease this process has.

    Attributes:
        device: the board.
        ground: its workdir.
        board: its Python.
        index: this host's pip, asked for wheels for it.
        wheels: the wheels on this host.
        via: where wheels come from: this host's pip, the board's own, or whichever has them.
        force: resolve anew rather than going by what was chosen before.
        say: told about every step, in a line.
    """

    device: Device
    ground: Ground
    board: BoardPython
    index: Index
    wheels: WheelCache
    via: Via
    force: bool
    say: Say

    def install(self, runtime: str, packages: Sequence[Package], probes: Sequence[Probe], *, anew: bool) -> Tree:
        """Have a runtime in use; what was in use before stays until then.

        Args:
            runtime: its name.
            packages: what to try, in this order.
            probes: what it must run.
            anew: make the tree again even where one of the same wheels is there.

        Raises:
            NothingWorks: no version was accepted, or there is none for this board.
            DeviceError: the board or the link failed.
        """
        tried: list[Outcome] = []
        unavailable: list[str] = []
        for package in packages:
            limit = ""
            for _ in range(_MOST_STEPS + 1):
                try:
                    tree = self._make(runtime, package, limit, anew=anew)
                except _NotToBeHad as error:
                    unavailable.append(str(error))
                    self.say(f"{self.device.id}: {error}")
                    break
                accepted = self._try(tree, probes, tried)
                if accepted is not None:
                    return accepted
                limit = below(tree.record.version)
        raise NothingWorks(self._failure(runtime, tried, unavailable))

    def _failure(self, runtime: str, tried: Sequence[Outcome], unavailable: Sequence[str]) -> str:
        remedy = (
            "set `python` to another one on the board, or add an index that has it to pip's configuration (here for "
            "--via host, on the board for --via board)"
        )
        if not tried:
            return f"{runtime} cannot be had for {self.device.id}: {'; '.join(unavailable)}; {remedy}."
        words = "; ".join(f"{outcome.version}: {outcome.outcome}" for outcome in tried)
        return f"No version of {runtime} that was tried works on {self.device.id} ({words}): {remedy}."

    def _make(self, runtime: str, package: Package, limit: str, *, anew: bool) -> Tree:
        """The tree of a package's newest version within a limit, on the board but not in use."""
        reasons = []
        if self.via != "board":
            try:
                return self._by_wheels(runtime, package, limit, anew=anew)
            except NoWheel as error:
                reasons.append(str(error))
            except Conflict as error:
                reasons.append(f"{package.name}: {error}")
        if self.via != "host":
            made = self._by_pip(runtime, package, limit)
            if isinstance(made, Tree):
                return made
            reasons.append(f"the board's own pip has none ({made})" if reasons else f"{package.name}: {made}")
        raise _NotToBeHad(", and ".join(reasons))

    # From this host

    def _by_wheels(self, runtime: str, package: Package, limit: str, *, anew: bool) -> Tree:
        wheels = self._wheels(package, limit)
        own = next(wheel for wheel in wheels if wheel.name == package.name)
        size = sum(wheel.unpacked_bytes for wheel in wheels)
        record = Record(
            package=own.name,
            version=own.version,
            board=self.board.name,
            via="host",
            distributions={wheel.name: wheel.version for wheel in wheels},
            bytes=size,
        )
        tree = Tree(runtime, digest_of(wheels), record)
        free_bytes = self.ground.look().free_bytes
        sent = self.ground.push(wheels, free_bytes)
        self.say(
            f"{self.device.id}: {own.name} {own.version} and {len(wheels) - 1} packages that it needs: "
            f"{size / 1e6:.1f} MB, for which {sent / 1e6:.1f} MB of wheels were sent"
        )
        self.ground.unpack(tree, wheels, anew=anew)
        return tree

    def _wheels(self, package: Package, limit: str) -> tuple[Wheel, ...]:
        asked = [str(requirement) for requirement in package.limited(limit)]
        found = None if self.force else self.wheels.remembered(self.board, asked)
        if found is None:
            self.say(f"{self.device.id}: looking for {', '.join(asked)} for {self.board.name}")
            wheels = self.wheels.fetch(self._resolve(package, limit), self.index)
            self.wheels.remember(self.board, asked, wheels)
            return wheels
        return self.wheels.fetch(found, self.index)

    def _resolve(self, package: Package, limit: str) -> tuple[Found, ...]:
        """All wheels for a package; where none for GPUs are wanted, of the newest version that does without them."""
        builds = [v for v in self.index.versions(package.name) if package.cpu and str(v.local).startswith("cpu")]
        fitting = [build for build in builds if SpecifierSet(limit).contains(build)]
        roots = package.limited(f"=={fitting[0]}" if fitting else limit)
        for _ in range(_MOST_SERIES):
            try:
                return resolve(roots, self.board, self.index.look_up, package.unwanted)
            except NeedsGpuLibraries as error:
                version = error.found[package.name].version
                self.say(f"{self.device.id}: {package.name} {version} {error}, which is for GPUs")
                # for these processors the plain builds are for GPUs, all of them, and each is half a gigabyte
                if builds or self.board.machine in _GPU_MACHINES:
                    break
                roots = package.limited(below(version))
        raise _NotToBeHad(
            f"{roots[0]} for {self.board.name} comes with gigabytes of libraries for GPUs, and pip's index has no "
            'other build: add one with CPU builds ("+cpu") to pip\'s configuration here'
        )

    # From the board's own index

    def _by_pip(self, runtime: str, package: Package, limit: str) -> Tree | str:
        asked = [str(requirement) for requirement in package.limited(limit)]
        self.say(f"{self.device.id}: has its own pip install {', '.join(asked)}")
        record = Record(
            package=package.name, version="0", board=self.board.name, via="board", distributions={}, bytes=0
        )
        made = self.ground.by_pip(runtime, asked, record)
        if isinstance(made, str):
            return made
        digest, distributions, size = made
        names: dict[str, str] = {canonicalize_name(name): version for name, version in distributions.items()}
        unwanted = [name for name in names if package.unwanted(name)]
        tree = Tree(runtime, digest, record)
        if unwanted or package.name not in names:
            self.ground.discard(tree, "0")
            return f"it brings {', '.join(unwanted)}" if unwanted else f"it brings no {package.name}"
        update = {"version": names[package.name], "distributions": names, "bytes": size}
        return replace(tree, record=record.model_copy(update=update))

    # Trying it

    def _try(self, tree: Tree, probes: Sequence[Probe], tried: list[Outcome]) -> Tree | None:
        """Run a tree's models, and have it in use if they ran; else None, and it is removed."""
        name = f"{tree.record.package} {tree.record.version}"
        with self._trial(tree) as (device, token):
            with connect(device) as session:
                problem = try_probes(session, probes, tree.record.version)
            tried.append(Outcome(version=name, outcome=problem or "accepted"))
            if problem is not None:
                self.say(f"{self.device.id}: {name} does not work there: {problem}")
                self.ground.discard(tree, token)
                return None
            accepted = replace(tree, record=tree.record.model_copy(update={"tried": list(tried)}))
            self.ground.accept(accepted, token)
            self.say(f"{self.device.id}: {name} runs {_models(probes)} correctly")
        return accepted

    @contextlib.contextmanager
    def _trial(self, tree: Tree) -> Iterator[tuple[Device, str]]:
        """The board with a workdir of its own, so that nothing in use changes before the tree is accepted."""
        folder, token = self.ground.try_out(tree)
        try:
            yield replace(self.device, workdir=folder), token
        except BaseException:
            with contextlib.suppress(DeviceError):  # the first one is what counts
                self.ground.discard(tree, token)
            raise


def _models(probes: Sequence[Probe]) -> str:
    return " and ".join(target.precision for target, _ in probes)
