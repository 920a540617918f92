"""Adaptive profiling: batches chosen where the error is, logged before they are measured, within a budget."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgecost.stages.adaptive import adaptive_run_id, profile_adaptively
from edgecost.stages.planning import PlanOptions
from edgecost.stages.profiling import Run
from edgecost.stages.sampling_log import Planned, SamplingLog
from profiler.errors import ConfigError, DeviceLost, StorageError
from profiler.measure.config import MeasureConfig
from profiler.measure.limits import CampaignLimits
from profiler.tables.table import CostTable
from profiler.workloads.fusion import cut
from tests.contracts.simulated_target import networks

FAKES = Path(__file__).parents[1] / "profiler" / "measure" / "fakes.py"
CONFIG = MeasureConfig(rounds=1, min_batches=5, seed=7, warmup_s=0.1, cap_s=0.2, sentinel_jobs=0, retries=0)
OPTIONS = PlanOptions(space="nasbench201", fit_models=3, held_out=2)
JOB_S = 0.25


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("adaptive_fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr("edgecost.stages.planning.COVERING_ARCHITECTURES", 4)
    monkeypatch.setattr("predictors.sampling.typical._INVERTED", ((16, 48, 16, 32, 1),))
    return module


def world_of(fakes: ModuleType) -> Any:
    """A board on which every job takes `JOB_S` of its own time, and a run what its arithmetic takes."""
    world = fakes.World()

    def measured(artefact: Any, attempt: int) -> Any:
        work = artefact.workload
        ns = 20_000 + 2_000 * len(work.compute_ops) + work.macs // 20 + (work.bytes_read + work.bytes_written) // 10
        world.on_measure(work.key)
        return fakes.Reply(samples_ns=(10 * ns,) * 5, runs_per_batch=10, env={"load_1min": 0.1, "attempt_s": JOB_S})

    world.faults = measured
    return world


def profiled(fakes: ModuleType, world: Any, results: Path, minutes: float, **changes: Any) -> tuple[Run, list[str]]:
    told = fakes.Recorder()
    wanted = {"options": OPTIONS, "config": CONFIG, "name": "run"} | changes
    (run,) = profile_adaptively(
        [(fakes.DEVICE, fakes.TARGET)], wanted["options"], wanted["config"], minutes, results, wanted["name"], told,
        CampaignLimits(patience_s=0.0), world.connect, fakes.Cache(),
    )  # fmt: skip
    return run, told.messages


def test_batches_follow_until_the_budget_is_spent(fakes: ModuleType, tmp_path: Path) -> None:
    world = world_of(fakes)
    run, messages = profiled(fakes, world, tmp_path, 1.5)
    log = SamplingLog(Path(run.run_dir))
    assert len(log.batches) > 3
    assert all(batch.whole for batch in log.batches)
    first, *rest = log.batches
    assert (len(first.fit), len(first.held_out), len(first.kernels)) == (3, 2, 0)
    assert not any(batch.fit for batch in rest)
    keys = [kernel.key for batch in rest for kernel in batch.kernels]
    assert len(set(keys)) == len(keys) == run.kernels
    # a batch may need companions that nobody foresaw: the last one ends a little late, or the run a little early
    assert 0.7 * 90 < log.spent_s() < 1.3 * 90
    assert log.spent_s() == pytest.approx(JOB_S * sum(1 for e in world.events if len(e) == 32))
    table = CostTable.from_runs([Path(run.run_dir)])
    target = table.targets[0]
    assert set(keys) <= {row.key for row in table.rows(target.id, "kernel")}
    assert len({cut(w, target.runtime, target.precision)[0].kind for b in rest for w in b.kernels}) > 10
    assert any("batch 2" in message and "left out" in message for message in messages)


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(fakes: ModuleType, tmp_path: Path) -> None:
    world = world_of(fakes)
    first, _ = profiled(fakes, world, tmp_path, 0.7)
    before = SamplingLog(Path(first.run_dir)).batches
    measured = [event for event in world.events if len(event) == 32]
    second, _ = profiled(fakes, world, tmp_path, 1.4)
    after = SamplingLog(Path(second.run_dir)).batches
    assert second.run_dir == first.run_dir
    assert after[: len(before)] == before
    assert len(after) > len(before)
    again = [event for event in world.events if len(event) == 32][len(measured) :]
    assert not set(again) & set(measured), "nothing is measured twice"
    third, _ = profiled(fakes, world, tmp_path, 1.4)
    assert (third.measured, SamplingLog(Path(third.run_dir)).batches) == (0, after)


def test_what_other_runs_have_measured_is_known(fakes: ModuleType, tmp_path: Path) -> None:
    before, _ = profiled(fakes, world_of(fakes), tmp_path, 1.0)
    run, messages = profiled(fakes, world_of(fakes), tmp_path, 0.5, name="another")
    first, second = (SamplingLog(Path(r.run_dir)).batches for r in (before, run))
    assert [(b.fit, b.held_out) for b in second] == [((), ())] * len(second), "as many networks are measured"
    keys = {kernel.key for batch in first for kernel in batch.kernels}
    assert keys
    assert not keys & {kernel.key for batch in second for kernel in batch.kernels}
    assert f"batch 1: {len(CostTable.from_runs([Path(before.run_dir)]).rows(kind='kernel'))} kernels" in messages[0]


def test_an_interrupted_batch_is_finished_first(fakes: ModuleType, tmp_path: Path) -> None:
    world = world_of(fakes)
    jobs = []

    def lost(key: str) -> None:
        jobs.append(key)
        if len(jobs) == 40:
            raise KeyboardInterrupt

    world.on_measure = lost
    with pytest.raises(KeyboardInterrupt):
        profiled(fakes, world, tmp_path, 1.0)
    (folder,) = (tmp_path / "fake").iterdir()
    planned = SamplingLog(folder).batches
    assert not planned[-1].whole
    world.on_measure = lambda key: None
    run, _ = profiled(fakes, world, tmp_path, 1.0)
    batches = SamplingLog(Path(run.run_dir)).batches
    assert [b.kernels for b in batches[: len(planned)]] == [b.kernels for b in planned]
    assert all(batch.whole for batch in batches)
    assert SamplingLog(Path(run.run_dir)).spent_s() < 1.3 * 60


def test_the_same_seed_chooses_the_same(fakes: ModuleType, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run, _ = profiled(fakes, world_of(fakes), tmp_path / name, 0.7, options=replace(OPTIONS, seed=seed))
        found.append([[w.key for w in batch.kernels] for batch in SamplingLog(Path(run.run_dir)).batches])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_board_that_is_lost_keeps_what_it_has(fakes: ModuleType, tmp_path: Path) -> None:
    world = world_of(fakes)
    world.connect_faults = [DeviceLost("gone", "fake")] * 50
    run, _ = profiled(fakes, world, tmp_path, 0.5)
    assert run.fault
    assert SamplingLog(Path(run.run_dir)).batches[0].fit


@pytest.mark.parametrize(
    ("minutes", "changes", "said"),
    [
        (0.0, {}, "--minutes"),
        (float("nan"), {}, "--minutes"),
        (1.0, {"options": replace(OPTIONS, blocks=True)}, "--blocks"),
        (1.0, {"config": replace(CONFIG, energy=True)}, "--energy"),
    ],
)
def test_what_makes_no_sense_is_refused(
    fakes: ModuleType, tmp_path: Path, minutes: float, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        profiled(fakes, world_of(fakes), tmp_path, minutes, **changes)
    assert not list(tmp_path.iterdir())


def test_the_budget_is_no_part_of_the_runs_name() -> None:
    assert adaptive_run_id(OPTIONS, CONFIG) == adaptive_run_id(OPTIONS, CONFIG)
    assert adaptive_run_id(replace(OPTIONS, seed=1), CONFIG) != adaptive_run_id(OPTIONS, CONFIG)


# ---------------------------------------------------------------- the log


def test_a_torn_line_is_cut_off_and_a_broken_one_is_named(tmp_path: Path) -> None:
    log = SamplingLog(tmp_path)
    log.begin(0, {"add": 1})
    net = networks(1)[0]
    log.plan(Planned(0, (net,), jobs=3))
    log.end(0, 2.5, whole=True)
    path = tmp_path / "sampling.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"batch": 1, "ker')
    again = SamplingLog(tmp_path)
    assert again.batches == log.batches
    assert again.spent_s() == 2.5
    assert again.job_s() == pytest.approx(2.5 / 3)
    assert path.read_bytes() == whole
    path.write_bytes(whole + b'{"batch": 7}\n')
    with pytest.raises(StorageError, match="line 4 of"):
        SamplingLog(tmp_path)
    path.write_bytes(json.dumps({"schema": 99, "seed": 0, "kinds": {}}).encode() + b"\n")
    with pytest.raises(StorageError, match="newer"):
        SamplingLog(tmp_path)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    SamplingLog(tmp_path).begin(0, {"add": 1})
    SamplingLog(tmp_path).begin(0, {"add": 1})
    with pytest.raises(ConfigError, match="--run"):
        SamplingLog(tmp_path).begin(1, {"add": 1})
