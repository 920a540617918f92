"""Sessions with the real agent over SSH, and with agents that misbehave in every way we know."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import AgentCrashed, ArtefactError, DeviceBusy, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet import session as session_module
from profiler.fleet.leases import machine_lease
from profiler.fleet.session import BoardSession, SessionLimits, connect
from profiler.fleet.targets import Device, Target
from profiler.fleet.transport.local import LocalTransport
from profiler.fleet.transport.ssh import connect as connect_ssh
from profiler.fleet.virtual.openssh import find_sshd
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.expected import Expected

QUICK = MeasureConfig(min_batch_s=0.0002, warmup_runs=1, warmup_s=0.0, min_batches=5, cap_s=0.1, job_timeout_s=60.0)
BRIEF = SessionLimits(start_s=10, board_lease_s=0.2, machine_lease_s=0.2, silence_s=1.0, margin_s=0.5)


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    builder = WorkloadBuilder("tiny")
    workload = builder.build(builder.relu(builder.conv2d(builder.input((1, 4, 8, 8)), 4, kernel=3)))
    return ArtefactCache(tmp_path_factory.mktemp("artefacts")).get(workload, "onnxruntime", "fp32")


def children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listing.read_text().split()] if listing.exists() else []


# The real agent, over SSH


@pytest.mark.parametrize("where", ["fresh_board", *(["openssh_board"] if find_sshd() else [])])
def test_a_model_is_measured(request: pytest.FixtureRequest, where: str, artefact: Artefact) -> None:
    fresh_board: Device = request.getfixturevalue(where)
    with connect(fresh_board) as session:
        facts = session.facts()
        session.fresh_worker()
        replies = [session.measure(artefact, fresh_board.targets[0], QUICK) for _ in range(2)]
    assert facts.logical_cores == os.cpu_count()
    assert facts.executable == sys.executable
    assert facts.runtimes["onnxruntime"]
    for reply in replies:
        assert (reply.status, reply.error) == ("ok", "")
        assert len(reply.samples_ns) >= QUICK.min_batches
        assert reply.runs_per_batch >= 1
        assert reply.output_error is not None
        assert reply.output_error < 1e-3


def test_agent_and_artefacts_are_sent_once(
    fresh_board: Device, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def session() -> BoardSession:
        link = connect_ssh(fresh_board)
        put = link.put
        monkeypatch.setattr(link, "put", lambda data, remote: (sent.append(Path(remote).name), put(data, remote)))
        return BoardSession(fresh_board, link)

    with session() as first:
        first.measure(artefact, fresh_board.targets[0], QUICK)
        first.measure(artefact, fresh_board.targets[0], QUICK)
    assert sent == [f"{session_module.build_agent()[1]}.pyz", f"{artefact.sha256}.onnx"]
    with session() as second:
        assert second.measure(artefact, fresh_board.targets[0], QUICK).status == "ok"
    assert len(sent) == 2


def test_what_has_decayed_on_the_board_is_sent_again(fresh_board: Device, artefact: Artefact) -> None:
    def stored() -> list[Path]:
        link = connect_ssh(fresh_board)
        home = Path(link.run(["pwd"], timeout_s=10).stdout.decode().strip())
        link.close()
        return sorted((home / fresh_board.workdir[2:]).glob("*/*"))

    with connect(fresh_board) as session:
        session.measure(artefact, fresh_board.targets[0], QUICK)
    files = stored()
    assert len(files) == 2
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        path.write_bytes(path.read_bytes()[:-7])
    with connect(fresh_board) as session:
        assert session.measure(artefact, fresh_board.targets[0], QUICK).status == "ok"
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in stored())


def test_the_workdir_is_private(fresh_board: Device) -> None:
    with connect(fresh_board):
        link = connect_ssh(fresh_board)
        out = link.run(
            ["sh", "-c", 'stat -c %a "$HOME"/"$1" "$HOME"/"$1"/*', "sh", fresh_board.workdir[2:]], timeout_s=10
        )
        link.close()
    assert set(out.stdout.split()) == {b"700", b"600"}


def test_a_worker_that_dies_is_a_reply_and_the_session_goes_on(fresh_board: Device, artefact: Artefact) -> None:
    with connect(fresh_board) as session:
        agent = _agent_pid(session)
        session.fresh_worker()
        (worker,) = children(agent)
        slow = replace(QUICK, min_batches=100_000, cap_s=30.0)
        threading.Timer(1.0, os.kill, (worker, signal.SIGSEGV)).start()
        reply = session.measure(artefact, fresh_board.targets[0], slow)
        assert reply.status == "crashed"
        assert "SIGSEGV" in reply.error
        assert session.measure(artefact, fresh_board.targets[0], QUICK).status == "ok"


def test_a_job_that_takes_too_long_is_a_reply(fresh_board: Device, artefact: Artefact) -> None:
    with connect(fresh_board) as session:
        endless = replace(QUICK, min_batches=100_000, cap_s=60.0, job_timeout_s=0.5)
        assert session.measure(artefact, fresh_board.targets[0], endless).status == "timed_out"
        assert session.measure(artefact, fresh_board.targets[0], QUICK).status == "ok"


def test_a_board_in_use_by_another_session_says_by_whom(fresh_board: Device) -> None:
    with connect(fresh_board), pytest.raises(DeviceBusy, match=rf"in use by a session of .*process {os.getpid()}"):
        BoardSession(fresh_board, connect_ssh(fresh_board), BRIEF).__enter__()
    with BoardSession(fresh_board, connect_ssh(fresh_board)) as session:  # free again
        session.facts()


def test_a_link_that_breaks_is_lost_and_leaves_nothing_running(
    fresh_board: Device, artefact: Artefact, proxy: Any
) -> None:
    with connect(replace(fresh_board, port=proxy.port)) as session:
        agent = _agent_pid(session)
        session.fresh_worker()
        pids = [agent, *children(agent)]
        endless = replace(QUICK, min_batches=100_000, cap_s=50.0)
        threading.Timer(1.0, proxy.cut).start()
        with pytest.raises(DeviceLost):
            session.measure(artefact, fresh_board.targets[0], endless)
        with pytest.raises(DeviceLost, match="connect again"):
            session.facts()
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "the agent or its worker outlived the link"
        time.sleep(0.05)
    with connect(fresh_board) as session:
        assert session.measure(artefact, fresh_board.targets[0], QUICK).status == "ok"


def test_an_agent_that_is_killed_is_a_crash(fresh_board: Device) -> None:
    with connect(fresh_board) as session:
        os.kill(_agent_pid(session), signal.SIGKILL)
        with pytest.raises((AgentCrashed, DeviceLost)) as caught:
            session.facts()
        assert "ended" in str(caught.value) or "no longer" in str(caught.value)


def _agent_pid(session: BoardSession) -> int:
    assert session._workplace is not None
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        ours = any(word.startswith(session._workplace.folder.encode()) for word in words)
        if ours and b"serve" in words and b"-c" not in words:
            return int(entry.parent.name)
    raise AssertionError("no agent runs")


# Agents that misbehave, as plain subprocesses

Start = Callable[..., BoardSession]
HELLO = {"event": "hello", "protocol": 1, "pid": 1, "python": "3.11.0"}
RESULT = {
    "event": "result", "id": "0", "status": "ok", "issues": [], "samples_ns": [5, 6], "runs_per_batch": 1, "load_ns": 1,
    "first_run_ns": 1, "warmup_runs": 1, "output_error": 0.0, "energy_mj": None, "error": "", "env": {},
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Makes a session with an agent whose source is given; `say(x)` and `hear()` are there for it."""
    sessions = []

    def make(source: str, *, limits: SessionLimits = BRIEF, **fields: Any) -> BoardSession:
        prelude = (
            "import json, os, sys, time\n"
            "def say(x): sys.stdout.write((x if isinstance(x, str) else json.dumps(x)) + '\\n'); sys.stdout.flush()\n"
            "def hear(): return json.loads(sys.stdin.readline())\n"
            f"HELLO = {HELLO!r}\nRESULT = {RESULT!r}\n"
        )
        data = (prelude + source).encode()
        monkeypatch.setattr(session_module, "build_agent", lambda: (data, hashlib.sha256(data).hexdigest()))
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        target = Target("fake", "onnxruntime", "fp32")
        device = Device(id="fake", host="", user="", targets=(target,), python=sys.executable, machine=str(tmp_path))
        session = BoardSession(replace(device, **fields), LocalTransport(home, "fake"), limits)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def job(tmp_path: Path) -> tuple[Artefact, Target, MeasureConfig]:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    sha256 = hashlib.sha256(b"a model").hexdigest()
    artefact = Artefact(
        path, sha256, "onnx", "onnxruntime", "fp32", "key", ((1, 2, 3, 3),), "nchw", Expected((0,), (1.0,), 1.0, 1)
    )
    return artefact, Target("fake", "onnxruntime", "fp32"), replace(QUICK, job_timeout_s=2.0)


