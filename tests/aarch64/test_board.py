"""The emulated board by itself: another machine by all that can be seen of it, and nothing of it stays."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecost.cli import main
from profiler.errors import AuthenticationFailed, ConfigError, HostKeyMismatch
from profiler.fleet.inventory.devices import load_devices
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import CommandResult
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual.aarch64 import keys, recipe
from profiler.fleet.virtual.aarch64.board import Aarch64Board
from profiler.fleet.virtual.background import start_module, status, stop

Run = Callable[..., CommandResult]

# every system call that a detached agent leans on, in one process: starting emulated Python is what takes time
SYSTEM_CALLS = """
import fcntl, json, os, select, signal, socket, struct, tempfile, time
found = {}
os.chdir(tempfile.mkdtemp())

lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
other = os.fork()
if other == 0:
    mine = open("lock", "w")
    try:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os._exit(7)
    os._exit(0)
found["a lock keeps another process out"] = os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 7

listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen(1)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    link, _ = listener.accept()
    data = link.recv(100)
    link.sendall(data.upper())
    os.write(write, b"%d %d" % (os.getpid(), os.getpgid(0)))
    time.sleep(60)
os.waitpid(child, 0)
client = socket.socket(socket.AF_UNIX)
client.connect("socket")
client.sendall(b"hello")
found["a detached process answers at a socket"] = client.recv(100) == b"HELLO"
credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
found["the peer of a socket is known"] = struct.unpack("3i", credentials)[1] == os.getuid()
pid, group = map(int, os.read(read, 100).split())
found["it is in a group of its own"] = group == child

def fields(pid):
    return open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()
ticks = os.sysconf("SC_CLK_TCK")
age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields(pid)[19]) / ticks
found["when another process began is known"] = 0 <= age < 60
found["a process sees its own beginning as others do"] = fields("self")[19] == fields(os.getpid())[19] != "0"
found["another's group is seen"] = int(fields(pid)[2]) == group
os.killpg(group, signal.SIGKILL)
gone = time.monotonic() + 10
while os.path.exists("/proc/%d" % pid) and time.monotonic() < gone:
    time.sleep(0.01)
found["a group is ended, and its orphans are reaped"] = not os.path.exists("/proc/%d" % pid)

crash = os.fork()
if crash == 0:
    import ctypes
    ctypes.string_at(0)
found["a crash is told by its signal"] = os.waitstatus_to_exitcode(os.waitpid(crash, 0)[1]) == -signal.SIGSEGV
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
found["affinity is kept"] = len(os.sched_getaffinity(0)) == 1
waker, wakened = os.pipe()
signal.set_wakeup_fd(wakened, warn_on_full_buffer=False) if not os.set_blocking(wakened, False) else None
signal.signal(signal.SIGTERM, lambda *_: None)
os.kill(os.getpid(), signal.SIGTERM)
found["a signal wakes select"] = select.select([waker], [], [], 10)[0] == [waker]
file = open("journal", "wb")
file.write(b"x")
file.flush()
os.fsync(file.fileno())
found["files are synced"] = os.stat("journal").st_size == 1
print(json.dumps(found))
"""


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


def processes(word: str) -> list[str]:
    """The command lines of all processes of this machine that have a word in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line.split():
                found.append(line)
    return found


def leave_running(device: Device) -> str:
    """Start a process on a board in a session of its own; the word by which it is found."""
    word = f"{random.randrange(10**6, 10**7)}"
    link = connect(device)
    detached = f"import os; os.fork() or (os.setsid(), os.execvp('sleep', ['sleep', '{word}']))"
    link.run(["sh", "-c", f'python3 -c "{detached}" >/dev/null 2>&1 </dev/null'], timeout_s=60)
    link.close()
    wait_until(lambda: bool(processes(word)), "nothing was started on the board")
    return word


def wait_until(true: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Aarch64Board]:
    """Another board beside the one of all tests."""
    board = Aarch64Board(tmp_path / "second", processor="cortex-a72")
    yield board
    board.down()


def test_it_is_a_machine_of_its_own(run: Run, device: Device) -> None:
    assert run("uname", "-m").stdout == b"aarch64\n"
    assert run("id", "-un").stdout.decode().strip() == recipe.USER == device.user
    assert b"Cortex-A76" in run("cat", "/proc/cpuinfo").stdout
    assert run("ls", "/sys").stdout.split() == [b"devices"], "this machine's own /sys must stay out"
    assert run("cat", "/etc/machine-id").stdout != Path("/etc/machine-id").read_bytes()
    assert run("touch", "/usr/x").exit_status != 0, "the system is shared by boards and must not be written"
    assert run("sh", "-c", "touch ~/x /tmp/x /dev/shm/x && rm ~/x /tmp/x /dev/shm/x").exit_status == 0


