"""Many boards at once, with fakes for boards and artefacts."""

import _thread
import importlib.util
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from edgecost.stages import profiling
from edgecost.stages.planning import PlanOptions
from edgecost.stages.profiling import Run, profile_targets, refuse_twins
from profiler.errors import ConfigError, DeviceLost, Unreachable
from profiler.fleet.targets import Device, JumpHost, Target
from profiler.measure.journal import read_journal


def _fakes() -> ModuleType:
    path = Path(__file__).parents[1] / "profiler" / "measure" / "fakes.py"
    spec = importlib.util.spec_from_file_location("profiling_fakes", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fakes = _fakes()
OPTIONS = PlanOptions(models=(Path("unused.onnx"),))


class Boards:
    """A world for every board; `connect` opens sessions with them."""

    def __init__(self, *names: str) -> None:
        self.worlds = {name: fakes.World() for name in names}
        self.opened: list[str] = []
        self.dead: set[str] = set()
        self.on_connect: Callable[[str], None] = lambda name: None

    def connect(self, device: Device, session: str):
        self.opened.append(device.id)
        self.on_connect(device.id)
        if device.id in self.dead:
            raise Unreachable(f"nothing answers at {device.id}", device.id)
        return self.worlds[device.id].connect(device, session)


def device(name: str, *targets: Target, host: str = "", **changes) -> Device:
    chosen = targets or (Target(name, "onnxruntime", "fp32"),)
    return Device(name, host or f"{name}.example", "me", chosen, **changes)


def pairs(*devices: Device) -> list[tuple[Device, Target]]:
    return [(found, target) for found in devices for target in found.targets]


class Source:
    """In place of lowering."""

    def __init__(self, *_: object) -> None:
        self.cache = fakes.Cache()

    def __enter__(self):
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def get(self, workload, runtime: str, precision: str):
        return self.cache.get(workload, runtime, precision)


@pytest.fixture(autouse=True)
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every target gets eleven jobs; the targets that were planned for."""
    found: list[str] = []

    def plan(options: PlanOptions, target: Target):
        found.append(target.id)
        return tuple(fakes.some_jobs())

    monkeypatch.setattr(profiling, "plan_jobs", plan)
    monkeypatch.setattr(profiling, "Lowerings", Source)
    return found


def profile(boards: Boards, chosen, results: Path, **changes) -> list[Run]:
    config = replace(fakes.CONFIG, rounds=1)
    return profile_targets(
        chosen, OPTIONS, config, results, "r", limits=fakes.LIMITS, connect=boards.connect, **changes
    )


def records(results: Path, name: str) -> int:
    found = read_journal(next((results / name).glob("*/journal.jsonl")))
    assert found.corrupt_lines == 0
    # what no good sentinel followed before an interruption is measured again, and journaled again
    return len({m.job_key for m in found.measurements if m.role.kind != "sentinel"})


def test_boards_work_side_by_side(tmp_path: Path):
    """A slow board does not end its first job before the other one has done all of its own."""
    boards = Boards("slow", "quick")
    others_end = threading.Event()
    boards.worlds["slow"].on_measure = lambda key: others_end.wait(60) or pytest.fail("the other board never ended")

    def on_measure(key: str) -> None:
        if len(boards.worlds["quick"].events) == 13:
            others_end.set()

    boards.worlds["quick"].on_measure = on_measure
    progress = fakes.Recorder()
    runs = profile(boards, pairs(device("slow"), device("quick")), tmp_path, progress=progress)
    assert [(run.target_id, run.measured, run.fault) for run in runs] == [
        ("slow/onnxruntime-fp32-t1", 11, ""),
        ("quick/onnxruntime-fp32-t1", 11, ""),
    ]
    assert progress.total == len(progress.labels) == 22


def test_targets_of_one_board_come_one_after_the_other_and_share_their_plan(tmp_path: Path, planned: list[str]):
    boards = Boards("a")
    targets = [Target("a", "onnxruntime", "fp32", threads) for threads in (1, 2)]
    runs = profile(boards, pairs(device("a", *targets)), tmp_path)
    assert [run.measured for run in runs] == [11, 11]
    ends = [e for e in boards.worlds["a"].events if e in ("connect", "finish", "close")]
    assert ends == ["connect", "finish", "close"] * 2
    assert planned == ["a/onnxruntime-fp32-t1"]


def test_a_dead_board_and_one_that_dies_keep_none_from_its_work(tmp_path: Path):
    boards = Boards("a", "dead", "dying")
    boards.dead.add("dead")

    def faults(artefact, attempt: int):
        if len(set(boards.worlds["dying"].events)) > 5:
            raise DeviceLost("power is gone", "dying")

    boards.worlds["dying"].faults = faults
    runs = profile(boards, pairs(device("dead"), device("dying"), device("a")), tmp_path)
    dead, dying, good = runs
    assert dead.fault == "nothing answers at dead"
    assert "power is gone" in dying.fault
    assert 0 < dying.measured < 11
    assert (good.measured, good.fault) == (11, "")
    assert "stopped after" in dying.sentence()
    assert records(tmp_path, "a") == 11
    assert records(tmp_path, "dying") == dying.measured


def test_settings_that_fit_one_run_folder_not_stop_only_that_one(tmp_path: Path):
    chosen = pairs(device("a"), device("b"))
    profile(Boards("a"), chosen[:1], tmp_path)
    config = replace(fakes.CONFIG, rounds=2)
    boards = Boards("a", "b")

    def again(places) -> list[Run]:
        return profile_targets(places, OPTIONS, config, tmp_path, "r", limits=fakes.LIMITS, connect=boards.connect)

    first, second = again(chosen)
    assert "choose another run id" in first.fault
    assert second.measured == 22
    with pytest.raises(ConfigError, match="choose another run id"):
        again(chosen[:1])


def test_a_bug_in_one_campaign_is_not_swallowed(tmp_path: Path):
    boards = Boards("a", "b")

    def fail(key: str) -> None:
        raise ZeroDivisionError

    boards.worlds["a"].on_measure = fail
    with pytest.raises(ZeroDivisionError):
        profile(boards, pairs(device("a"), device("b")), tmp_path)
    assert records(tmp_path, "b") == 11


def test_two_ids_for_one_address_are_refused_before_anything_is_done(tmp_path: Path, planned: list[str]):
    boards = Boards("a", "b")
    with pytest.raises(ConfigError, match=r"'a' and 'b' have one address \(me@board:22\).*same `machine`"):
        profile(boards, pairs(device("a", host="board"), device("b", host="board")), tmp_path)
    assert boards.opened == planned == []


@pytest.mark.parametrize(
    "changes", [{"port": 2222}, {"user": "you"}, {"jump": JumpHost("gate", "me")}, {"host": "other"}], ids=str
)
def test_what_is_another_address(changes):
    refuse_twins([device("a", host="board"), replace(device("b", host="board"), **changes)])


def test_one_address_of_one_declared_machine_is_one_lane(tmp_path: Path):
    boards = Boards("a", "b")
    open_now: list[str] = []
    boards.on_connect = open_now.append
    twins = [device(name, host="board", machine="m") for name in ("a", "b")]

    def alone(key: str) -> None:
        assert len(open_now) == 1 or "finish" in boards.worlds["a"].events

    for world in boards.worlds.values():
        world.on_measure = alone
    assert [run.measured for run in profile(boards, pairs(*twins), tmp_path)] == [11, 11]
    assert open_now == ["a", "b"]


def test_nothing_is_lowered_while_this_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    seen: set[int] = set()

    class Noting(Source):
        def get(self, workload, runtime: str, precision: str):
            made.append(precision)
            return super().get(workload, runtime, precision)

    monkeypatch.setattr(profiling, "Lowerings", Noting)
    boards = Boards("a", "b")
    for world in boards.worlds.values():
        world.on_measure = lambda key: seen.add(len(set(made)))
    chosen = pairs(
        *(
            device(name, Target(name, "onnxruntime", precision), emulation="loopback", machine="here")
            for name, precision in (("a", "fp32"), ("b", "int8"))
        )
    )
    assert [run.measured for run in profile(boards, chosen, tmp_path)] == [11, 11]
    assert seen == {2}


def test_ctrl_c_leaves_whole_journals_that_the_same_call_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stop = threading.Event()
    parts = {"Event": lambda: stop, "Thread": threading.Thread, "Lock": threading.Lock}
    monkeypatch.setattr(profiling, "threading", SimpleNamespace(**parts))
    boards = Boards("a", "b")
    waiting = threading.Event()

    def a(key: str) -> None:
        if len(boards.worlds["a"].events) == 6:
            waiting.wait(60)
            _thread.interrupt_main()
            stop.wait(60)

    boards.worlds["a"].on_measure = a
    boards.worlds["b"].on_measure = lambda key: waiting.set()
    chosen = pairs(device("a"), device("b"))
    with pytest.raises(KeyboardInterrupt):
        profile(boards, chosen, tmp_path)
    give_up = time.monotonic() + 20  # the interrupted call leaves a thread that is still writing after 3 s
    while records(tmp_path, "a") < 4 and time.monotonic() < give_up:
        time.sleep(0.01)
    assert records(tmp_path, "a") == 4, "what was in hand is journaled, and nothing is begun"
    stop.clear()
    boards.worlds["a"].on_measure = lambda key: None
    runs = profile(boards, chosen, tmp_path)
    assert sum(run.measured + run.resumed for run in runs) == 22
    assert records(tmp_path, "a") == records(tmp_path, "b") == 11
    assert sum(len(e) == 32 for world in boards.worlds.values() for e in world.events) == 22


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Boards], int]:
    """Runs `edgecost profile` on all boards; its exit code."""
    from edgecost.cli import main

    def call(boards: Boards) -> int:
        monkeypatch.setattr("profiler.fleet.sessions.session.connect", boards.connect)
        one = "  - {{id: {0}, host: {0}.example, user: me, targets: [{{runtime: onnxruntime, precision: fp32}}]}}\n"
        listed = "".join(one.format(name) for name in boards.worlds)
        (tmp_path / "devices.yaml").write_text("version: 1\ndevices:\n" + listed)
        monkeypatch.chdir(tmp_path)
        targets = [word for name in boards.worlds for word in ("-t", name)]
        monkeypatch.setattr(sys, "argv", ["edgecost", "profile", *targets, "-m", "x.onnx", "--effort", "quick"])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    return call


def test_the_command_names_the_boards_that_failed(command, capsys):
    boards = Boards("a", "dead")
    boards.dead.add("dead")
    assert command(boards) == 2
    out, err = capsys.readouterr()
    assert "dead/onnxruntime-fp32-t1: stopped after 0 jobs: nothing answers at dead" in out
    assert "a/onnxruntime-fp32-t1: 3 kernels, 2 networks; 33 jobs measured" in out
    assert "1 of 2 targets were not finished (dead/onnxruntime-fp32-t1)" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=len)
def test_ctrl_c_says_how_to_continue(command, capsys, tmp_path: Path, names: tuple[str, ...]):
    boards = Boards(*names)

    def once(key: str) -> None:
        if len(boards.worlds["a"].events) == 6:
            _thread.interrupt_main()

    boards.worlds["a"].on_measure = once
    assert command(boards) == 130
    assert "the same command continues" in capsys.readouterr().err
    boards.worlds["a"].on_measure = lambda key: None
    assert command(boards) == 0
    assert records(tmp_path / "results", "a") == 33
