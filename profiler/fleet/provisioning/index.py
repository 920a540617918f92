"""The host's own pip, with its user's configuration, asked for a board's wheels.

It resolves by `pip install --dry-run --report`, which loads metadata alone where an index offers that: what a build for
GPUs needs is known before gigabytes of it are here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from profiler.errors import ConfigError
from profiler.fleet.messages import escape
from profiler.fleet.provisioning.platform_tags import BoardPython
from profiler.fleet.provisioning.resolving import Found

__all__ = ["Index", "NoWheel"]

_PIP_S = 3600.0
"""Half a gigabyte over a slow line."""

_UNREACHABLE = ("Retrying (", "NewConnectionError", "ProxyError", "SSLError", "401 ", "403 ")


class NoWheel(Exception):
    """The index has no wheel that satisfies a requirement on a board.

    Attributes:
        requirement: which one.
    """

    def __init__(self, requirement: str, board: BoardPython) -> None:
        super().__init__(f"no wheel of {requirement} for {board.name}")
        self.requirement = requirement


class Index:
    """What pip can find for one kind of board."""

    def __init__(self, board: BoardPython) -> None:
        self._board = board
        self._versions: dict[str, list[Version]] = {}

    def look_up(self, requirements: Sequence[Requirement]) -> list[Found]:
        """The best wheel for each of the requirements; what these need in turn is not looked at.

        Raises:
            NoWheel: for one of them there is none.
            ConfigError: pip fails, or reaches no index.
        """
        words = [str(requirement) for requirement in requirements]
        with tempfile.TemporaryDirectory(prefix="edgecost-") as folder:
            report = Path(folder, "report.json")
            options = ["--dry-run", "--ignore-installed", "--no-deps", "--target", str(Path(folder, "none"))]
            failure = self._pip("install", *options, *self._board.pip_options, "--report", str(report), *words)
            if failure is None:
                return [self._found(item) for item in json.loads(report.read_text("utf-8"))["install"]]
        if len(requirements) > 1:  # one by one, to learn which one it is
            return [found for requirement in requirements for found in self.look_up([requirement])]
        raise self._failed(failure, words[0])

    def _found(self, item: Any) -> Found:
        """One entry of pip's report, whose format is documented and has a version."""
        download, metadata = item["download_info"], item["metadata"]
        filename = unquote(urlsplit(download["url"]).path.rpartition("/")[2])
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except (InvalidWheelFilename, InvalidVersion):
            tags = frozenset()
        if not tags & self._board.tags:
            what = escape(filename, 200)
            raise ConfigError(f"pip offers {what}, which does not suit {self._board.name}: update pip here.")
        return Found(
            name=name,
            version=str(version),
            filename=filename,
            sha256=download.get("archive_info", {}).get("hashes", {}).get("sha256", ""),
            requires=tuple(metadata.get("requires_dist", ())),
        )

    def versions(self, name: str) -> list[Version]:
        """All versions of a distribution that have a wheel for the board, the newest first; [] where pip has none."""
        if name not in self._versions:
            self._versions[name] = self._ask_versions(name)
        return self._versions[name]

    def _ask_versions(self, name: str) -> list[Version]:
        done = _run([*_command("index"), "versions", name, *self._board.pip_options])
        for line in done.stdout.splitlines():
            if line.startswith("Available versions:"):
                return _versions(line.partition(":")[2].split(","))
        return []

    def download(self, wanted: Iterable[Found], folder: Path) -> dict[str, Path]:
        """Fetch wheels into an empty folder; their paths by distribution.

        Raises:
            ConfigError: pip fails, or fetches something else than it was asked for.
        """
        pins = {found.name: f"{found.name}=={found.version}" for found in wanted}
        failure = self._pip("download", "--no-deps", *self._board.pip_options, "-d", str(folder), *pins.values())
        if failure is not None:
            raise self._failed(failure, ", ".join(pins.values()))
        paths: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            try:
                name, version, _, _ = parse_wheel_filename(path.name)
            except (InvalidWheelFilename, InvalidVersion):
                continue
            if pins.get(name) == f"{name}=={version}":
                paths[name] = path
        if len(paths) != len(pins):
            missing = ", ".join(pins[name] for name in pins if name not in paths)
            raise ConfigError(f"pip did not bring {missing}, though it said so: update pip here.")
        return paths

    def _pip(self, *words: str) -> str | None:
        """Run pip; what it said where it failed."""
        done = _run([*_command(words[0]), *words[1:]])
        return None if done.returncode == 0 else done.stdout

    def _failed(self, said: str | None, requirement: str) -> Exception:
        text = said or ""
        last = escape((text.strip().splitlines() or ["it said nothing"])[-1], 300)
        if "No module named pip" in text:
            return ConfigError(f"There is no pip for {sys.executable}: install it (`python -m ensurepip`).")
        # an index that cannot be reached looks to pip like one that has nothing
        reasons = [line.strip() for line in text.splitlines() if any(word in line for word in _UNREACHABLE)]
        if reasons:
            return ConfigError(
                f"pip cannot reach its index for {requirement} ({escape(reasons[-1], 300)}): check the network and "
                "pip's configuration here."
            )
        if "No matching distribution found" in text:
            return NoWheel(requirement, self._board)
        return ConfigError(f"pip failed for {requirement} ({last}): mend that, or update pip here (22.2 or later).")


def _command(verb: str) -> list[str]:
    return [sys.executable, "-m", "pip", verb, "--no-input", "--disable-pip-version-check"]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # --user, where it is configured, excludes --target
    environment = {**os.environ, "PIP_USER": "0", "PIP_PROGRESS_BAR": "off", "PYTHONUTF8": "1"}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_PIP_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"pip took longer than {_PIP_S:g} s here: check the network, then run this again.") from error


def _versions(words: Iterable[str]) -> list[Version]:
    found = []
    for word in words:
        try:
            found.append(Version(word.strip()))
        except InvalidVersion:
            continue
    return sorted(found, reverse=True)