def test_the_job_says_all_that_the_agent_needs(start: Start, job: Any, tmp_path: Path) -> None:
    source = "say(HELLO); request = hear(); open('request', 'w').write(json.dumps(request)); say(RESULT); hear()"
    with start(source) as session:
        reply = session.measure(*job)
    request = json.loads((tmp_path / "home" / "request").read_text())
    assert Path(request.pop("path")).read_bytes() == b"a model"
    assert request.pop("config") == job[2].to_dict()
    assert request == {
        "op": "job", "id": "0", "format": "onnx", "runtime": "onnxruntime", "precision": "fp32", "threads": 1,
        "inputs": [[1, 2, 3, 3]], "layout": "nchw",
        "expected": {"indices": [0], "values": [1.0], "rms": 1.0, "size": 1},
    }  # fmt: skip
    assert (list(reply.samples_ns), reply.runs_per_batch) == ([5, 6], 1)


def test_a_shell_that_greets_first_is_passed_over(start: Start, job: Any) -> None:
    with start("say('Welcome!'); say(''); say('2 updates'); say(HELLO); hear(); say(RESULT); hear()") as session:
        assert session.measure(*job).status == "ok"


def test_heartbeats_keep_a_job_alive_beyond_the_silence_limit(start: Start, job: Any) -> None:
    source = "say(HELLO); hear()\nfor _ in range(8): say({'event': 'heartbeat'}); time.sleep(0.2)\nsay(RESULT); hear()"
    with start(source) as session:
        assert session.measure(*job).status == "ok"


