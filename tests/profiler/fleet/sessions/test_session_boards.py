"""Sessions with the real agent, over SSH to the embedded boards of both kinds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import AgentCrashed, BoardFull, DeviceBusy, DeviceLost
from profiler.fleet.sessions import pushing
from profiler.fleet.sessions.identity import process_start
from profiler.fleet.sessions.session import BoardSession, connect
from profiler.fleet.targets import Device, LeaseTerms
from profiler.fleet.transport.ssh import connect as connect_ssh
from profiler.fleet.virtual.openssh import find_sshd
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.build import WorkloadBuilder

QUICK = MeasureConfig(min_batch_s=0.0002, warmup_runs=1, warmup_s=0.0, min_batches=5, cap_s=0.02, job_timeout_s=60.0)
SLOW = replace(QUICK, min_batches=1_000_000, cap_s=50.0)
SESSION = "00112233445566778899aabbccddeeff"
ROOT = Path(__file__).parents[4]
KINDS = ["lone_board", *(["lone_openssh_board"] if find_sshd() else [])]


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artefact]:
    cache = ArtefactCache(tmp_path_factory.mktemp("artefacts"))
    made = []
    for channels in (4, 8):
        builder = WorkloadBuilder("tiny")
        workload = builder.build(builder.relu(builder.conv2d(builder.input((1, 4, 8, 8)), channels, kernel=3)))
        made.append(cache.get(workload, "onnxruntime", "fp32"))
    return made


@pytest.fixture
def own_machine(tmp_path: Path) -> dict[str, Any]:
    """A board that does not wait for the others of this machine, and whose agent works on alone."""
    return {"machine": str(tmp_path), "shared": False, "lease": LeaseTerms(wait_s=0.3)}


@pytest.fixture
def lone_board(fresh_board: Device, own_machine: dict[str, Any]) -> Device:
    return replace(fresh_board, **own_machine)


@pytest.fixture
def lone_openssh_board(openssh_board: Device, own_machine: dict[str, Any], tmp_path: Path) -> Device:
    return replace(openssh_board, workdir=f"~/{tmp_path.name}", **own_machine)


def run(session: BoardSession, artefacts: list[Artefact], *keys: str, config: MeasureConfig = QUICK) -> list[Any]:
    jobs = [BoardJob(key, artefacts[place % len(artefacts)]) for place, key in enumerate(keys)]
    return list(session.run(jobs, session.device.targets[0], config))


def lease_of(session: BoardSession) -> dict[str, Any]:
    assert session._store is not None
    return dict(json.loads(Path(session._store._place.lease).read_text()))


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return process_start(pid) is None


@pytest.mark.parametrize("where", KINDS)
def test_a_block_is_measured(request: pytest.FixtureRequest, where: str, artefacts: list[Artefact]) -> None:
    board: Device = request.getfixturevalue(where)
    with connect(board, SESSION) as session:
        facts = session.facts()
        agent = lease_of(session)["agent_pid"]
        results = run(session, artefacts, "a", "b", "c")
        assert run(session, artefacts, "d")[0][0] == "d"
        once = session.measure(artefacts[0], board.targets[0], QUICK, fresh=True)
    assert facts.logical_cores == os.cpu_count()
    assert facts.runtimes["onnxruntime"]
    assert [key for key, _ in results] == ["a", "b", "c"]
    for reply in (*(reply for _, reply in results), once):
        assert (reply.status, reply.error) == ("ok", "")
        assert len(reply.samples_ns) >= QUICK.min_batches
        assert reply.output_error is not None
        assert reply.output_error < 1e-3
    wait_for(lambda: gone(agent), "an idle agent kept the board")


@pytest.mark.parametrize("where", KINDS)
def test_what_was_done_is_there_for_the_next_session_until_it_is_forgotten(
    request: pytest.FixtureRequest, where: str, artefacts: list[Artefact], monkeypatch: pytest.MonkeyPatch
) -> None:
    board: Device = request.getfixturevalue(where)
    with connect(board, SESSION) as session:
        before = run(session, artefacts, "a", "b")
    with connect(board, SESSION) as session:
        assert session.interrupted() == []
        assert run(session, artefacts, "b", "a") == [("a", before[0][1]), ("b", before[1][1])]
        session.finish()
    monkeypatch.setattr(pushing, "put", lambda *_: pytest.fail("an artefact was sent twice"))
    with connect(board, SESSION) as session:
        assert run(session, artefacts, "a")[0][1] != before[0][1]
        assert session._store is not None
        folder = Path(session._store._place.folder) / "sessions"
        session.finish()
    wait_for(lambda: not list(folder.iterdir()), "the session was not forgotten")


def test_one_command_finds_everything_in_place(lone_board: Device, artefacts: list[Artefact]) -> None:
    def counted() -> tuple[BoardSession, list[str]]:
        link = connect_ssh(lone_board)
        did: list[str] = []
        for name in ("run", "open", "put"):
            act = getattr(link, name)
            setattr(
                link, name, lambda *given, _act=act, _name=name, **more: (did.append(_name), _act(*given, **more))[1]
            )
        return BoardSession(lone_board, link, SESSION), did

    session, did = counted()
    with session:
        run(session, artefacts, "a", "b", "c")
    assert did == ["open", "put", "open", "put", "put"]
    session, did = counted()
    with session:
        session.facts()
        run(session, artefacts, "d", "a")
    assert did == ["open"]


def test_a_worker_that_dies_is_a_reply_and_the_block_goes_on(lone_board: Device, artefacts: list[Artefact]) -> None:
    with connect(lone_board, SESSION) as session:
        agent = lease_of(session)["agent_pid"]

        def kill() -> None:
            listing = Path(f"/proc/{agent}/task/{agent}/children")
            wait_for(lambda: listing.read_text().split(), "no worker")
            wait_for(lambda: _cpu_s(int(listing.read_text().split()[0])) > 0.6, "the worker does not work")
            os.kill(int(listing.read_text().split()[0]), signal.SIGSEGV)

        thread = threading.Thread(target=kill)
        thread.start()
        (_, reply), *_ = run(session, artefacts, "a", config=SLOW)
        thread.join()
        assert reply.status == "crashed"
        assert "SIGSEGV" in reply.error
        assert [(key, reply.status) for key, reply in run(session, artefacts, "a", "b")][1] == ("b", "ok")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_link_breaks_and_the_board_works_on(lone_board: Device, artefacts: list[Artefact], proxy: Any) -> None:
    keys = [f"k{n}" for n in range(8)]
    config = replace(QUICK, min_batches=1_000_000, cap_s=0.15)
    with connect(replace(lone_board, port=proxy.port), SESSION) as session:
        agent = lease_of(session)["agent_pid"]
        going = session.run([BoardJob(key, artefacts[0]) for key in keys], lone_board.targets[0], config)
        first, _ = next(going)
        proxy.cut()
        with pytest.raises(DeviceLost):
            list(going)
        with pytest.raises(DeviceLost, match="connect again"):
            session.facts()
    with connect(lone_board, SESSION) as session:
        assert lease_of(session)["agent_pid"] == agent
        time.sleep(0.4)  # live entries pile up before anybody asks
        results = run(session, artefacts[:1], *keys, config=config)
        assert session.interrupted() == []
    assert first == "k0"
    assert [(key, reply.status) for key, reply in results] == [(key, "ok") for key in keys]


def test_an_agent_that_is_killed_is_a_crash_and_its_job_was_interrupted(
    lone_board: Device, artefacts: list[Artefact]
) -> None:
    with connect(lone_board, SESSION) as session:
        agent = lease_of(session)["agent_pid"]
        run(session, artefacts, "a")
        threading.Timer(0.3, os.kill, (agent, signal.SIGKILL)).start()
        with pytest.raises((AgentCrashed, DeviceLost)):
            run(session, artefacts, "b", "c", config=SLOW)
    with connect(lone_board, SESSION) as session:
        assert session.interrupted() == ["b"]
        assert [key for key, _ in run(session, artefacts, "a", "b", "c")] == ["a", "b", "c"]


def test_a_board_in_use_says_by_whom_and_is_free_afterwards(lone_board: Device) -> None:
    with (
        connect(lone_board, SESSION),
        pytest.raises(DeviceBusy, match=rf"in use by .*@.*process {os.getpid()}, since \d"),
        connect(lone_board, "f" * 32),
    ):
        pytest.fail("two had it")
    with connect(lone_board, "f" * 32) as session:
        session.facts()


def test_what_a_killed_host_left_is_ended_by_another_run(
    lone_board: Device, artefacts: list[Artefact], fleet: Any, tmp_path: Path
) -> None:
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from profiler.fleet.inventory.devices import load_devices\n"
        "from profiler.fleet.sessions.session import connect\n"
        "board = replace(load_devices(Path(sys.argv[1]))[0], workdir=sys.argv[2], machine=sys.argv[2], shared=False)\n"
        "connect(board, 'e' * 32).__enter__(); print('up', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(fleet.devices_path), lone_board.workdir]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"up\n"
        with pytest.raises(DeviceBusy, match=f"process {host.pid}"), connect(lone_board, SESSION):
            pytest.fail("two had it")
        host.kill()
    with connect(lone_board, SESSION) as session:
        assert lease_of(session)["session"] == SESSION


def test_a_shared_boards_queue_stops_with_its_host(
    fresh_board: Device, artefacts: list[Artefact], tmp_path: Path, proxy: Any
) -> None:
    board = replace(fresh_board, machine=str(tmp_path), shared=True)
    keys = [f"k{n}" for n in range(4)]
    config = replace(QUICK, min_batches=1_000_000, cap_s=0.3)
    with connect(replace(board, port=proxy.port), SESSION) as session:
        journal = Path(session._store._place.folder) / "sessions" / SESSION / "journal.jsonl"  # type: ignore[union-attr]
        going = session.run([BoardJob(key, artefacts[0]) for key in keys], board.targets[0], config)
        next(going)
        proxy.cut()
        with pytest.raises(DeviceLost):
            list(going)
    wait_for(lambda: journal.read_text().count("result") == 2, "the job in hand was not ended")
    time.sleep(0.3)
    assert journal.read_text().count("started") == 2
    with connect(board, SESSION) as session:
        assert [key for key, _ in run(session, artefacts[:1], *keys, config=config)] == keys


def test_jobs_whose_artefacts_do_not_fit_are_left_out(
    lone_board: Device, artefacts: list[Artefact], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pushing.put

    def put(transport: Any, device: Device, place: Any, data: bytes, path: str) -> None:
        if artefacts[1].sha256 in path:
            raise BoardFull("no room", device.id)
        real(transport, device, place, data, path)

    monkeypatch.setattr(pushing, "put", put)
    done = []
    with connect(lone_board, SESSION) as session:
        with pytest.raises(BoardFull):
            for key, _ in session.run(
                [BoardJob(key, artefacts[place % 2]) for place, key in enumerate("abcd")], lone_board.targets[0], QUICK
            ):
                done.append(key)
        assert done == ["a", "c"]
        monkeypatch.undo()
        assert [key for key, _ in run(session, artefacts, "c", "d")] == ["c", "d"]
