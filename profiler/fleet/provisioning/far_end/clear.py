"""On a board: remove everything of ours, and nothing else."""

import contextlib
import fcntl
import os
import re
import signal
import time
from typing import Any

if __package__:  # on a board this text follows that of `common`
    from profiler.fleet.provisioning.far_end.common import beginning, perform, read_object, remove

DYING_S = 3.0
MOST_NAMES = 50
HASH = "[0-9a-f]{64}"
OURS = (
    ("agent", HASH + r"\.pyz(\..*)?"),
    ("artefacts", HASH + r"\..*"),
    ("env/*", HASH + r"(\.new)?(\.part)?|pip\.part"),
    ("env", r"current\.json(\.part)?|lock|(wheels|trial-[0-9a-f]+)(\.part)?"),
    ("sessions", r"[0-9a-f]{16,64}(\.part)?"),
    ("", r"made|lease"),
)
"""The names that we give, by folder; a folder is removed once it is empty."""


def clear(spec: Any) -> Any:
    """Remove what is ours in the workdir, then it and the parents that were made for it, as far as they are empty.

    Nothing is done while somebody holds the lease.
    """
    root = spec["root"]
    answer: Any = {"there": os.path.isdir(root), "busy": None, "ended": 0, "kept": [], "left": False}
    if not answer["there"]:
        return answer
    lock = os.open(os.path.join(root, "lease"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return dict(answer, busy=os.pread(lock, 2000, 0).decode("utf-8", "replace"))
    ended = _end_agents(root)
    top = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        top = beginning(root, "made").decode("utf-8").strip("\n")
    for where, pattern in OURS:
        for folder in _folders(root, where):
            for name in os.listdir(folder):
                if re.fullmatch(pattern, name):
                    remove(os.path.join(folder, name))
            if folder != root:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
    kept = sorted(os.path.relpath(path, root) for path in _leaves(root))
    # the workdir itself is ours even when a version that kept no such note has made it
    for folder in _upwards(root, top):
        try:
            os.rmdir(folder)
        except OSError:
            break
    return dict(answer, ended=ended, kept=kept[:MOST_NAMES], left=os.path.isdir(root))


def _folders(root: Any, where: Any) -> Any:
    folder = os.path.join(root, where.replace("/*", "")).rstrip("/")
    if os.path.islink(folder) or not os.path.isdir(folder):
        return []
    if not where.endswith("*"):
        return [folder]
    inner = [os.path.join(folder, name) for name in os.listdir(folder)]
    return [path for path in inner if os.path.isdir(path) and not os.path.islink(path)]


def _leaves(root: Any) -> Any:
    """Whatever is left: files, links and empty folders."""
    for at, folders, names in os.walk(root):
        yield from (os.path.join(at, name) for name in names)
        yield from (path for path in (os.path.join(at, name) for name in folders) if os.path.islink(path))
        if at != root and not names and not folders:
            yield at


def _upwards(root: Any, top: Any) -> Any:
    """The workdir and the parents that were made for it, the innermost first."""
    yield root
    while top and root != top and (root + "/").startswith(top + "/"):
        root = os.path.dirname(root)
        yield root


def _end_agents(root: Any) -> Any:
    """End the agents whose sessions lie in the workdir, each with its process group; how many there were."""
    ended = 0
    boot = beginning("/proc/sys/kernel/random/boot_id").decode("ascii").strip()
    for at, _, names in os.walk(root):
        agent = read_object(os.path.join(at, "agent.json")) if "agent.json" in names else {}
        pid, start = agent.get("pid"), str(agent.get("start"))
        if isinstance(pid, int) and pid > 1 and agent.get("boot_id") == boot and _started(pid) == start:
            ended += 1
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(OSError):
                    os.killpg(pid, number)
                end = time.monotonic() + DYING_S
                while _started(pid) == start and time.monotonic() < end:
                    time.sleep(0.02)
    return ended


def _started(pid: Any) -> Any:
    """When a process began, as the kernel counts; "" where there is none (a zombie is none)."""
    with contextlib.suppress(OSError, IndexError):
        fields = beginning(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")
    return ""


if __name__ == "__main__":
    perform({"clear": clear})
