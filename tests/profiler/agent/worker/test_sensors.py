from __future__ import annotations

from pathlib import Path

import pytest

from profiler.agent.worker.sensors import Energy, EnergyMeter, counters


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def package(root: Path, name: str, energy_uj: int, *, kind: str = "package-0", span: int = 1000_000_000) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "name").write_text(kind + "\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder


def measured(meter: EnergyMeter, clock: Clock, seconds: float, runs: int, **now_uj: int) -> Energy:
    for folder, value in now_uj.items():
        (Path(folder) / "energy_uj").write_text(str(value))
    clock.now += seconds
    return meter.read(runs)


def test_no_sensor_is_an_issue_and_no_zero(tmp_path: Path) -> None:
    assert EnergyMeter(str(tmp_path)).read(1000) == Energy(None, ["sensor_missing"], {})


def test_the_mean_energy_of_a_run_of_all_packages(tmp_path: Path) -> None:
    first = package(tmp_path, "intel-rapl:0", 5_000_000)
    second = package(tmp_path, "intel-rapl:1", 7_000_000, kind="package-1")
    clock = Clock()
    meter = EnergyMeter(str(tmp_path), clock)
    found = measured(meter, clock, 2.0, 100, **{str(first): 25_000_000, str(second): 17_000_000})
    assert found.energy_mj == pytest.approx((20_000_000 + 10_000_000) / 1000 / 100)
    assert found.issues == []
    assert found.notes == {"energy_scope": "SoC-rails", "energy_window_s": 2.0}


def test_a_counter_that_starts_again_is_followed_around(tmp_path: Path) -> None:
    folder = package(tmp_path, "intel-rapl:0", 990_000_000)
    clock = Clock()
    found = measured(EnergyMeter(str(tmp_path), clock), clock, 2.0, 100, **{str(folder): 30_000_000})
    assert found.energy_mj == pytest.approx(40_000_000 / 1000 / 100)


@pytest.mark.parametrize(("seconds", "runs"), [(0.99, 1000), (5.0, 49)])
def test_a_window_that_is_too_short_gives_no_figure_and_says_so(tmp_path: Path, seconds: float, runs: int) -> None:
    folder = package(tmp_path, "intel-rapl:0", 0)
    clock = Clock()
    found = measured(EnergyMeter(str(tmp_path), clock), clock, seconds, runs, **{str(folder): 10_000_000})
    assert found.energy_mj is None
    assert found.issues == []  # the sensor is there
    assert found.notes["energy_note"] == "the window is too short for a figure"


def test_a_counter_that_stands_still_is_no_sensor(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 4_000_000)
    clock = Clock()
    found = measured(EnergyMeter(str(tmp_path), clock), clock, 2.0, 100)
    assert (found.energy_mj, found.issues) == (None, ["sensor_missing"])


def test_a_counter_that_vanishes_gives_no_figure(tmp_path: Path) -> None:
    folder = package(tmp_path, "intel-rapl:0", 0)
    clock = Clock()
    meter = EnergyMeter(str(tmp_path), clock)
    (folder / "energy_uj").unlink()
    found = measured(meter, clock, 2.0, 100)
    assert (found.energy_mj, found.issues) == (None, ["sensor_missing"])


def test_parts_of_a_package_and_second_views_of_it_are_not_counted_twice(tmp_path: Path) -> None:
    kept = package(tmp_path, "intel-rapl:0", 1)
    package(tmp_path, "intel-rapl:0:0", 1, kind="core")
    package(tmp_path, "intel-rapl:1", 1, kind="psys")
    package(tmp_path, "intel-rapl-mmio:0", 1)
    (tmp_path / "intel-rapl:7").mkdir()  # says nothing of itself
    assert [counter.folder for counter in counters(str(tmp_path))] == [str(kept)]


def test_a_counter_that_only_root_may_read_is_none(tmp_path: Path) -> None:
    folder = package(tmp_path, "intel-rapl:0", 1)
    (folder / "energy_uj").unlink()
    (folder / "energy_uj").mkdir()  # unreadable for root too
    assert counters(str(tmp_path)) == []
