"""What every transport must do, asked of SSH and of plain subprocesses alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.errors import DeviceError, DeviceTimeout
from profiler.fleet.targets import Device
from profiler.fleet.transport.base import MAX_OUTPUT_BYTES, Transport
from profiler.fleet.transport.local import LocalTransport
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual.openssh import find_sshd


@pytest.fixture(params=["ssh", "local", *(["openssh"] if find_sshd() else [])])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    """Over SSH to a server in process and, where it is installed, to OpenSSH's own; and without any."""
    link: Transport
    if request.param == "local":
        link = LocalTransport(tmp_path)
    else:
        board: Device = request.getfixturevalue("board" if request.param == "ssh" else "openssh_board")
        link = connect(board)
    yield link
    link.close()
    link.close()  # twice is allowed


@pytest.fixture
def home(transport: Transport) -> str:
    return transport.run(["sh", "-c", 'printf %s "$HOME"'], timeout_s=10).stdout.decode()


def test_a_command_leaves_its_streams_and_status(transport: Transport) -> None:
    result = transport.run(["sh", "-c", "cat; echo err >&2; exit 7"], timeout_s=10, stdin=b"in\0put")
    assert (result.exit_status, result.stdout, result.stderr, result.truncated) == (7, b"in\0put", b"err\n", False)


def test_a_program_that_ends_before_reading_its_input_says_so_by_its_status(transport: Transport) -> None:
    result = transport.run(["sh", "-c", "exec 0<&-; echo why >&2; exit 127"], timeout_s=30, stdin=bytes(8_000_000))
    assert (result.exit_status, result.stderr) == (127, b"why\n")


def test_arguments_are_never_interpreted(transport: Transport) -> None:
    words = ["$HOME", "a b", "`id`", "';"]
    assert transport.run(["printf", r"%s\n", *words], timeout_s=10).stdout.decode().splitlines() == words


def test_what_a_command_prints_beyond_the_limit_is_dropped(transport: Transport) -> None:
    size = 5 * MAX_OUTPUT_BYTES  # more than SSH's window, on both streams
    code = f"import sys; sys.stderr.write('e' * {size}); sys.stdout.write('o' * {size})"
    result = transport.run(["python3", "-c", code], timeout_s=60)
    assert (result.exit_status, result.truncated) == (0, True)
    assert (result.stdout, result.stderr) == (b"o" * MAX_OUTPUT_BYTES, b"e" * MAX_OUTPUT_BYTES)


def test_a_command_that_takes_too_long_is_a_timeout_and_the_link_goes_on(transport: Transport) -> None:
    with pytest.raises(DeviceTimeout):
        transport.run(["sleep", "60"], timeout_s=0.3)
    assert transport.run(["echo", "on"], timeout_s=10).stdout == b"on\n"


def test_a_conversation_in_lines(transport: Transport) -> None:
    channel = transport.open(["sh", "-c", 'while read -r line; do echo "<$line>"; done; echo bye >&2; exit 3'])
    channel.write_line(b"one")
    assert channel.read_line(10) == b"<one>"
    channel.write_line(b"two")
    assert channel.read_line(10) == b"<two>"
    with pytest.raises(DeviceTimeout):
        channel.read_line(0.2)
    channel.write_line(b"three")
    assert channel.read_line(10) == b"<three>"
    assert channel.exit_status(0.05) is None
    channel.close()
    channel.close()


def test_a_conversation_that_ends_by_itself(transport: Transport) -> None:
    channel = transport.open(["sh", "-c", "echo last; echo why >&2; exit 3"])
    assert channel.read_line(10) == b"last"
    assert channel.read_line(10) is None
    assert channel.exit_status(10) == 3
    assert channel.stderr_tail() == b"why\n"
    channel.close()


def test_a_torrent_of_stderr_does_not_stop_the_conversation(transport: Transport) -> None:
    code = "import sys\nfor _ in range(80): sys.stderr.write('x' * 100000)\nprint('done', flush=True)"
    channel = transport.open(["python3", "-c", code])
    assert channel.read_line(60) == b"done"
    assert len(channel.stderr_tail()) == 8192
    channel.close()


def test_closing_a_conversation_ends_a_command_that_reads_its_input(transport: Transport) -> None:
    channel = transport.open(["sh", "-c", "echo $$; exec cat"])
    pid = int(channel.read_line(10) or b"0")
    channel.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the command outlived its conversation"
        time.sleep(0.05)


def test_files_arrive_whole_and_private(transport: Transport, home: str) -> None:
    path = f"{home}/a b'$x"
    assert not transport.exists(path)
    data = bytes(range(256)) * 5000
    for content in (data, b"", b"new"):
        transport.put(content, path)
        assert transport.exists(path)
        assert Path(path).read_bytes() == content
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert [p for p in Path(home).iterdir() if p.name.endswith(".part")] == []
    Path(path).unlink()


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(transport: Transport, home: str) -> None:
    with pytest.raises(DeviceError, match="no-folder/x"):
        transport.put(b"x", f"{home}/no-folder/x")
    assert transport.run(["echo", "on"], timeout_s=10).stdout == b"on\n"


def test_writing_to_a_command_that_has_ended_is_noticed(transport: Transport) -> None:
    channel = transport.open(["true"])
    assert channel.read_line(10) is None
    assert channel.exit_status(10) == 0
    with pytest.raises(DeviceError):
        channel.write_line(b"x" * 10_000_000)
    channel.close()
