"""Boards that go off and come back, links that are cut, and what is left behind of a fleet that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from profiler.errors import ConfigError, DeviceLost, Unreachable
from profiler.fleet.sessions.identity import process_start
from profiler.fleet.sessions.session import connect as open_session
from profiler.fleet.targets import Device
from profiler.fleet.transport.ssh import connect
from profiler.fleet.virtual import leftovers
from profiler.fleet.virtual.background import start, status, stop
from profiler.fleet.virtual.leftovers import end_processes, processes_of
from profiler.fleet.virtual.loopback import Fleet, ServerName
from profiler.fleet.virtual.openssh import find_sshd
from profiler.fleet.virtual.state import read_state

KINDS: list[ServerName] = ["asyncssh", *(["openssh"] if find_sshd() else [])]  # type: ignore[list-item]
FIRST, SECOND = "ort-fp32-t1", "ort-int8-t1"


@pytest.fixture(params=KINDS)
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, request.param) as fleet:
        yield fleet


def home_of(fleet: Fleet, board: str = FIRST) -> Path:
    return (fleet.root / "boards" / board / "home").resolve()


def boards_of(fleet: Fleet) -> list[Device]:
    """None of which waits for other fleets of this machine."""
    return [replace(device, machine=str(fleet.root)) for device in fleet.devices()]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_going_down_ends_agents_that_have_detached_themselves(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        session = open_session(boards_of(fleet)[0], "a" * 32)
        session.facts()
        session._transport.close()  # the link breaks: the agent stays
        agents = processes_of([home_of(fleet)])
        assert agents
    assert all(process_start(pid) is None for pid in agents)


def test_a_board_goes_off_and_comes_back_at_the_same_place(up: Fleet) -> None:
    first, second = boards_of(up)[:2]
    session = open_session(first, "a" * 32)
    session.facts()
    other = connect(second)
    before = processes_of([home_of(up)])
    assert before
    up.stop_board(FIRST)
    assert all(process_start(pid) is None for pid in before)
    with pytest.raises(DeviceLost):
        session.facts()
    session.close()
    with pytest.raises(Unreachable):
        connect(first)
    assert other.run(["echo", "here"], timeout_s=20).stdout == b"here\n", "another board was disturbed"
    other.close()
    up.stop_board(FIRST)  # it is off already
    up.start_board(FIRST)
    link = connect(first)
    assert link.exists(".cache/edgecost/agent"), "its home was not kept"
    link.close()


def test_a_server_that_ends_leaves_the_agent_at_work(up: Fleet) -> None:
    first = boards_of(up)[0]
    session = open_session(first, "a" * 32)
    agent = session.facts() and max(processes_of([home_of(up)]))
    up.stop_board(FIRST, kill_agent=False)
    session.close()
    alive = processes_of([home_of(up)])
    assert alive, f"the agent {agent} was ended"
    up.start_board(FIRST)
    with open_session(first, "a" * 32) as again:
        assert again.facts()
        assert set(alive) <= set(processes_of([home_of(up)]))


def test_a_cut_breaks_a_boards_links_and_no_others(up: Fleet) -> None:
    links = [connect(device) for device in boards_of(up)[:2]]
    channels = [link.open(["cat"]) for link in links]
    up.cut(FIRST)
    with pytest.raises(DeviceLost):
        channels[0].read_line(20)
    channels[1].write_line(b"here")
    assert channels[1].read_line(20) == b"here"
    connect(boards_of(up)[0]).close()
    for link in links:
        link.close()


def test_only_a_fleet_that_is_up_has_boards_to_switch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not up"):
        Fleet(tmp_path).stop_board(FIRST)


@pytest.mark.parametrize(("kind", "how"), [*((kind, "up") for kind in KINDS), (KINDS[-1], "down")])
def test_what_a_killed_fleet_left_is_ended_when_it_comes_up_again_or_is_put_down(
    tmp_path: Path, kind: ServerName, how: str
) -> None:
    found = start(tmp_path, kind)
    assert found.pid is not None
    try:
        device = next(device for device in boards_of(Fleet(tmp_path)) if device.id == FIRST)
        session = open_session(device, "a" * 32)
        session.facts()
        state = read_state(tmp_path)
        assert state is not None
        home = tmp_path / "boards" / FIRST / "home"
        os.kill(found.pid, signal.SIGKILL)
        wait_for(lambda: not status(tmp_path).up, "it was not killed")
        session._transport.close()  # without a farewell to the agent
        left = {*processes_of([home]).items(), *state.helpers}
        assert len(left) >= (1 if kind == "asyncssh" else 7)
        if how == "down":
            assert not stop(tmp_path)
        else:
            with Fleet(tmp_path, kind) as fleet:
                assert {each.id: each.port for each in fleet.devices()} == dict(found.ports), "ports are still taken"
        assert not [pid for pid, began in left if process_start(pid) == began]
    finally:
        stop(tmp_path)


def test_only_processes_of_the_home_and_the_very_ones_named_are_ended(tmp_path: Path) -> None:
    def sleeper(**environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], env={**os.environ, **environment})

    (tmp_path / "home").mkdir()
    ours, named = sleeper(HOME=str(tmp_path / "home")), sleeper()
    others = [sleeper(), sleeper(HOME=str(tmp_path)), sleeper(OLD_HOME=str(tmp_path / "home"))]
    try:
        starts = [process_start(each.pid) or "" for each in (named, others[0])]
        wait_for(lambda: ours.pid in processes_of([tmp_path / "home"]), "it was not found")
        count = end_processes([tmp_path / "home"], [(named.pid, starts[0]), (others[0].pid, starts[1] + "1")])
        assert count == 2
        assert [each.wait(20) for each in (ours, named)] == [-signal.SIGKILL] * 2
        assert [each.poll() for each in others] == [None] * 3
    finally:
        for each in (ours, named, *others):
            each.kill()
            each.wait()


def test_a_number_that_has_passed_to_another_process_is_spared() -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        leftovers._kill(stranger.pid, "another start")
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.2)
        leftovers._kill(stranger.pid, process_start(stranger.pid) or "")
        assert stranger.wait(20) == -signal.SIGKILL


def test_this_process_is_spared(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from profiler.fleet.virtual.leftovers import end_processes\n"
        "print(end_processes([Path(os.environ['HOME'])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True,
        cwd=Path(__file__).parents[4],
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
