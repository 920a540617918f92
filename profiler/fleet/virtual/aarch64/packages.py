"""Packages of another architecture, fetched by this machine's own apt, from the mirror that it uses itself.

apt gets folders of its own for what it knows and what it fetches, so that nothing on this machine changes; signatures
and checksums are checked by apt as always.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from profiler.errors import ConfigError

__all__ = ["fetch", "machine_release"]

_FETCH_S = 900.0
_LOOK_S = 60.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def machine_release(os_release: Path = Path("/etc/os-release")) -> str:
    """The code name of the Debian release that this machine runs, which the board runs then, too.

    Raises:
        ConfigError: it runs something else.
    """
    words = {}
    try:
        for line in os_release.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            words[name] = value.strip("\"'")
    except OSError:
        pass
    if words.get("ID") != "debian" or not words.get("VERSION_CODENAME"):
        raise ConfigError(
            "The emulated board is made of Debian's packages by Debian's tools, and this machine does not run Debian: "
            "use a machine or container that does."
        )
    return words["VERSION_CODENAME"]


def fetch(release: str, architecture: str, names: Sequence[str], folder: Path) -> list[Path]:
    """The packages named and all that they depend on, as files below `folder`.

    Raises:
        ConfigError: this machine's sources do not offer the release, or apt could not fetch it (with its own words).
    """
    config = _configure(release, architecture, folder)
    for step in (["update"], ["install", "--download-only", "--yes", *names]):
        _apt(config, "apt-get", ["-qq", *step], _FETCH_S)
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _configure(release: str, architecture: str, folder: Path) -> Path:
    """Write apt's configuration; the path of it."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()  # as if nothing were installed, so that every dependency is fetched
    sources = _sources(release)
    (folder / "sources.list").write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
    settings = {
        "Dir::State": f"{folder}/state",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
        "Dir::Etc::sourcelist": f"{folder}/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": architecture,
        "APT::Sandbox::User": "root",  # apt's own user may not enter a cache in somebody's home
        "APT::Install-Recommends": "false",
        "APT::Get::List-Cleanup": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    lines = ["#clear APT::Architectures;", f'APT::Architectures {{ "{architecture}"; }};']
    lines += [f'{name} "{value}";' for name, value in settings.items()]
    path = folder / "apt.conf"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _sources(release: str) -> list[str]:
    """The machine's own sources of this release, its updates and its security fixes."""
    template = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listing = _apt(None, "apt-get", ["indextargets", "--no-release-info", "--format", template], _LOOK_S)
    wanted = (release, f"{release}-updates", f"{release}-security")
    found = [words for line in listing.splitlines() if len(words := line.split()) == 3]
    options = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    lines = [f"deb {options}{uri} {suite} main" for uri, suite, part in found if suite in wanted and part == "main"]
    if not lines:
        raise ConfigError(
            f"This machine's apt sources do not name Debian {release} main, of which the emulated board is made: add "
            "it to /etc/apt/sources.list."
        )
    return list(dict.fromkeys(lines))


def _apt(config: Path | None, program: str, arguments: Sequence[str], limit_s: float) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    if config is not None:
        environment["APT_CONFIG"] = str(config)
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"Fetching the emulated board's packages took over {limit_s:g} s: look after the network and try again."
        ) from error
    # apt warns and goes on when a list cannot be fetched; what it has then is not what was asked for
    words = [line for line in done.stderr.splitlines() if line.startswith("E:") or "Failed to fetch" in line]
    if done.returncode or words:
        said = (words or done.stderr.splitlines() or ["it said nothing"])[0].strip()[:300]
        raise ConfigError(
            f"The emulated board's packages could not be fetched ({said}): look after the network and the mirror in "
            "/etc/apt, and try again."
        )
    return done.stdout
