"""On a board: a runtime's tree, env/RUNTIME/DIGEST, made of wheels or by the board's own pip, tried, and accepted."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from typing import Any

if __package__:  # on a board this text follows that of `common`
    from profiler.fleet.provisioning.far_end.common import (
        CHUNK_BYTES,
        PART,
        RECORD,
        alone,
        beginning,
        current_file,
        perform,
        read_object,
        remove,
        sha256_of,
        wheels_folder,
        write_object,
    )

MOST_TEXT = 2000
DATA_KINDS = ("purelib", "platlib", "data")
"""Of what a wheel may have apart; scripts and headers are left out, since nothing is run from there or compiled."""


def have(spec: Any) -> Any:
    """Which of the wheels are not on the board whole."""
    folder = wheels_folder(spec["root"])
    os.makedirs(folder, 0o700, exist_ok=True)
    return {"missing": [sha for sha in spec["wheels"] if sha256_of(os.path.join(folder, sha + ".whl")) != sha]}


def unpack(spec: Any) -> Any:
    """Make the tree of wheels, whose hashes are looked at once more; whether it was there already."""
    base, final = _places(spec)
    with alone(spec["root"]):
        _sweep(spec["root"], base)
        if os.path.isdir(final) and not spec["anew"]:
            return {"there": True}
        tree = final + ".new" + PART  # ".part" alone is what a tree is called while it is removed
        os.makedirs(tree, 0o700)
        for sha in spec["wheels"]:
            path = os.path.join(wheels_folder(spec["root"]), sha + ".whl")
            if sha256_of(path) != sha:
                raise ValueError(f"the wheel {path} is damaged")
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    _extract(archive, member, tree)
        _settle(tree, final, spec["record"])
    return {"there": False}


def _extract(archive: Any, member: Any, tree: Any) -> None:
    """One file of a wheel. A wheel holds no links, and nothing that would lie outside its tree."""
    parts = member.filename.split("/")
    if not parts[-1]:
        return  # a folder
    if stat.S_ISLNK(member.external_attr >> 16) or any(p in ("", ".", "..") or "\\" in p or "\0" in p for p in parts):
        raise ValueError(f"the wheel {archive.filename} holds the bad name {member.filename!r}")
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in DATA_KINDS:
            return
        parts = parts[2:]
    path = os.path.join(tree, *parts)
    if os.path.lexists(path):
        return  # packages that share a folder bring the same file along
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    mode = 0o700 if member.external_attr >> 16 & 0o100 else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file, archive.open(member) as source:
        shutil.copyfileobj(source, file, CHUNK_BYTES)


def by_pip(spec: Any) -> Any:
    """Make the tree with the board's own pip and index; its digest is that of the installed packages' records."""
    base = _places(spec)[0]
    pip = [sys.executable, "-m", "pip"]
    nothing = {"pip": True, "error": "", "digest": "", "distributions": {}, "bytes": 0}
    with alone(spec["root"]):
        _sweep(spec["root"], base)
        if subprocess.call([*pip, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0:
            return dict(nothing, pip=False)
        tree = os.path.join(base, "pip" + PART)
        os.makedirs(tree, 0o700)
        options = ["--only-binary=:all:", "--no-compile", "--no-input", "--disable-pip-version-check", "--quiet"]
        done = subprocess.run(
            [*pip, "install", *options, "--target", tree, *spec["requirements"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=spec["timeout_s"],
        )
        if done.returncode != 0:
            words = done.stdout.decode("utf-8", "replace").strip()[-MOST_TEXT:]
            return dict(nothing, error=words or "it said nothing")
        infos = sorted(name for name in os.listdir(tree) if name.endswith(".dist-info"))
        digest = hashlib.sha256(b"\0".join(beginning(tree, name, "RECORD") for name in infos)).hexdigest()
        distributions = dict(_distribution(tree, name) for name in infos)
        size = sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(tree) for name in names)
        _settle(tree, os.path.join(base, digest), spec["record"])
    return dict(nothing, digest=digest, distributions=distributions, bytes=size)


def _distribution(tree: Any, info: Any) -> Any:
    """Name and version of an installed distribution."""
    head = beginning(tree, info, "METADATA").decode("utf-8", "replace").split("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in reversed(head.splitlines()) if ": " in line)
    return fields.get("Name", "").strip(), fields.get("Version", "").strip()


def try_out(spec: Any) -> Any:
    """Make a workdir of its own below env/ whose only environment is the tree to be tried."""
    folder = _trial(spec)
    os.makedirs(os.path.join(folder, "env"), 0o700)
    write_object(current_file(folder), {spec["runtime"]: _entry(spec)})
    return {"folder": folder}


def accept(spec: Any) -> Any:
    """Have a tree used from now on; remove what it replaces and what was needed to make it."""
    base, final = _places(spec)
    current = current_file(spec["root"])
    with alone(spec["root"]):
        write_object(os.path.join(final, RECORD), spec["record"])
        write_object(current, dict(read_object(current), **{spec["runtime"]: _entry(spec)}))
        for name in os.listdir(base):
            if name != spec["digest"]:
                remove(os.path.join(base, name))
        remove(_trial(spec))
        remove(wheels_folder(spec["root"]))
    return {}


def discard(spec: Any) -> Any:
    """Remove a tree that was tried in vain, unless it is the one in use."""
    used = read_object(current_file(spec["root"])).get(spec["runtime"])
    with alone(spec["root"]):
        remove(_trial(spec))
        if not (isinstance(used, dict) and used.get("digest") == spec["digest"]):
            remove(_places(spec)[1])
    return {}


def _places(spec: Any) -> Any:
    base = os.path.join(spec["root"], "env", spec["runtime"])
    return base, os.path.join(base, spec["digest"])


def _trial(spec: Any) -> Any:
    return os.path.join(spec["root"], "env", "trial-" + spec["token"])


def _entry(spec: Any) -> Any:
    return {"digest": spec["digest"], "site": _places(spec)[1], "distributions": spec["distributions"]}


def _sweep(root: Any, base: Any) -> None:
    """Remove what was interrupted; whoever is here has the board's lease, so nobody else's trial is under way."""
    for folder in (base, wheels_folder(root), os.path.join(root, "env")):
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(PART) or name.startswith("trial-"):
                remove(os.path.join(folder, name))


def _settle(tree: Any, final: Any, record: Any) -> None:
    """Rename a finished tree into its place, once all of it is on the disk; what is there makes way."""
    write_object(os.path.join(tree, RECORD), record)
    os.sync()
    remove(final)
    os.rename(tree, final)


if __name__ == "__main__":
    perform({f.__name__: f for f in (have, unpack, by_pip, try_out, accept, discard)})
