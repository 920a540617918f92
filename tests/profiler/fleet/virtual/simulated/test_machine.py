"""Virtual time, controls, what happens beside a measurement, and what lasts from process to process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from profiler.fleet.virtual.simulated.presets import IDEAL, PRESETS
from profiler.fleet.virtual.simulated.spec import Clock, Noise


def test_reading_the_clock_moves_it_by_what_reading_takes(machine: Any) -> None:
    board = machine(IDEAL)
    found = [board.clock_ns() for _ in range(1000)]
    steps = {b - a for a, b in zip(found, found[1:], strict=False)}
    assert steps <= {38, 57}  # 45 ns, by ticks of 19
    assert found[-1] - found[0] == pytest.approx(999 * 45, abs=20)


def test_runs_and_rests_take_their_time(machine: Any, cost: Any) -> None:
    board, what = machine(IDEAL), cost(IDEAL)
    start = board.clock_ns()
    board.run(what, 100, 99.0)
    assert board.clock_ns() - start == pytest.approx(100 * what.run_s() * 1e9, rel=1e-3)
    start = board.clock_ns()
    board.rest(3600)
    assert board.clock_ns() - start == pytest.approx(3600e9, rel=1e-9)


def test_what_is_done_beside_happens_at_its_times(machine: Any, cost: Any) -> None:
    board, what = machine(IDEAL), cost(IDEAL)
    seen: list[tuple[float, bool]] = []
    due = board.beside(0.1, lambda: seen.append((board.now_s, board.working)))
    board.run(what, round(1.0 / what.run_s()), 99.0)  # one batch, and it is looked into all the same
    board.rest(1.0)
    board.forget(due)
    board.rest(1.0)
    assert len(seen) == pytest.approx(20, abs=1)
    assert [at for at, _ in seen] == pytest.approx([seen[0][0] + 0.1 * n for n in range(len(seen))], abs=0.002)
    assert [working for at, working in seen] == [at <= 1.0 for at, _ in seen]


def test_what_is_done_beside_takes_little_from_the_measurement_and_sees_no_future(
    machine: Any, cost: Any, board: Any
) -> None:
    spec = replace(IDEAL, noise=Noise(observer_share=0.5))
    here, what = machine(spec), cost(spec)
    files = board.files.Files(here)
    shown: list[int] = []

    def look() -> None:
        files.run(["vcgencmd", "get_throttled"])  # 4 ms
        shown.append(here.clock_ns())

    here.beside(0.1, look)
    times = [here.clock_ns()]
    took = 0.0
    for _ in range(100):
        took += here.run(what, round(0.01 / what.run_s()), 99.0)
        while shown:
            assert shown.pop(0) <= here.clock_ns()
        times.append(here.clock_ns())
    assert times == sorted(times)
    undisturbed = 100 * round(0.01 / what.run_s()) * what.run_s()
    assert took == pytest.approx(undisturbed + 10 * 0.004 * 0.5, rel=0.003)


def test_a_clock_may_step_back(machine: Any) -> None:
    board = machine(replace(IDEAL, clock=replace(IDEAL.clock, step_every_s=10.0, step_s=0.5)))
    times = []
    for _ in range(300):
        board.rest(1)
        times.append(board.clock_ns() / 1e9)
    back = [b - a for a, b in zip(times, times[1:], strict=False) if b - a < 0.9]
    assert 15 < len(back) < 50
    assert min(back) == pytest.approx(0.5, abs=1.1)


# -------------------------------------------------------------------- clocks of the processor


def test_the_governor_and_the_limits_rule_the_clock(machine: Any, cost: Any, board: Any) -> None:
    spec = replace(IDEAL, clock=Clock((1000, 1500, 2000), (0.8, 0.9, 1.0), governor="ondemand", ramp_s=0.02))
    here, what = machine(spec), cost(spec)
    files = board.files.Files(here)
    folder = "/sys/devices/system/cpu/cpu1/cpufreq"
    here.join()

    def each() -> float:
        return float(here.run(what, 2000, 99.0)) / 2000 / what.run_s()

    assert files.read(f"{folder}/scaling_cur_freq") == "1000000"
    here.rest(1)
    first = here.run(what, 20, 99.0) / 20  # before the governor has noticed
    assert first == pytest.approx(what.run_s(1000), rel=1e-3)
    assert each() == pytest.approx(1, rel=0.2)
    files.write(f"{folder}/scaling_max_freq", "1500000\n")
    assert each() == pytest.approx(what.run_s(1500) / what.run_s(), rel=1e-3)
    files.write(f"{folder}/scaling_governor", "powersave")
    assert each() == pytest.approx(what.run_s(1000) / what.run_s(), rel=1e-3)
    files.write(f"{folder}/scaling_governor", "performance")
    files.write(f"{folder}/scaling_min_freq", "1500000")
    assert files.read("/sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq") == "1500000"
    for name, value in (("scaling_min_freq", "2000000"), ("scaling_governor", "haste"), ("scaling_setspeed", "1")):
        with pytest.raises(OSError, match="Invalid argument"):
            files.write(f"{folder}/{name}", value)


def test_a_governor_that_may_not_be_set(machine: Any, board: Any) -> None:
    files = board.files.Files(machine(PRESETS["kv260"]))
    with pytest.raises(PermissionError):
        files.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
    with pytest.raises(FileNotFoundError):
        files.write("/sys/devices/system/cpu/cpu9/cpufreq/scaling_governor", "performance")


# -------------------------------------------------------------------- from process to process


def test_what_lasts_lasts(machine: Any, cost: Any) -> None:
    spec = PRESETS["rpi5"]
    first, what = machine(spec), cost(spec)
    first.join()
    first.run(what, 10**6, 0.0)
    first.governor.set("governor", "performance")
    first.save()
    second = machine(spec)
    assert second.now_s == first.now_s
    assert second.heat.celsius == first.heat.celsius
    assert second.governor.get("governor") == "performance"
    second.join()
    assert second.state["processes"] == 2
    assert second.noise.own != first.noise.own


def test_a_process_that_only_looks_sees_what_another_has_done(machine: Any, cost: Any) -> None:
    worker, onlooker = machine(IDEAL), machine(IDEAL)
    worker.join()
    worker.run(cost(IDEAL), 10**6, 0.0)
    worker.save()
    onlooker.governor.set("max_khz", 1500000)
    worker.sync()
    onlooker.sync()
    assert onlooker.now_s == worker.now_s
    assert worker.governor.get("max_khz") == 1500000
    onlooker.rest(1.0)  # looking takes its time, and is forgotten
    worker.run(cost(IDEAL), 10**6, 0.0)
    worker.save()
    onlooker.sync()
    assert onlooker.now_s == worker.now_s


def test_a_torn_memory_is_an_empty_one(machine: Any, tmp_path: Any) -> None:
    board = machine(IDEAL)
    board.rest(5)
    board.save()
    (tmp_path / "board" / "state.json").write_text('{"now_ns": 5, "he', encoding="utf-8")
    assert machine(IDEAL).now_s == 0


def test_a_boot_changes_the_boot_and_forgets_what_no_disk_holds(machine: Any, board: Any) -> None:
    here = machine(IDEAL)
    files = board.files.Files(here)
    before = files.read("/proc/sys/kernel/random/boot_id")
    here.governor.set("governor", "powersave")
    here.rest(100)
    was = here.now_s
    here.boot()
    assert files.read("/proc/sys/kernel/random/boot_id") != before
    assert here.governor.get("governor") == IDEAL.clock.governor
    assert here.now_s == pytest.approx(was + IDEAL.faults.boot_s, abs=0.01)
    assert here.uptime_s < 0.01
    assert here.heat.celsius < 35


# -------------------------------------------------------------------- files


def test_nothing_of_this_machine_is_there(machine: Any, board: Any) -> None:
    files = board.files.Files(machine(IDEAL))
    for path in ("/etc/passwd", "/etc/hostname", "/proc/version", "/sys/class/net"):
        assert files.read(path) is None
    assert files.run(["uname", "-a"]) is None
    assert files.run([]) is None
    assert files.glob("/etc/*") == ["/etc/machine-id", "/etc/os-release"]


def test_patterns_match_as_in_a_shell(machine: Any, board: Any) -> None:
    files = board.files.Files(machine(IDEAL))
    assert files.glob("/sys/devices/system/cpu/cpufreq/policy*") == ["/sys/devices/system/cpu/cpufreq/policy0"]
    assert len(files.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")) == IDEAL.cpus
    assert files.glob("/sys/class/hwmon/hwmon*/name") == ["/sys/class/hwmon/hwmon1/name"]
    assert files.glob("/sys/*") == ["/sys/class", "/sys/devices"]
    assert files.read("/sys/class/hwmon/hwmon1/../hwmon1/name") == "ina226"


def test_another_spec_is_another_board(machine: Any, board: Any) -> None:
    found = {
        board.files.Files(machine(spec, f"{spec.id}{spec.seed}{spec.cpus}")).read("/etc/machine-id")
        for spec in (*PRESETS.values(), replace(IDEAL, seed=1), replace(IDEAL, cpus=8))
    }
    assert len(found) == len(PRESETS) + 2
