"""Whole jobs on a board that is not there, in virtual time: what the protocol does about heat, clocks and load."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiler.agent import runtimes
from profiler.agent.runtimes.base import Model
from profiler.agent.worker import attempt
from profiler.agent.worker.bench import Bench
from profiler.agent.worker.pinning import FILE
from profiler.fleet.messages import Reply
from profiler.measure.config import MeasureConfig

Board = Any
Job = dict[str, Any]

GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
MINIMUM = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq"
WORD = "/sys/get_throttled"
DECLARED = {
    "governor": "performance", "clock": "unpinned", "sensors": [],
    "heat": {"zones": ["cpu"], "files": [], "throttle_command": [], "throttle_file": WORD, "throttle_bits": [0, 1, 2]},
}  # fmt: skip


class Pretended(Model):
    """A model whose run takes a millisecond, or what `cost` says in seconds; slower while the board throttles."""

    interface = "pretended"
    on_accelerator: int | None = None

    def __init__(self, board: Board, cost: Callable[[float], float]) -> None:
        self.board, self.cost = board, cost
        self.runs = 0
        self.run = self.work

    def work(self) -> None:
        self.runs += 1
        self.board.pass_ns(1e9 * self.cost(self.board.seconds))

    def device_ns(self) -> int | None:
        if self.on_accelerator is not None:
            self.work()
        return self.on_accelerator


@pytest.fixture
def calm(board: Board) -> Board:
    """A board at rest, of one core that is clocked at will."""
    board.cpus = [0]
    board.core(0)
    board.zone(0, "cpu", lambda s: 45.0)
    board.files.update({WORD: "0", "/proc/pressure/cpu": "some avg10=0 total=0", "/proc/loadavg": "0.1 0 0"})
    return board


Measure = Callable[..., tuple[Any, Pretended]]


@pytest.fixture
def measure(calm: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Measure:
    """Runs one job; the reply as the host reads it, and the model."""
    bench = Bench()
    monkeypatch.setattr(attempt, "_imported", {})
    monkeypatch.setattr(runtimes, "import_runtime", lambda name: (None, "pretended 1"))

    def run(
        cost: Callable[[float], float] = lambda s: 1e-3, declared: Job | None = None, **config: Any
    ) -> tuple[Any, Pretended]:
        model = Pretended(calm, cost)
        model.on_accelerator = config.pop("device_ns", None)
        monkeypatch.setattr(runtimes, "load", lambda name, runtime, job: model)
        job = {
            "id": "j", "path": "x", "format": "", "runtime": "onnxruntime", "precision": "fp32", "threads": 1,
            "inputs": [], "layout": "nchw", "expected": None, "config": MeasureConfig(**config).to_dict(),
            "board": DECLARED if declared is None else declared,
            "place": {"board": str(tmp_path), "session": str(tmp_path)},
        }  # fmt: skip
        reply = attempt.run_job(job, bench, lambda message: None)
        del reply["id"]
        return Reply.model_validate(reply), model

    return run


def issues(reply: Any) -> set[str]:
    """Beside those that hold for every figure of a board that is not there."""
    assert {"simulated", "sensor_missing"} <= set(reply.issues)
    return set(reply.issues) - {"simulated", "sensor_missing"}


def test_a_calm_board_gives_a_figure_without_a_doubt(measure: Measure, calm: Board) -> None:
    reply, _ = measure()
    assert (reply.status, issues(reply)) == ("ok", set())
    assert reply.runs_per_batch == 11
    assert reply.samples_ns == [pytest.approx(11_000_000, abs=100)] * 30
    env = reply.env
    assert (env["needs_s"], env["throttle_events"], env["batches_left_out"]) == (0, 0, 0)
    assert (env["freq_mhz"], env["freq_min_mhz"], env["freq_max_mhz"]) == (1500.0, 1500.0, 1500.0)
    assert (env["idle_c"], env["temperature_c"], env["temperature_c_after"], env["temperature_max_c"]) == (45.0,) * 4
    assert env["cooled_s"] == pytest.approx(5.0, abs=0.1)
    assert env["governor"] == "performance"
    assert 0.5 <= env["warmup_s"] < 0.6
    assert env["sampling_s"] == pytest.approx(0.33, abs=0.01)
    assert calm.besides == []


def test_every_reply_holds_what_the_host_may_read(measure: Measure) -> None:
    reply, _ = measure()
    assert len(reply.env) < 100
    assert {type(value) for value in reply.env.values()} <= {str, int, float, bool, type(None)}


def test_a_second_job_waits_for_nothing(measure: Measure) -> None:
    measure()
    reply, _ = measure()
    assert reply.env["cooled_s"] == 0


def test_a_throttled_spell_is_left_out_and_measured_again(measure: Measure, calm: Board) -> None:
    hot = (6.2, 6.6)  # after five seconds of looking and half of warming up
    calm.files[WORD] = lambda s: "4" if hot[0] <= s < hot[1] else "0"
    rng = random.Random(1)
    reply, _ = measure(
        lambda s: 1e-3 * (2.0 if hot[0] <= s < hot[1] else 1.0) * rng.gauss(1, 0.05),
        target_half_width=0.002,
    )
    assert issues(reply) == set()
    assert reply.env["throttle_events"] == 1
    assert reply.env["batches_left_out"] > 20
    assert max(reply.samples_ns) < 1.5 * min(reply.samples_ns)
    assert len(reply.samples_ns) >= 30


def test_a_spell_that_only_the_last_look_sees_is_measured_again_too(measure: Measure, calm: Board) -> None:
    # between looks: at 5 + 0.5 s sampling begins, at 5.83 s it would end
    calm.files[WORD] = lambda s: "4" if 5.81 <= s < 5.9 else "0"
    reply, _ = measure()
    assert (reply.env["throttle_events"], issues(reply)) == (1, set())
    assert len(reply.samples_ns) >= 30
    assert reply.env["batches_left_out"] >= 20


def test_a_board_that_throttles_all_the_time_has_a_doubtful_figure(measure: Measure, calm: Board) -> None:
    calm.files[WORD] = "4"
    reply, _ = measure(cap_s=1.0)
    assert issues(reply) == {"throttled", "ci_not_met"} or issues(reply) == {"throttled"}
    assert len(reply.samples_ns) == pytest.approx(1.0 / 0.011, abs=1)


def test_nothing_is_looked_at_where_that_is_not_wanted(measure: Measure, calm: Board) -> None:
    calm.files[WORD] = "4"
    reply, _ = measure(observe_hz=0.0)
    assert issues(reply) == set()
    assert "throttle_events" not in reply.env


def test_a_hot_board_is_waited_for(measure: Measure, calm: Board) -> None:
    measure()
    began = calm.seconds
    calm.zone(0, "cpu", lambda s: 45.0 + max(0.0, 20.0 - (s - began) / 3))
    reply, _ = measure()
    assert 45 < reply.env["cooled_s"] < 75
    assert (reply.env["idle_c"], issues(reply)) == (45.0, set())


def test_a_board_that_stays_hot_is_told(measure: Measure, calm: Board) -> None:
    measure()
    calm.zone(0, "cpu", lambda s: 80.0)
    reply, _ = measure(cool_s=30.0)
    assert issues(reply) == {"too_hot"}
    assert reply.env["cooled_s"] == pytest.approx(30.0, abs=0.1)


def test_a_zone_that_reads_zero_is_told(measure: Measure, calm: Board) -> None:
    calm.zone(0, "cpu", lambda s: 0.0)
    for changes in ({}, {"declared": {}}, {"observe_hz": 0.0}):
        reply, _ = measure(**changes)
        assert issues(reply) - {"unpinned"} == {"thermal_unknown"}
        assert (reply.env["temperature_c"], "cooled_s" in reply.env) == (None, False)


def test_a_governor_is_held_for_the_job_and_put_back_by_the_next_that_wants_none(
    measure: Measure, calm: Board, tmp_path: Path
) -> None:
    governors: list[Any] = []

    def cost(seconds: float) -> float:
        governors.append(calm.files[GOVERNOR])
        return 1e-3

    measure(cost)
    assert set(governors) == {"performance"}
    assert (tmp_path / FILE).exists()
    reply, _ = measure(pin=False)
    assert (issues(reply), calm.files[GOVERNOR]) == ({"unpinned"}, "schedutil")
    assert not (tmp_path / FILE).exists()


def test_a_clock_is_held(measure: Measure, calm: Board) -> None:
    calm.files["/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"] = lambda s: calm.files[MINIMUM]
    reply, _ = measure(declared={**DECLARED, "governor": "", "clock": "1200"})
    assert (issues(reply), reply.env["freq_mhz"], reply.env["pinned"]) == (set(), 1200.0, True)


def test_a_governor_that_may_not_be_set_is_told_and_measured_all_the_same(measure: Measure, calm: Board) -> None:
    calm.refused = {GOVERNOR}
    reply, _ = measure()
    assert (reply.status, issues(reply)) == ("ok", {"governor_refused", "unpinned"})


def test_a_clock_that_is_set_back_costs_its_batch(measure: Measure, calm: Board) -> None:
    stepped: list[float] = []

    def cost(seconds: float) -> float:
        if seconds > 5.7 and not stepped:
            stepped.append(seconds)
            calm.now -= 3600e9
        return 1e-3

    reply, _ = measure(cost)
    assert issues(reply) == {"clock_stepped"}
    assert min(reply.samples_ns) > 0
    assert len(reply.samples_ns) == 30
    assert 0 < reply.env["sampling_s"] < 0.4


def test_what_lasted_for_nobody_knows_how_long_did_not_last_for_no_time(measure: Measure, calm: Board) -> None:
    stepped: list[float] = []

    def cost(seconds: float) -> float:
        if not stepped:
            stepped.append(seconds)
            calm.now -= 3600e9
        return 1e-3

    reply, _ = measure(cost)
    assert (reply.first_run_ns, issues(reply)) == (None, set())
    assert reply.load_ns is not None


def test_samples_that_go_on_drifting_are_told(measure: Measure) -> None:
    reply, _ = measure(lambda s: 1e-3 * (1 + 0.05 * max(0.0, s - 5.5)))
    assert issues(reply) == {"not_steady"}


def test_samples_that_turn_out_to_be_a_warm_up_are_taken_anew(measure: Measure) -> None:
    # calm until the warm-up is over, then slower from batch to batch for as long as 30 batches last
    reply, model = measure(lambda s: 1e-3 * (1 + 0.05 * min(0.35, max(0.0, s - 5.5))))
    assert issues(reply) == set()
    assert reply.samples_ns == [pytest.approx(11 * 1_017_500, rel=0.001)] * 30
    env = reply.env
    assert env["warmup_s"] == pytest.approx(0.85, abs=0.03), "what was thrown away was warm-up"
    assert env["sampling_s"] == pytest.approx(0.336, abs=0.005)
    assert reply.warmup_runs + sum([reply.runs_per_batch] * 30) == pytest.approx(model.runs, abs=4)


def test_cold_caches(measure: Measure, calm: Board) -> None:
    calm.files["/sys/devices/system/cpu/cpu0/cache/index2/size"] = "512K"
    evictions = [0]

    def cost(seconds: float) -> float:
        cold, evictions[0] = calm.evictions > evictions[0], calm.evictions
        return 2e-3 if cold else 1e-3

    reply, _ = measure(cost, cache="cold")
    assert reply.runs_per_batch == 1
    assert reply.samples_ns == [pytest.approx(2_000_000, abs=100)] * 30
    assert (reply.env["cache"], reply.env["evicted_mb"], calm.evictions) == ("cold", 1, 30)


def test_what_the_accelerator_took_is_told_apart(measure: Measure) -> None:
    assert "device_ns" not in measure()[0].env
    reply, _ = measure(device_ns=700_000)
    assert reply.env["device_ns"] == 700_000


def test_what_was_cut_short_tells_what_it_would_have_needed(measure: Measure) -> None:
    rng = random.Random(2)
    reply, _ = measure(lambda s: 0.02 * rng.uniform(0.5, 1.5), cap_s=1.0)
    assert "ci_not_met" in reply.issues
    assert reply.env["needs_s"] > 5


def test_energy_is_recorded_after_the_samples_with_a_load_of_its_own(measure: Measure, calm: Board) -> None:
    busy = [0.0]

    def cost(seconds: float) -> float:
        busy[0] = seconds
        return 1e-3

    calm.files["/sys/class/hwmon/hwmon0/name"] = "ina226"
    calm.files["/sys/class/hwmon/hwmon0/power1_input"] = lambda s: str(
        int(5e6 * (s - busy[0] < 0.01)) + 2_000_000 + int(40 * s) % 3 * 25_000
    )
    sensor = {"kind": "hwmon", "name": "ina226", "scope": "board-in", "channels": ["power1_input"], "update_hz": 40.0}
    quick = {"energy_load_s": 2.0, "energy_updates": 20, "energy_preroll_s": 0.5, "energy_idle_s": 1.0}
    reply, _ = measure(cost, {**DECLARED, "sensors": [sensor]}, energy=True, **quick)
    assert (reply.status, set(reply.issues)) == ("ok", {"simulated"})
    assert len(reply.samples_ns) == 30
    power = reply.power.record()
    assert (power.scope, power.form, reply.energy_mj) == ("board-in", "power", None)
    assert power.runs >= 1900
    begin, end = power.load_us
    inside = [value for at, value in zip(power.times_us, power.values, strict=True) if begin + 50_000 < at < end]
    assert min(inside) >= 7_000_000
    assert min(power.values) <= 2_050_000
    assert measure(cost, {**DECLARED, "sensors": [sensor]})[0].power is None


def test_other_programs_are_told(measure: Measure, calm: Board) -> None:
    calm.files["/proc/pressure/cpu"] = lambda s: f"some avg10=0 total={int(2e5 * s)}"
    assert issues(measure()[0]) == {"background_load"}


def test_a_request_of_an_earlier_host_is_measured(calm: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Pretended(calm, lambda s: 1e-3)
    monkeypatch.setattr(attempt, "_imported", {})
    monkeypatch.setattr(runtimes, "import_runtime", lambda name: (None, "pretended 1"))
    monkeypatch.setattr(runtimes, "load", lambda name, runtime, job: model)
    names = ("min_batch_s", "warmup_runs", "warmup_s", "min_batches", "target_half_width", "cap_s", "job_timeout_s")
    config = {name: getattr(MeasureConfig(), name) for name in names}
    job = {
        "id": "j",
        "path": "x",
        "runtime": "torch",
        "precision": "fp32",
        "threads": 1,
        "inputs": [],
        "config": config,
    }
    reply = attempt.run_job(job, Bench(), lambda message: None)
    assert (reply["status"], len(reply["samples_ns"])) == ("ok", 30)
    assert calm.files[GOVERNOR] == "schedutil"
