"""Workers that die, hang, babble or cannot be started; the runner in this process, with limits that fit a test."""

from __future__ import annotations

import itertools
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from profiler.agent.daemon import child, runner
from profiler.agent.daemon.child import Child, Confinement
from profiler.agent.daemon.runner import Runner
from profiler.agent.worker.energy import cap_s
from profiler.agent.worker.settings import Settings

Job = dict[str, Any]
Until = Callable[[Callable[[], bool]], None]
Alive = Callable[[int], bool]

READY = "import sys, json, os, time; print(json.dumps({'event': 'ready'}), flush=True); line = sys.stdin.readline();"
STAGE = "print(json.dumps({'event': 'stage', 'stage': %r}), flush=True);"


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has workers run another program."""

    def use(program: str) -> None:
        monkeypatch.setattr(child, "worker_command", lambda confinement: ([sys.executable, "-c", program], {}))

    return use


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(str(tmp_path), str(tmp_path))
    yield made
    made.drop()


def finish(made: Runner) -> Job:
    """Drive the runner to the end of its job, as the daemon does."""
    give_up = time.monotonic() + 30
    while True:
        reply = made.result()
        if reply is not None:
            return reply
        deadline = made.deadline()
        assert deadline is not None
        now = time.monotonic()
        assert now < give_up
        ready, able, _ = select.select(made.readers(), made.writers(), [], max(0.0, min(deadline, give_up) - now))
        made.attend(ready + able)


def do(made: Runner, job: Job) -> Job:
    made.take(job)
    assert made.running == job["id"]
    reply = finish(made)
    assert made.running is None
    assert reply["id"] == job["id"]
    assert reply["env"]["attempt_s"] >= 0
    return reply


def test_a_job_comes_to_its_end(runs: Runner, good_job: Job) -> None:
    reply = do(runs, good_job)
    assert (reply["status"], reply["error"]) == ("ok", "")
    assert reply["env"]["attempt_s"] >= reply["env"]["sampling_s"] + reply["env"]["warmup_s"]


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL"), (signal.SIGILL, "SIGILL")]
)
def test_a_worker_that_dies_is_blamed_on_its_job_and_replaced(
    runs: Runner, good_job: Job, pretend: Any, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, name: str
) -> None:
    with monkeypatch.context():
        pretend(READY + STAGE % "import" + STAGE % "first run" + f"os.kill(os.getpid(), {number.value})")
        reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert reply["error"].startswith(f"crashed: signal {number.value} ({name}) during first run")
    assert reply["samples_ns"] == []
    assert "load_1min" in reply["env"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_was_killed_is_blamed_only_after_its_board_has_had_time_to_go_down(
    runs: Runner, good_job: Job, pretend: Any, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    pretend(READY + STAGE % "import" + STAGE % "load" + f"os.kill(os.getpid(), {number.value})")
    runs.take(good_job)
    while runs._reply is None:
        runs.attend(select.select(runs.readers(), runs.writers(), [], 30)[0] + runs.writers())
    assert runs.result() is None
    assert runs.running == good_job["id"]  # so that an agent that ends now journals no end of it
    assert runs.deadline() == now[0] + runner.GRACE_S
    now[0] += runner.GRACE_S
    reply = runs.result()
    assert reply is not None
    assert reply["status"] == "crashed"


def test_a_worker_that_dies_between_jobs_is_nobodys_fault(runs: Runner, good_job: Job, until: Until) -> None:
    assert do(runs, good_job)["status"] == "ok"
    assert runs._child is not None
    worker = runs._child
    os.kill(worker.process.pid, signal.SIGKILL)
    until(lambda: not worker.lives())
    assert do(runs, good_job)["status"] == "ok"


def test_a_worker_that_dies_of_the_last_job_when_the_next_is_handed_over_is_replaced(
    runs: Runner, good_job: Job, pretend: Any, tmp_path: Path
) -> None:
    """It looks alive until it should take the job up."""
    flag = tmp_path / "flag"
    result = "print(json.dumps(dict(id=json.loads(line)['id'], event='result', status='ok', env={})), flush=True);"
    pretend(
        READY + STAGE % "import" + result + f"line = sys.stdin.readline() if not os.path.exists({str(flag)!r}) else '';"
        f"open({str(flag)!r}, 'w').close()"
    )
    assert do(runs, good_job)["status"] == "ok"
    assert do(runs, good_job | {"id": "second"})["status"] == "ok"


def test_the_time_limit_of_a_job_holds_while_it_samples(runs: Runner, endless: Job) -> None:
    reply = do(runs, endless | {"config": endless["config"] | {"job_timeout_s": 0.6}})
    assert (reply["status"], reply["error"]) == ("timed_out", "ended after 0.6 s, during sampling")
    assert runs.readers() == []


def test_the_start_of_a_worker_is_not_the_jobs_time(runs: Runner, good_job: Job, pretend: Any) -> None:
    slow = STAGE % "import" + "time.sleep(0.4);" + STAGE % "load" + "time.sleep(60)"
    pretend("import time; time.sleep(0.4);" + READY + slow)
    reply = do(runs, good_job | {"config": good_job["config"] | {"job_timeout_s": 0.3}})
    assert (reply["status"], reply["error"]) == ("timed_out", "ended after 0.3 s, during load")


def test_a_board_that_cools_down_has_its_own_time_for_that(
    runs: Runner, good_job: Job, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PREPARE_S", 1.0)
    monkeypatch.setattr(runner, "COOLING_MARGIN_S", 1.0)
    cool = STAGE % "cooling" + "time.sleep(1.5);" + STAGE % "import"
    config = good_job["config"] | {"job_timeout_s": 0.3, "cool_s": 60.0}
    pretend(READY + cool + STAGE % "load" + "time.sleep(60)")
    reply = do(runs, good_job | {"config": config})
    assert (reply["status"], reply["error"]) == ("timed_out", "ended after 0.3 s, during load")
    runs.drop()
    pretend(READY + cool + "time.sleep(60)")
    reply = do(runs, good_job | {"config": config})
    assert (reply["status"], reply["error"]) == ("timed_out", "ended after 1 s, during import")
    runs.drop()
    pretend(READY + STAGE % "cooling" + "time.sleep(60)")
    reply = do(runs, good_job | {"config": config | {"cool_s": 0.2}})
    assert (reply["status"], reply["error"]) == ("timed_out", "ended after 1.2 s, during cooling")


def test_the_spells_of_an_energy_measurement_are_not_the_jobs_time(runs: Runner, good_job: Job, pretend: Any) -> None:
    spells = {"energy_load_s": 0.1, "energy_idle_s": 0.0, "energy_preroll_s": 0.0, "energy": True}
    config = good_job["config"] | {"job_timeout_s": 0.3, **spells}
    pretend(READY + STAGE % "import" + STAGE % "load" + STAGE % "energy" + "time.sleep(60)")
    reply = do(runs, good_job | {"config": config})
    limit_s = 0.3 + cap_s(Settings.read(config))
    assert limit_s > 0.3
    assert (reply["status"], reply["error"]) == ("timed_out", f"ended after {limit_s:g} s, during energy")


@pytest.mark.parametrize("energy", [False, True])
def test_the_host_waits_for_a_job_as_long_as_it_may_take(energy: bool) -> None:
    from profiler.fleet.sessions.conversation import SessionLimits
    from profiler.measure.config import MeasureConfig

    config = MeasureConfig(energy=energy)
    job = {"config": config.to_dict()}
    stages = ["start", "cooling", "import", "load", *(["energy"] if energy else [])]
    limits = [runner._limit_s(job, left, entered) for left, entered in itertools.pairwise(stages)]
    assert None not in limits
    assert sum(limits) <= config.longest_job_s() + SessionLimits().margin_s


def test_a_worker_that_cannot_be_started_is_told(runs: Runner, good_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "worker_command", lambda confinement: (["/no/such/python"], {}))
    reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert "no worker process can be started" in reply["error"]
    assert "/no/such/python" in reply["error"]


def test_a_worker_that_ends_at_its_start_is_told_with_its_last_words(runs: Runner, good_job: Job, pretend: Any) -> None:
    pretend("import sys; sys.exit('no more processes for you')")
    reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert reply["error"].endswith("exit status 1 during start: no more processes for you")


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", READY + "time.sleep(60)"])
def test_a_worker_that_never_gets_ready_or_takes_no_job_up_is_given_up_on(
    runs: Runner, good_job: Job, pretend: Any, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(runner, "PREPARE_S", 0.5)
    pretend(program)
    reply = do(runs, good_job)
    assert reply["status"] == "timed_out"
    assert reply["error"].startswith("ended after 0.5 s, during ")


def test_chatter_without_end_neither_blocks_a_worker_nor_fills_the_memory(
    runs: Runner, good_job: Job, pretend: Any
) -> None:
    pretend(READY + "sys.stderr.write('chatter ' * 1000000 + '\\nthe end'); sys.stderr.flush(); sys.exit(7)")
    reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert "exit status 7" in reply["error"]
    assert reply["error"].endswith("the end")
    assert len(reply["error"]) <= 500


@pytest.mark.parametrize(
    "said",
    [
        "what?",
        "[]",
        '{"event": "result"}',
        '{"event": "stage"}',
        '{"event": "result", "id": "job-1", "env": 3}',
        "\\xff",
    ],
)
def test_a_worker_that_talks_nonsense_is_ended(runs: Runner, good_job: Job, pretend: Any, said: str) -> None:
    pretend(READY + STAGE % "import" + f"sys.stdout.buffer.write(b'{said}\\n'); sys.stdout.flush(); time.sleep(60)")
    reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert reply["error"] == "the worker wrote what is no message during import"


def test_a_worker_that_writes_a_line_without_end_is_ended(
    runs: Runner, good_job: Job, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profiler.agent import lines

    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 1_000_000)
    pretend(READY + STAGE % "import" + "\nwhile True: sys.stdout.write('x' * 65536)")
    reply = do(runs, good_job)
    assert (reply["status"], reply["error"]) == ("crashed", "the worker wrote a line of more than 1000000 bytes")


def test_a_job_larger_than_a_pipe_does_not_stop_the_daemon(runs: Runner, good_job: Job, pretend: Any) -> None:
    """While a worker does not read, whoever drives it can do other things."""
    result = "print(json.dumps(dict(id=json.loads(line)['id'], event='result', status='ok', env={})), flush=True);"
    pretend(READY.replace("line =", "time.sleep(0.2); line =") + STAGE % "import" + result + "time.sleep(60)")
    assert do(runs, good_job | {"expected": ["x" * 3_000_000]})["status"] == "ok"


def test_a_worker_that_reads_nothing_does_not_stop_the_daemon(
    runs: Runner, good_job: Job, pretend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PREPARE_S", 0.5)
    pretend(READY.replace("line = sys.stdin.readline()", "time.sleep(60)"))
    assert do(runs, good_job | {"expected": ["x" * 3_000_000]})["status"] == "timed_out"


# process groups


def test_what_a_worker_has_started_ends_with_it_however_it_ends(
    runs: Runner, good_job: Job, pretend: Any, until: Until, alive: Alive, tmp_path: Path
) -> None:
    for way in ("os.kill(os.getpid(), 11)", "time.sleep(60)"):
        note = tmp_path / f"pid-{len(way)}"
        fork = f"import subprocess; p = subprocess.Popen(['sleep', '60']); open({str(note)!r}, 'w').write(str(p.pid));"
        pretend(READY + fork + STAGE % "import" + STAGE % "load" + way)
        do(runs, good_job | {"config": good_job["config"] | {"job_timeout_s": 0.3}})
        until(lambda note=note: not alive(int(note.read_text())))


def test_what_a_worker_has_started_ends_when_its_daemon_is_gone(
    until: Until, alive: Alive, tmp_path: Path, good_job: Job
) -> None:
    """The real worker, whose input ends."""
    from profiler.agent.worker import worker

    note = tmp_path / "pid"
    code = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL); "
        f"open({str(note)!r}, 'w').write(str(p.pid)); "
        "from profiler.agent.worker.worker import work; sys.exit(work({}))"
    )
    import subprocess

    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        cwd=Path(worker.__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert b"ready" in process.stdout.readline()
    process.stdin.close()
    process.stdout.close()
    assert process.wait(20) == -signal.SIGKILL
    until(lambda: not alive(int(note.read_text())))


def test_a_child_can_be_ended_twice() -> None:
    worker = Child()
    assert worker.end() == -signal.SIGKILL
    assert worker.end() == -signal.SIGKILL


# environments


def fake_runtime(workdir: Path) -> Path:
    """A site with an onnxruntime that loads nothing, as an environment of the board."""
    import json

    site = workdir / "env" / "onnxruntime" / "d1"
    (site / "onnxruntime").mkdir(parents=True)
    (site / "onnxruntime" / "__init__.py").write_text("__version__ = '0.0.1'\n")
    (workdir / "env" / "current.json").write_text(
        json.dumps({"onnxruntime": {"digest": "d1", "site": str(site), "distributions": {}}})
    )
    return site


def test_a_provisioned_runtime_is_loaded_from_its_environment(runs: Runner, good_job: Job, tmp_path: Path) -> None:
    before = do(runs, good_job)
    assert before["status"] == "ok"
    fake_runtime(tmp_path)
    after = do(runs, good_job)  # by another worker
    assert after["status"] == "conversion_failed"
    assert after["env"]["runtime"] == "onnxruntime 0.0.1"


def test_an_environment_that_is_gone_is_a_typed_failure(runs: Runner, good_job: Job, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(fake_runtime(tmp_path))
    reply = do(runs, good_job)
    assert reply["status"] == "crashed"
    assert "the environment of onnxruntime is gone" in reply["error"]
    assert "provision the board again" in reply["error"]


def test_a_site_comes_first_and_the_users_own_packages_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    _, environment = child.worker_command(Confinement(site="/s"))
    paths = environment["PYTHONPATH"].split(os.pathsep)
    assert (paths[0], paths[-1]) == ("/s", "/mine")
    assert environment["PYTHONNOUSERSITE"] == "1"
    _, environment = child.worker_command(Confinement())
    assert "/s" not in environment["PYTHONPATH"]
    assert "PYTHONNOUSERSITE" not in environment