def test_heartbeats_do_not_keep_a_job_alive_beyond_its_limit(start: Start, job: Any) -> None:
    source = "say(HELLO); hear()\nwhile True: say({'event': 'heartbeat'}); time.sleep(0.1)"
    with start(source) as session, pytest.raises(DeviceTimeout, match="alive"):
        session.measure(*job)


def test_silence_is_a_timeout_and_ends_the_session(start: Start, job: Any) -> None:
    with start("say(HELLO); hear(); time.sleep(60)") as session:
        with pytest.raises(DeviceTimeout, match="agent on fake has said nothing for 1 s"):
            session.measure(*job)
        with pytest.raises(DeviceLost, match="connect again"):
            session.measure(*job)


@pytest.mark.parametrize(
    "answer",
    [
        "'no JSON'",
        "'{'",
        "{'event': 'unheard of'}",
        "{**RESULT, 'id': '7'}",
        "{**RESULT, 'samples_ns': [-1]}",
        "{**RESULT, 'samples_ns': [float('nan')]}",
        "{**RESULT, 'samples_ns': []}",
        "{**RESULT, 'extra': 1}",
        "{'event': 'worker', 'pid': 3}",
        "{'event': 'error', 'error': 'what?'}",
        "HELLO",
    ],
)
def test_nonsense_is_a_crash_and_ends_the_session(start: Start, job: Any, answer: str) -> None:
    with start(f"say(HELLO); hear(); say({answer}); hear()") as session:
        with pytest.raises(AgentCrashed):
            session.measure(*job)
        with pytest.raises(DeviceLost):
            session.facts()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("say(HELLO); hear(); sys.exit('disk\\x1b[31m trouble')", r"exit status 1 \(disk\\x1b\[31m trouble\)"),
        ("say(HELLO); hear(); os.kill(os.getpid(), 11)", "by a signal"),
        ("say(HELLO); hear()", r"exit status 0 \(it said nothing\)"),
    ],
)
def test_the_end_of_the_agent_is_a_crash_with_its_last_words(start: Start, job: Any, source: str, words: str) -> None:
    with start(source) as session, pytest.raises(AgentCrashed, match=words):
        session.measure(*job)


def test_an_agent_that_dies_at_once_is_a_crash(start: Start) -> None:
    with pytest.raises(AgentCrashed, match="SyntaxError"), start("this is no Python"):
        pytest.fail("it started")


def test_an_agent_of_another_protocol_is_refused(start: Start) -> None:
    with pytest.raises(AgentCrashed, match="version 2"), start("say({**HELLO, 'protocol': 2}); hear()"):
        pytest.fail("it started")


def test_an_endless_greeting_is_refused(start: Start) -> None:
    with pytest.raises(AgentCrashed, match="rc files"), start("while True: say('hi')"):
        pytest.fail("it started")


def test_a_missing_interpreter_is_named(start: Start) -> None:
    with pytest.raises(DeviceError, match="no-such-python"), start("", python="~/no-such-python"):
        pytest.fail("it started")


def test_a_workdir_that_cannot_be_made_is_named(start: Start) -> None:
    with pytest.raises(DeviceError, match=r"/dev/null/x.*workdir"), start("", workdir="/dev/null/x"):
        pytest.fail("it started")


def test_boards_of_one_machine_take_turns_and_waiting_in_vain_ends_nothing(
    start: Start, job: Any, tmp_path: Path
) -> None:
    with start("say(HELLO); hear(); say(RESULT); hear()") as session:
        with machine_lease(str(tmp_path), "a job elsewhere", wait_s=0), pytest.raises(DeviceBusy, match="elsewhere"):
            session.measure(*job)
        assert session.measure(*job).status == "ok"


def test_an_artefact_for_another_target_is_refused(start: Start, job: Any) -> None:
    artefact, target, config = job
    with start("say(HELLO); hear()") as session:
        for other in (
            replace(target, precision="int8"),
            replace(target, runtime="torch"),
            replace(target, device_id="x"),
        ):
            with pytest.raises(ArtefactError):
                session.measure(artefact, other, config)


def test_an_artefact_whose_file_has_changed_is_refused(start: Start, job: Any) -> None:
    job[0].path.write_bytes(b"another model")
    with start("say(HELLO); hear()") as session, pytest.raises(ArtefactError, match="has changed"):
        session.measure(*job)


def test_a_board_that_stores_wrongly_is_named(start: Start, job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = LocalTransport.put
    monkeypatch.setattr(LocalTransport, "put", lambda self, data, remote: put(self, data[:-1], remote))
    with pytest.raises(DeviceError, match="stores .* wrongly"), start("say(HELLO)"):
        pytest.fail("it started")
