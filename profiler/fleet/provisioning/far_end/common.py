"""What the operations on a board have in common: one JSON object in, one out, and files that are whole or not there."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import Any

MARK = "edgecost:"
"""Before the answer: a login shell's rc file may print lines of its own."""

PART = ".part"
RECORD = "edgecost.json"
CHUNK_BYTES = 1 << 20


def perform(operations: Any) -> None:
    """Do the operation that argv[1] names; what goes wrong is an answer too."""
    os.umask(0o077)
    try:
        answer = operations[sys.argv[1]](json.load(sys.stdin))
    except (OSError, ValueError, zipfile.BadZipFile, subprocess.SubprocessError) as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + MARK + json.dumps(answer) + "\n")


@contextlib.contextmanager
def alone(root: Any) -> Any:
    """One at a time: whatever is half-done now was interrupted, and nobody works on it."""
    os.makedirs(os.path.join(root, "env"), 0o700, exist_ok=True)
    with open(os.path.join(root, "env", "lock"), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wheels_folder(root: Any) -> Any:
    """Where wheels wait to be unpacked."""
    return os.path.join(root, "env", "wheels")


def current_file(root: Any) -> Any:
    """Which trees are in use; agents read it."""
    return os.path.join(root, "env", "current.json")


def remove(path: Any) -> None:
    """Remove a file or a tree; half a tree never bears the name of a whole one."""
    if os.path.isdir(path) and not os.path.islink(path):
        if not path.endswith(PART):
            shutil.rmtree(path + PART, ignore_errors=True)
            os.rename(path, path + PART)
            path += PART
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def sha256_of(path: Any) -> Any:
    """The hash of a file; "" where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def beginning(*parts: Any) -> Any:
    """The first megabyte of a file, which is all of the files that are read so."""
    with open(os.path.join(*parts), "rb") as file:
        return file.read(CHUNK_BYTES)


def read_object(path: Any) -> Any:
    """The JSON object that a file holds; {} where it holds none."""
    try:
        found = json.loads(beginning(path).decode("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_object(path: Any, value: Any) -> None:
    """Write a file so that it is there in full or not at all, after a power cut too."""
    with open(path + PART, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + PART, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
