"""Sessions with agents that keep to the protocol and with agents that do not, as plain subprocesses."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.errors import AgentCrashed, ArtefactError, DeviceBusy, DeviceError, DeviceLost, DeviceTimeout
from profiler.fleet.leases import machine_lease
from profiler.fleet.targets import Cluster, LeaseTerms, Target
from profiler.fleet.transport.local import LocalTransport
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import Artefact
from profiler.workloads.expected import Expected

sys.path.insert(0, str(Path(__file__).parent))
from fake_agent import Start, fake_sessions

CONFIG = MeasureConfig(
    min_batch_s=0.0002, warmup_runs=1, warmup_s=0.0, min_batches=5, cap_s=0.1, job_timeout_s=2.0, cool_s=0.0
)
TARGET = Target("fake", "onnxruntime", "fp32")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with fake_sessions(tmp_path, monkeypatch) as make:
        yield make


def made(folder: Path, content: bytes = b"a model") -> Artefact:
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256[:8]}.onnx"
    path.write_bytes(content)
    expected = Expected((0,), (1.0,), 1.0, 1)
    return Artefact(path, sha256, "onnx", "onnxruntime", "fp32", "key", ((1, 2, 3, 3),), "nchw", expected)


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    return made(tmp_path)


def run(session: Any, artefact: Artefact, *keys: str) -> list[str]:
    return [key for key, _ in session.run([BoardJob(key, artefact) for key in keys], TARGET, CONFIG)]


ONE = "hello(); (job,) = block(); "
"""An agent that has got one job."""


# What goes well


def test_the_job_says_all_that_the_agent_needs(start: Start, artefact: Artefact, tmp_path: Path) -> None:
    source = (
        "said = hello(); jobs = block(); open('said', 'w').write(json.dumps([said, jobs, sys.argv[4:]]))\n"
        "started(0, 'k'); result(1, 'k'); hear()"
    )
    device = {
        "clusters": (Cluster("big", (4, 5)),),
        "memory_limit_mb": 300,
        "libraries": (("npu", "/lib/npu.so"),),
        "lease": LeaseTerms(linger_s=77, wait_s=0.1),
    }
    target = replace(TARGET, accelerator="npu", cores="big", allow_fallback=True, threads=2)
    with start(source, **device) as session:
        ((key, reply),) = session.run([BoardJob("k", artefact, fresh=True)], target, CONFIG)
    said, (job,), (owner, wait_s) = json.loads(next((tmp_path / "home").rglob("said")).read_text())
    assert (key, list(reply.samples_ns), reply.runs_per_batch) == ("k", [5, 6], 1)
    assert said == {"op": "hello", "since": 0, "alone_s": None, "linger_s": 77}
    assert set(json.loads(owner)) == {"host", "user", "owner", "pid", "start", "since"}
    assert float(wait_s) == 0
    assert Path(job.pop("path")).read_bytes() == b"a model"
    assert job.pop("config") == CONFIG.to_dict()
    assert job == {
        "id": "k", "format": "onnx", "runtime": "onnxruntime", "precision": "fp32", "threads": 2,
        "inputs": [[1, 2, 3, 3]], "layout": "nchw",
        "expected": {"indices": [0], "values": [1.0], "rms": 1.0, "size": 1},
        "fresh": True, "cpus": [4, 5], "memory_mb": 300, "accelerator": "npu", "library": "/lib/npu.so",
        "allow_fallback": True,
        "board": {
            "governor": "", "clock": "unpinned", "sensors": [], "meter": False,
            "heat": {
                "zones": [], "files": [], "throttle_command": [], "throttle_file": "", "throttle_bits": [],
            },
        },
    }  # fmt: skip


def test_the_workdir_is_private(start: Start, artefact: Artefact, tmp_path: Path) -> None:
    with start(ONE + "started(0, 'k'); result(1, 'k'); hear()") as session:
        run(session, artefact, "k")
    paths = list((tmp_path / "home").rglob("*"))
    assert {path.suffix for path in paths} >= {".pyz", ".onnx"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} <= {0o700, 0o600}


def test_a_shell_that_greets_first_is_passed_over(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = LocalTransport.open
    greeting = ["sh", "-c", 'echo Welcome!; echo; printf "2 updates"; exec "$@"', "sh"]
    monkeypatch.setattr(LocalTransport, "open", lambda self, argv: opening(self, [*greeting, *argv]))
    with start("hello(); hear(); say({'event': 'bye', 'why': 'x'})") as session:
        assert session.interrupted() == []


def test_a_home_in_front_of_workdir_and_python_is_the_boards(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "py").symlink_to(sys.executable)
    source = "hello(); open('cwd', 'w').write(os.getcwd()); hear()"
    with start(source, python="~/py", workdir="~/a 'b $HOME") as session:
        session.interrupted()
    assert (tmp_path / "home" / "a 'b $HOME" / "cwd").read_text() == str(tmp_path / "home" / "a 'b $HOME")


def test_heartbeats_keep_a_job_alive_beyond_the_silence_limit(start: Start, artefact: Artefact) -> None:
    source = ONE + "started(0, 'k')\nfor _ in range(6): say(BEAT); time.sleep(0.2)\nresult(1, 'k'); hear()"
    with start(source) as session:
        assert run(session, artefact, "k") == ["k"]


def test_every_job_has_its_own_limit_however_long_the_block(start: Start, artefact: Artefact) -> None:
    source = "hello(); seq = 0\nfor job in block():\n started(seq, job['id']); time.sleep(0.5); "
    source += "result(seq + 1, job['id']); seq += 2\nhear()"
    config = replace(CONFIG, job_timeout_s=0.3)
    with start(source) as session:  # 0.8 s are a job's limit
        done = [key for key, _ in session.run([BoardJob(f"k{n}", artefact) for n in range(2)], TARGET, config)]
    assert done == ["k0", "k1"]


def test_time_that_the_host_takes_is_not_the_boards(start: Start, artefact: Artefact) -> None:
    import time

    source = (
        "hello()\nfor n, job in enumerate(block()): started(2 * n, job['id']); result(2 * n + 1, job['id'])\nhear()"
    )
    with start(source) as session:
        done = []
        for key, _ in session.run(
            [BoardJob(f"k{n}", artefact) for n in range(3)], TARGET, replace(CONFIG, job_timeout_s=0.1)
        ):
            done.append(key)
            time.sleep(0.7 if len(done) == 1 else 0)
    assert len(done) == 3


def test_a_large_block_goes_in_several_lines(start: Start, artefact: Artefact) -> None:
    source = (
        "hello(); seq = got = 0\n"
        "while got < 8:\n for job in block():\n  got += 1; started(seq, job['id']); "
        "result(seq + 1, job['id']); seq += 2\nhear()"
    )
    values = tuple(range(15_000))
    large = replace(artefact, expected=Expected(values, tuple(map(float, values)), 1.0, 15_000))
    with start(source) as session:
        assert len(run(session, large, *(f"k{n}" for n in range(8)))) == 8


# What an earlier host process has left


def test_results_that_the_board_has_already_come_first_and_nothing_runs_twice(start: Start, artefact: Artefact) -> None:
    source = (
        "def old():\n started(0, 'a'); result(1, 'a'); started(2, 'b'); started(3, 'b'); result(4, 'b')\n"
        "hello(entries=5); old()\n"
        "again = hear(); assert again['since'] == 4, again; say({**HELLO, 'entries': 5}); result(4, 'b')\n"
        "(job,) = block(); assert job['id'] == 'c'; started(5, 'c'); result(6, 'c'); hear()"
    )
    with start(source) as session:
        assert session.interrupted() == ["b"]
        assert run(session, artefact, "c", "b") == ["b", "c"]


def test_what_still_runs_there_is_waited_for_before_files_are_asked_for(start: Start, artefact: Artefact) -> None:
    source = (
        "hello(entries=2, running='r', queued=2); started(0, 'x'); started(1, 'r')\n"
        "result(2, 'r'); started(3, 'q'); result(4, 'q'); started(5, 'mine'); result(6, 'mine')\n"
        "(job,) = block(); assert job['id'] == 'new'; started(7, 'new'); result(8, 'new'); hear()"
    )
    with start(source) as session:
        assert session.interrupted() == ["x"]
        assert run(session, artefact, "mine", "new") == ["mine", "new"]


def test_more_strangers_than_were_waiting_are_nonsense(start: Start, artefact: Artefact) -> None:
    source = "hello(queued=1); started(0, 'q'); result(1, 'q'); started(2, 'other'); hear()"
    with start(source) as session, pytest.raises(AgentCrashed):
        run(session, artefact, "k")


def test_stopping_half_way_leaves_the_rest_to_be_fetched(start: Start, artefact: Artefact) -> None:
    source = (
        "hello(); block(); started(0, 'a'); result(1, 'a'); started(2, 'b'); result(3, 'b')\n"
        "again = hear(); assert again == {**again, 'op': 'hello', 'since': 3}; say({**HELLO, 'entries': 4})\n"
        "result(3, 'b'); hear()"
    )
    with start(source) as session:
        going = session.run([BoardJob(key, artefact) for key in "ab"], TARGET, CONFIG)
        assert next(going)[0] == "a"
        going.close()
        assert run(session, artefact, "b") == ["b"]


# Leaving


@pytest.mark.parametrize(
    ("how", "session", "said"),
    [
        ("close", "0123456789abcdef", {"op": "quit", "forget": False}),
        ("finish", "0123456789abcdef", {"op": "quit", "forget": True}),
        ("close", None, {"op": "quit", "forget": True}),
    ],
)
def test_an_idle_agent_is_let_go(start: Start, tmp_path: Path, how: str, session: str | None, said: Any) -> None:
    source = "hello(); open('last', 'w').write(json.dumps(hear())); say({'event': 'bye', 'why': ''})"
    board = start(source, session=session)
    board.__enter__()
    getattr(board, how)()
    assert json.loads(next((tmp_path / "home").rglob("last")).read_text()) == said
    with pytest.raises(DeviceLost, match="connect again"):
        board.facts()


def test_an_agent_at_work_is_left_alone(start: Start, artefact: Artefact, tmp_path: Path) -> None:
    source = (
        "import signal; hello(); block(); started(0, 'k'); result(1, 'k'); started(2, 'l')\n"
        "open('last', 'w').write(sys.stdin.readline())"
    )
    with start(source, session="0123456789abcdef") as session:
        next(session.run([BoardJob(key, artefact) for key in "kl"], TARGET, CONFIG))
    last = list((tmp_path / "home").rglob("last"))
    assert [path.read_text() for path in last] in ([], [""]), "it was told something"


def test_a_session_that_nobody_comes_back_to_does_not_linger(start: Start, tmp_path: Path) -> None:
    source = "open('said', 'w').write(json.dumps(hello())); hear()"
    with start(source, session=None):
        pass
    said = json.loads(next((tmp_path / "home").rglob("said")).read_text())
    assert (said["alone_s"], said["linger_s"] <= 5) == (0, True)


# Turns


def test_boards_of_one_machine_take_turns_and_waiting_in_vain_ends_nothing(
    start: Start, artefact: Artefact, tmp_path: Path
) -> None:
    with start(ONE + "started(0, 'k'); result(1, 'k'); hear()") as session:
        session.interrupted()
        with machine_lease(str(tmp_path), "a job elsewhere", wait_s=0), pytest.raises(DeviceBusy, match="elsewhere"):
            run(session, artefact, "k")
        assert run(session, artefact, "k") == ["k"]


def test_a_shared_board_is_attached_in_its_turn_and_pauses_without_a_host(start: Start, tmp_path: Path) -> None:
    source = "open('said', 'w').write(json.dumps(hello())); hear()"
    with machine_lease(str(tmp_path), "a job elsewhere", wait_s=0), pytest.raises(DeviceBusy, match="elsewhere"):
        start(source, shared=True).__enter__()
    with start(source, shared=True), machine_lease(str(tmp_path), "another", wait_s=0):
        pass  # an idle one keeps nobody waiting
    assert json.loads(next((tmp_path / "home").rglob("said")).read_text())["alone_s"] == 0


def test_a_shared_board_that_is_still_at_work_keeps_its_turn(start: Start, artefact: Artefact, tmp_path: Path) -> None:
    source = (
        "hello(entries=1, running='r'); started(0, 'r'); hear(); result(1, 'r')\n"
        "say({'event': 'error', 'error': 'that was all'}); hear()"
    )
    with (
        start(source, shared=True),
        pytest.raises(DeviceBusy),
        machine_lease(str(tmp_path), "another", wait_s=0),
    ):
        pytest.fail("its turn was given away")
    with machine_lease(str(tmp_path), "another", wait_s=0):
        pass


# Bad input from this side


def test_an_artefact_for_another_target_is_refused(start: Start, artefact: Artefact) -> None:
    with start("hello(); hear()") as session:
        for other in ({"precision": "int8"}, {"runtime": "torch"}, {"device_id": "x"}):
            with pytest.raises(ArtefactError):
                list(session.run([BoardJob("k", artefact)], replace(TARGET, **other), CONFIG))
        assert run(session, artefact) == []  # and the session goes on


def test_two_jobs_of_one_key_are_refused(start: Start, artefact: Artefact) -> None:
    with start("hello(); hear()") as session, pytest.raises(ValueError, match="one key"):
        run(session, artefact, "k", "k")


@pytest.mark.parametrize(("change", "words"), [("rewrite", "has changed"), ("unlink", "cannot be read")])
def test_an_artefact_whose_file_is_not_the_same_is_refused(
    start: Start, artefact: Artefact, change: str, words: str
) -> None:
    if change == "rewrite":
        artefact.path.write_bytes(b"another model")
    else:
        artefact.path.unlink()
    with start("hello(); block()") as session, pytest.raises(ArtefactError, match=words):
        run(session, artefact, "k")


def test_a_missing_interpreter_is_named(start: Start) -> None:
    with pytest.raises(DeviceError, match=r"no-such-python.*correct `python`"), start("", python="~/no-such-python"):
        pytest.fail("it started")


def test_a_workdir_that_cannot_be_made_is_named(start: Start) -> None:
    with pytest.raises(DeviceError, match=r"workdir /dev/null/x .*cannot be used"), start("", workdir="/dev/null/x"):
        pytest.fail("it started")


def test_silence_is_a_timeout_and_ends_the_session(start: Start, artefact: Artefact) -> None:
    with start(ONE + "time.sleep(60)") as session:
        with pytest.raises(DeviceTimeout, match="agent on fake has said nothing for 1 s"):
            run(session, artefact, "k")
        with pytest.raises(DeviceLost, match="connect again"):
            run(session, artefact, "k")


@pytest.mark.parametrize("flood", ["time.sleep(0.1)", "pass"])
def test_heartbeats_do_not_keep_a_job_alive_beyond_its_limit(start: Start, artefact: Artefact, flood: str) -> None:
    config = replace(CONFIG, job_timeout_s=0.3)
    source = ONE + f"started(0, 'k')\nwhile True: say(BEAT); {flood}"
    with start(source) as session, pytest.raises(DeviceTimeout, match="come to nothing within 0.8 s"):
        list(session.run([BoardJob("k", artefact)], TARGET, config))
