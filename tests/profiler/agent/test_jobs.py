"""The conversation, and what becomes of workers and agents that die, hang or lose their host."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import child, jobs
from profiler.agent.child import Child, Lines, LineTooLong

Job = dict[str, Any]
Start = Callable[[], Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]


@pytest.fixture
def endless(good_job: Job) -> Job:
    """A job that samples for a minute if it is let."""
    return good_job | {"config": good_job["config"] | {"cap_s": 60.0, "min_batches": 10**9}}


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def busy(agent: Any, endless: Job, until: Until) -> int:
    """Start an endless job; the worker's pid once it is at work."""
    pid = int(agent.fresh_worker())
    before = cpu_ticks(pid)
    agent.send(endless)
    until(lambda: cpu_ticks(pid) > before + 30)
    return pid


# requests


def test_the_agent_introduces_itself(agent: Any) -> None:
    assert (agent.hello.event, agent.hello.protocol, agent.hello.pid) == ("hello", 1, agent.process.pid)


def test_facts_are_answered(agent: Any) -> None:
    assert agent.ask({"op": "facts"}).facts.logical_cores == os.cpu_count()


def test_a_fresh_worker_is_another_process_and_the_old_one_is_gone(agent: Any, alive: Alive) -> None:
    first, second = agent.fresh_worker(), agent.fresh_worker()
    assert first != second
    assert not alive(first)
    assert alive(second)
    assert children(agent.process.pid) == [second]
    assert os.getpgid(second) == second


def test_a_worker_is_the_first_to_go_when_memory_runs_out_and_leaves_no_core(agent: Any) -> None:
    worker = Path(f"/proc/{agent.fresh_worker()}")
    assert (worker / "oom_score_adj").read_text() == "1000\n"
    (core,) = [text for text in (worker / "limits").read_text().splitlines() if text.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"what?\n", "Expecting value"),
        (b"\xff\xfe\n", "utf-8"),
        (b"[]\n", "unknown request None"),
        ({"op": "dance"}, "unknown request 'dance'"),
        ({"op": "job"}, "job.id must be a text"),
    ],
)
def test_what_is_no_request_is_answered_by_an_error(agent: Any, request_: Any, error: str) -> None:
    message = agent.ask(request_)
    assert message.event == "error"
    assert error in message.error
    assert agent.ask({"op": "facts"}).event == "facts"  # and the conversation goes on


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"path": 3}, "job.path"),
        ({"runtime": "tvm"}, "job.runtime"),
        ({"threads": 0}, "job.threads"),
        ({"threads": True}, "job.threads"),
        ({"inputs": 7}, "job.inputs"),
        ({"inputs": [[1, 0]]}, "job.inputs"),
        ({"inputs": [[1, "4"]]}, "job.inputs"),
        ({"config": None}, "job.config.job_timeout_s"),
        ({"config": {"job_timeout_s": 1}}, "job.config.min_batch_s"),
        ({"expected": {"size": 4}}, "job.expected"),
        ({"expected": {"size": 4, "rms": 1.0, "indices": [], "values": []}}, "job.expected"),
        ({"expected": {"size": 4, "rms": 1.0, "indices": [4], "values": [0.0]}}, "job.expected"),
        ({"expected": {"size": 4, "rms": None, "indices": [3], "values": [0.0]}}, "job.expected"),
    ],
)
def test_a_job_lacking_something_is_refused_by_name(good_job: Job, changes: Job, named: str) -> None:
    jobs.check_job(good_job)
    with pytest.raises(jobs.BadRequest, match=named):
        jobs.check_job(good_job | changes)


def test_quit_ends_the_agent_and_its_worker(start: Start, alive: Alive) -> None:
    agent = start()
    worker = agent.fresh_worker()
    agent.send({"op": "quit"})
    assert agent.process.wait(20) == 0
    assert not alive(worker)


def test_requests_before_the_end_of_the_input_are_still_answered(pyz: Path) -> None:
    requests = b'{"op": "facts"}\n{"op": "facts"}\n'
    output = subprocess.run([sys.executable, str(pyz), "serve"], input=requests, capture_output=True, check=True).stdout
    assert [json.loads(line)["event"] for line in output.splitlines()] == ["hello", "facts", "facts"]


# deaths


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL"), (signal.SIGILL, "SIGILL")]
)
def test_a_worker_that_dies_is_blamed_on_its_job_and_replaced(
    start: Start, endless: Job, good_job: Job, until: Until, number: signal.Signals, name: str
) -> None:
    agent = start()
    worker = busy(agent, endless, until)
    os.kill(worker, number)
    result = agent.hear()
    assert (result.status, result.id) == ("crashed", endless["id"])
    assert result.error.startswith(f"crashed: signal {number.value} ({name}) during ")
    assert result.samples_ns == []
    assert "load_1min" in result.env
    assert agent.run(good_job).status == "ok"
    assert children(agent.process.pid) != [worker]


def test_a_worker_that_dies_between_jobs_is_nobodys_fault(
    start: Start, good_job: Job, until: Until, alive: Alive
) -> None:
    agent = start()
    worker = agent.fresh_worker()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not alive(worker))
    assert agent.run(good_job).status == "ok"


def test_the_time_limit_of_a_job_holds_while_it_samples(start: Start, endless: Job) -> None:
    agent = start()
    result = agent.run(endless | {"config": endless["config"] | {"job_timeout_s": 0.6}})
    assert (result.status, result.error) == ("timed_out", "ended after 0.6 s, during sampling")
    assert children(agent.process.pid) == []