def test_what_a_detached_agent_needs_works_under_emulation(run: Run) -> None:
    done = run("python3", "-c", SYSTEM_CALLS)
    assert done.exit_status == 0, done.stderr.decode()
    found = json.loads(done.stdout.splitlines()[-1])
    assert [what for what, works in found.items() if not works] == []


def test_its_key_is_pinned_and_only_ours_is_admitted(device: Device, tmp_path: Path) -> None:
    with pytest.raises(HostKeyMismatch):
        connect(replace(device, host_key="SHA256:" + "A" * 43))
    keys.public_key(tmp_path / "stranger")
    with pytest.raises(AuthenticationFailed):
        connect(replace(device, identity_file=str(tmp_path / "stranger")))
    with pytest.raises(AuthenticationFailed):
        connect(replace(device, user="root"))


def test_a_second_board_comes_and_goes_beside_it(second: Aarch64Board, run: Run, device: Device) -> None:
    servers = len(processes("/run/board/sshd_config"))
    other = second.up()
    assert other.port != device.port
    assert other.host_key != device.host_key
    link = connect(other)
    assert b"Cortex-A72" in link.run(["cat", "/proc/cpuinfo"], timeout_s=60).stdout
    word = leave_running(other)
    assert len(processes("/run/board/sshd_config")) > servers
    second.down()
    assert processes(word) == []
    assert len(processes("/run/board/sshd_config")) == servers
    assert mounts_below(second.folder) == []
    link.close()
    second.down()
    assert run("uname", "-m").stdout == b"aarch64\n", "the other board is still there"


def test_after_a_reboot_home_key_and_port_are_what_they_were(second: Aarch64Board) -> None:
    def boot_id(device: Device) -> bytes:
        link = connect(device)
        try:
            assert link.run(["touch", "kept"], timeout_s=60).exit_status == 0
            return link.run(["cat", "/proc/sys/kernel/random/boot_id"], timeout_s=60).stdout
        finally:
            link.close()

    device = second.up()
    first = boot_id(device)
    second.down()
    assert second.up() == device
    assert (second.home / "kept").exists()
    assert boot_id(device) != first


def test_one_process_at_a_time_has_it_up(board: Aarch64Board) -> None:
    with pytest.raises(ConfigError, match="up already"):
        Aarch64Board(board.folder).up()


def test_a_board_that_does_not_start_gives_its_reason(second: Aarch64Board, monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.fleet.virtual.aarch64 import board as module

    monkeypatch.setattr(module, "_CONFIG", module._CONFIG + "NoSuchOption yes\n")
    with pytest.raises(ConfigError, match="did not start .*configuration"):
        second.up()
    assert mounts_below(second.folder) == []


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of a board that another process serves."""
    yield tmp_path / "served"
    stop(tmp_path / "served")


def test_it_ends_with_a_server_that_is_killed(folder: Path) -> None:
    module = "profiler.fleet.virtual.aarch64"
    up = start_module(folder, module, ["up", "--root", str(folder)])
    assert up.up
    assert up.pid is not None
    word = leave_running(load_devices(up.devices_path)[0])
    os.kill(up.pid, signal.SIGKILL)
    wait_until(lambda: not processes(word), "a process of the board has outlived it")
    wait_until(lambda: not status(folder).up, "a process that was killed counts as alive")
    again = start_module(folder, module, ["up", "--root", str(folder)])
    assert again.ports == up.ports
    assert stop(folder)


def test_it_ends_on_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "profiler.fleet.virtual.aarch64", "up", "--root", str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert any("is up at 127.0.0.1" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not status(folder).up


def test_the_command_line_starts_it_in_the_background_and_ends_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def edgecost(*words: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["edgecost", "fleet", *words, "--aarch64", "--root", str(folder), "--json"])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        out, err = capsys.readouterr()
        assert words != ("up",) or "the system is there" in err
        return json.loads(out)

    up = edgecost("up")
    (device,) = load_devices(Path(up["devices_path"]))
    assert up["ports"] == {device.id: device.port}
    assert edgecost("status") == up
    assert edgecost("down") == {"stopped": True}
    assert not edgecost("status")["up"]
