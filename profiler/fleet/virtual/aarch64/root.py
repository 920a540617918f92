"""The board's system, unpacked once and kept in a cache; boards mount it read-only."""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from profiler.errors import ConfigError, StorageError
from profiler.fleet.virtual.aarch64 import machine, recipe
from profiler.fleet.virtual.aarch64.packages import fetch, machine_release

__all__ = ["CACHE_VARIABLE", "build", "cache_folder"]

CACHE_VARIABLE = "EDGECOST_AARCH64_CACHE"
_MANIFEST = "manifest.json"
_UNPACK_S = 120.0

Say = Callable[[str], None]


def cache_folder() -> Path:
    """Where roots are kept: what the environment variable names, or ~/.cache/edgecost/aarch64."""
    named = os.environ.get(CACHE_VARIABLE, "")
    return Path(named).absolute() if named else Path.home() / ".cache" / "edgecost" / "aarch64"


def build(cache: Path | None = None, say: Say = lambda _: None) -> Path:
    """The folder that holds the board's system; fetched and unpacked when it is not there yet.

    Nothing half-made is ever taken for a root, and two that build at once take turns.

    Args:
        cache: folder of roots; by default `cache_folder()`.
        say: told each step and how long it took.

    Raises:
        ConfigError: this machine cannot emulate it, or the packages could not be fetched.
        StorageError: the cache cannot be written.
    """
    cache = cache or cache_folder()
    machine.require()
    release = machine_release()
    place = _place(cache, release)
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _lock(cache / "lock"):
            if (place / _MANIFEST).exists():
                say(f"the system is there: {place}")
            else:
                _build(release, cache, place, say)
    except OSError as error:
        raise StorageError(
            f"The emulated board's system cannot be kept in {cache} ({error.strerror}): name another folder in "
            f"{CACHE_VARIABLE}."
        ) from error
    return place / "root"


def _place(cache: Path, release: str) -> Path:
    return cache / f"{release}-{recipe.digest(release)}"


def _build(release: str, cache: Path, place: Path, say: Say) -> None:
    # next to the place, so that the finished root is one rename away; what was left half-made goes
    for old in cache.glob("building-*"):
        shutil.rmtree(old)
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    try:
        with _timed(say, f"fetching Debian {release}'s {recipe.ARCHITECTURE} packages"):
            packages = fetch(release, recipe.ARCHITECTURE, recipe.PACKAGES, scratch / "apt")
        root = scratch / "root"
        root.mkdir(mode=0o755)
        with _timed(say, f"unpacking {len(packages)} packages"):
            for package in packages:
                _unpack(package, root)
            _finish(root)
        with _timed(say, "compiling Python's library"):
            _compile(root)
        manifest = {"release": release, "packages": [package.name for package in packages]}
        (scratch / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(scratch / "apt")
        if place.exists():
            shutil.rmtree(place)  # without its manifest, it was never finished
        scratch.chmod(0o755)
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack(package: Path, root: Path) -> None:
    try:
        subprocess.run(
            ["dpkg-deb", "-x", str(package), str(root)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_UNPACK_S,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        words = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ConfigError(
            f"{package.name} could not be unpacked ({words[-1][:200]}): is there room on the disk?"
        ) from error


def _finish(root: Path) -> None:
    """What the packages' installation scripts would have done, as far as this board needs it."""
    for name, text in recipe.ACCOUNTS.items():
        path = root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o640 if name == "etc/shadow" else 0o644)
    for name in (recipe.HOME.lstrip("/"), "run/sshd", "proc", "sys", "dev", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    machine_id = root / "etc" / "machine-id"
    machine_id.touch()  # every board mounts its own over it


def _compile(root: Path) -> None:
    """Python's library as byte code: boards mount it read-only and would compile it at every start, emulated."""
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = root / "usr" / "lib" / own
    if library.exists():  # byte code depends on the version only, so that this machine's own Python will do
        compileall.compile_dir(library, quiet=2, stripdir=str(root), prependdir="/", workers=0)


@contextlib.contextmanager
def _timed(say: Say, step: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    say(f"{step}: {time.monotonic() - start:.1f} s")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