def test_a_host_that_goes_ends_a_running_job_at_once(start: Start, endless: Job, until: Until, alive: Alive) -> None:
    agent = start()
    worker = busy(agent, endless, until)
    agent.process.stdin.close()
    assert agent.process.wait(5) == 0
    assert not alive(worker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_agent_that_is_told_to_end_leaves_no_worker(
    start: Start, endless: Job, until: Until, alive: Alive, number: signal.Signals
) -> None:
    agent = start()
    worker = busy(agent, endless, until)
    agent.process.send_signal(number)
    assert agent.process.wait(5) == 0
    assert not alive(worker)


def test_a_worker_does_not_outlive_an_agent_that_is_killed(
    start: Start, endless: Job, until: Until, alive: Alive
) -> None:
    agent = start()
    worker = busy(agent, endless, until)
    agent.process.kill()
    until(lambda: not alive(worker))


# the agent in this process: from a source tree instead of a zipapp, and with limits that fit a test


@pytest.fixture
def conversation() -> Callable[..., list[Job]]:
    """Sends requests, keeps the line open, and returns all replies."""

    def hold(*requests: Job) -> list[Job]:
        ours, theirs = os.pipe()
        os.write(theirs, b"".join(json.dumps(request).encode() + b"\n" for request in (*requests, {"op": "quit"})))
        sink = io.BytesIO()
        try:
            jobs.Agent(Lines(ours), sink).serve()
        finally:
            os.close(ours)
            os.close(theirs)
        return [json.loads(line) for line in sink.getvalue().splitlines()]

    return hold


def test_a_running_job_is_heard_of(
    conversation: Callable[..., list[Job]], endless: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "HEARTBEAT_S", 0.05)
    hello, worker, *beats, result = conversation(
        {"op": "fresh_worker"}, endless | {"config": endless["config"] | {"job_timeout_s": 0.5}}
    )
    assert (hello["event"], worker["event"], result["event"]) == ("hello", "worker", "result")
    assert result["status"] == "timed_out"
    assert len(beats) >= 3
    assert all(beat == {"event": "heartbeat"} for beat in beats)


def test_a_worker_that_cannot_be_started_is_told(
    conversation: Callable[..., list[Job]], good_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "worker_command", lambda: (["/no/such/python"], {}))
    _, error, result = conversation({"op": "fresh_worker"}, good_job)
    assert error["event"] == "error"
    assert "no worker process can be started" in error["error"]
    assert (result["status"], result["event"]) == ("crashed", "result")
    assert "/no/such/python" in result["error"]


def test_a_worker_that_ends_at_its_start_is_told_with_its_last_words(
    conversation: Callable[..., list[Job]], good_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import sys; sys.exit('no more processes for you')"
    monkeypatch.setattr(child, "worker_command", lambda: ([sys.executable, "-c", program], {}))
    _, error, result = conversation({"op": "fresh_worker"}, good_job)
    assert error["event"] == "error"
    assert "no more processes for you" in error["error"]
    assert result["status"] == "crashed"
    assert result["error"].endswith("exit status 1 during start: no more processes for you")


def test_a_worker_that_never_gets_ready_is_given_up_on(
    conversation: Callable[..., list[Job]], good_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PREPARE_S", 0.2)
    monkeypatch.setattr(child, "worker_command", lambda: ([sys.executable, "-c", "import time; time.sleep(60)"], {}))
    _, error, result = conversation({"op": "fresh_worker"}, good_job)
    assert error["event"] == "error"
    assert (result["status"], result["error"]) == ("timed_out", "ended after 0.2 s, during start")


def test_chatter_without_end_neither_blocks_a_worker_nor_fills_the_memory(
    conversation: Callable[..., list[Job]], good_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys, json; print(json.dumps({'event': 'ready'}), flush=True); sys.stdin.readline();"
        "sys.stderr.write('chatter ' * 1000000 + '\\nthe end'); sys.stderr.flush(); sys.exit(7)"
    )
    monkeypatch.setattr(child, "worker_command", lambda: ([sys.executable, "-c", program], {}))
    _, result = conversation(good_job)
    assert result["status"] == "crashed"
    assert "exit status 7" in result["error"]
    assert result["error"].endswith("the end")
    assert len(result["error"]) <= 500


def test_a_child_can_be_ended_twice() -> None:
    worker = Child()
    assert worker.end() == -signal.SIGKILL
    assert worker.end() == -signal.SIGKILL


# lines


def test_lines_come_whole_however_they_arrive() -> None:
    ours, theirs = os.pipe()
    lines = Lines(ours)
    found: list[bytes | None] = []
    for part in (b"on", b"e\ntwo\nth", b"ree\n"):
        os.write(theirs, part)
        lines.feed()
        found.append(lines.pop())
    assert found == [None, b"one", b"two"]
    assert (lines.pop(), lines.pop()) == (b"three", None)
    os.close(theirs)
    lines.feed()
    assert lines.ended
    os.close(ours)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MOST_LINE_BYTES", 1000)
    ours, theirs = os.pipe()
    os.write(theirs, b"x" * 1001)
    with pytest.raises(LineTooLong, match="1000 bytes"):
        Lines(ours).feed()
    os.close(ours)
    os.close(theirs)
