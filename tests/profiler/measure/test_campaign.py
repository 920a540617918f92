from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import ArtefactError, ConfigError, StorageError, UnsupportedOperator
from profiler.measure import journal as journal_module
from profiler.measure.campaign import Campaign, CampaignResult
from profiler.measure.journal import Journal, JournalContents, read_journal
from profiler.measure.record import Measurement, Role
from profiler.measure.sufficiency import Sufficiency


@pytest.fixture
def world(fakes: ModuleType):
    return fakes.World(noise=0.001)


def run(fakes: ModuleType, world, results: Path, jobs=None, run_id: str = "r1", **changes) -> CampaignResult:
    campaign = fakes.campaign(world, results, **changes)
    return campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs() if jobs is None else jobs, run_id)


def contents(results: Path, run_id: str = "r1") -> JournalContents:
    return read_journal(results / "fake" / run_id / "journal.jsonl")


def measured(world) -> list[str]:
    return [e for e in world.events if len(e) == 32]


def test_every_job_is_measured_once_a_round_and_journaled(tmp_path: Path, fakes: ModuleType, world):
    result = run(fakes, world, tmp_path)
    found = contents(tmp_path).measurements
    assert replace(result, sufficiency=Sufficiency()) == CampaignResult(tmp_path / "fake" / "r1", 33, 0, 0, {})
    assert len({m.job_key for m in found}) == 33
    jobs = fakes.some_jobs()
    for round_ in range(3):
        of_round = [(m.workload_key, m.role) for m in found if m.round == round_]
        assert sorted(of_round, key=str) == sorted(((j.workload.key, j.role) for j in jobs), key=str)
    first = found[0]
    assert (first.status, first.target_id, first.runs_per_batch) == ("ok", fakes.TARGET.id, 10)
    assert first.samples_ns
    assert first.started_at.startswith("20")


def test_a_fresh_worker_every_round_and_one_connection(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    marks = [e for e in world.events if len(e) != 32]
    assert marks == ["connect", "worker", "worker", "worker", "finish", "close"]
    places = [i for i, e in enumerate(world.events) if e == "worker"]
    assert [b - a for a, b in pairwise(places)] == [12, 12]


def test_groups_stay_together_and_rounds_differ_in_order(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    orders = []
    for round_ in range(3):
        subjects = [m.role.subject_key for m in contents(tmp_path).measurements if m.round == round_]
        blocks = [s for i, s in enumerate(subjects) if i == 0 or subjects[i - 1] != s]
        assert len(blocks) == len(set(blocks)), "a group was torn apart"
        orders.append(tuple(blocks))
    assert len(set(orders)) > 1


def test_the_seed_makes_the_order(tmp_path: Path, fakes: ModuleType):
    def order(run_id: str, seed: int) -> list[str]:
        world = fakes.World()
        run(fakes, world, tmp_path, run_id=run_id, config=replace(fakes.CONFIG, seed=seed))
        return measured(world)

    assert order("a", 1) == order("b", 1)
    assert order("c", 2) != order("a2", 1)


def test_the_same_command_again_measures_nothing(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    before = (tmp_path / "fake" / "r1" / "journal.jsonl").read_bytes()
    again = fakes.World()
    progress = fakes.Recorder()
    campaign = fakes.campaign(again, tmp_path)
    campaign.progress = progress
    result = campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")
    assert (result.measured, result.resumed, result.skipped) == (0, 33, 0)
    assert measured(again) == []
    assert progress.total == 0
    assert (tmp_path / "fake" / "r1" / "journal.jsonl").read_bytes() == before


def test_added_jobs_are_all_that_is_measured(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    extra = fakes.kernel_jobs("add")
    again = fakes.World()
    result = run(fakes, again, tmp_path, jobs=[*fakes.some_jobs(), *extra])
    assert (result.measured, result.resumed) == (9, 33)
    assert set(measured(again)) == {job.workload.key for job in extra}


def test_a_job_named_twice_is_measured_once(tmp_path: Path, fakes: ModuleType, world):
    jobs = fakes.kernel_jobs("conv2d", m=1)
    assert len(jobs) == 3
    assert run(fakes, world, tmp_path, jobs=jobs).measured == 6, "with m = 1 the chain of m is the kernel alone"


def test_other_settings_in_the_same_run_are_refused(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    before = (tmp_path / "fake" / "r1" / "journal.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"config.min_batches\); choose another run id"):
        run(fakes, fakes.World(), tmp_path, config=replace(fakes.CONFIG, min_batches=9))
    assert (tmp_path / "fake" / "r1" / "journal.jsonl").read_bytes() == before
    assert run(fakes, fakes.World(), tmp_path, run_id="r2", config=replace(fakes.CONFIG, rounds=1)).measured == 11


def test_a_changed_board_is_refused(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    other = fakes.World()
    other.facts = fakes.Facts(runtimes={"onnxruntime": "2.0"})
    with pytest.raises(ConfigError, match="has changed"):
        run(fakes, other, tmp_path)
    assert other.events == ["connect", "close"]


def test_what_cannot_be_built_is_journaled_once_and_the_rest_goes_on(tmp_path: Path, fakes: ModuleType, world):
    jobs = fakes.some_jobs()
    broken = {
        jobs[-1].workload.key: UnsupportedOperator("litert has no add", ("add",)),
        jobs[-2].workload.key: ArtefactError("the lowering disagrees"),
    }
    result = run(fakes, world, tmp_path, cache=fakes.Cache(broken))
    failed = [m for m in contents(tmp_path).measurements if m.status != "ok"]
    assert {(m.status, m.error) for m in failed} == {
        ("unsupported_operator", "litert has no add"),
        ("conversion_failed", "the lowering disagrees"),
    }
    assert len(failed) == 2
    assert (result.measured, result.resumed, result.skipped) == (29, 0, 4)
    assert result.failures == {"conversion_failed": 1, "unsupported_operator": 1}
    again = run(fakes, fakes.World(), tmp_path, cache=fakes.Cache(broken))
    assert (again.measured, again.resumed, again.skipped) == (0, 29, 4)


def test_what_can_be_built_in_the_end_is_measured_in_every_round(tmp_path: Path, fakes: ModuleType, world):
    victim = fakes.some_jobs()[-1].workload.key
    run(fakes, world, tmp_path, cache=fakes.Cache({victim: ArtefactError("a bug, mended later")}))
    result = run(fakes, fakes.World(), tmp_path)
    assert (result.measured, result.resumed, result.skipped) == (3, 30, 0)
    found = [m.status for m in contents(tmp_path).measurements if m.workload_key == victim]
    assert found == ["conversion_failed", "ok", "ok", "ok"]


@pytest.mark.parametrize("status", ["crashed", "timed_out", "out_of_memory", "wrong_output"])
def test_a_job_that_fails_is_not_repeated_in_later_rounds(tmp_path: Path, fakes: ModuleType, world, status: str):
    victim = fakes.some_jobs()[4].workload.key
    world.faults = lambda artefact, n: (
        fakes.Reply(status=status, error="E" * 2000) if artefact.workload.key == victim else None
    )
    result = run(fakes, world, tmp_path)
    records = [m for m in contents(tmp_path).measurements if m.workload_key == victim]
    assert [(m.status, m.round, m.samples_ns) for m in records] == [(status, 0, ())]
    assert len(records[0].error) == 500
    assert (result.measured, result.skipped, result.failures) == (31, 2, {status: 1})
    resumed = fakes.World()
    assert run(fakes, resumed, tmp_path).measured == 0
    assert measured(resumed) == []


@pytest.mark.parametrize("at", [1, 7, 20])
def test_ctrl_c_leaves_a_valid_journal_and_the_rest_for_later(tmp_path: Path, fakes: ModuleType, world, at: int):
    def interrupt(key: str) -> None:
        if len(measured(world)) == at:
            raise KeyboardInterrupt

    world.on_measure = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(fakes, world, tmp_path)
    assert world.events[-1] == "close"
    assert len(contents(tmp_path).measurements) == at - 1
    again = fakes.World()
    assert run(fakes, again, tmp_path).measured == 33 - at + 1
    assert sorted(measured(world)[:-1] + measured(again)) == sorted(j.workload.key for j in fakes.some_jobs() * 3)


def test_a_corrupt_line_is_measured_again(tmp_path: Path, fakes: ModuleType, world):
    run(fakes, world, tmp_path)
    path = tmp_path / "fake" / "r1" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"0", b"1", 3)
    path.write_bytes(b"".join(lines))
    progress = fakes.Recorder()
    campaign = fakes.campaign(fakes.World(), tmp_path)
    campaign.progress = progress
    result = campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")
    assert (result.measured, result.resumed) == (1, 32)
    assert any("1 corrupt" in text for text in progress.messages)


def test_a_full_disk_ends_the_campaign_and_loses_nothing(
    tmp_path: Path, fakes: ModuleType, world, monkeypatch: pytest.MonkeyPatch
):
    real = Journal.append
    done = 0

    def append(self: Journal, measurement: Measurement) -> None:
        nonlocal done
        if done == 12:
            monkeypatch.setattr(journal_module.os, "pwrite", _full)
        done += 1
        real(self, measurement)

    def _full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "append", append)
    with pytest.raises(StorageError, match="no space left"):
        run(fakes, world, tmp_path)
    monkeypatch.undo()
    assert len(contents(tmp_path).measurements) == 12
    assert run(fakes, fakes.World(), tmp_path).measured == 21


def test_an_unwritable_results_folder_is_found_before_the_board_is_called(tmp_path: Path, fakes: ModuleType, world):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="not a directory"):
        run(fakes, world, tmp_path / "file" / "results")
    assert world.events == []


def test_progress_counts_what_is_left(tmp_path: Path, fakes: ModuleType, world):
    progress = fakes.Recorder()
    campaign: Campaign = fakes.campaign(world, tmp_path)
    campaign.progress = progress
    campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")
    assert progress.total == len(progress.labels) == 33
    assert progress.messages == []
    assert "conv2d 8" in progress.labels


def test_a_kernel_job_needs_its_kernel(tmp_path: Path, fakes: ModuleType, world):
    job = fakes.Job(fakes.chain("conv2d", 4), Role("kernel", "unknown", "chain", 4))
    with pytest.raises(ConfigError, match="needs the subject's workload"):
        run(fakes, world, tmp_path, jobs=[job])


def test_samples_are_not_kept_in_memory(tmp_path: Path, fakes: ModuleType):
    import tracemalloc

    import scipy.optimize
    import scipy.special  # noqa: F401 (late imports are no samples)

    world = fakes.World(noise=0.001)
    world.forgets = True
    campaign = fakes.campaign(world, tmp_path, config=replace(fakes.CONFIG, min_batches=2000, rounds=20))
    jobs = fakes.some_jobs()
    tracemalloc.start()
    campaign.run(fakes.DEVICE, fakes.TARGET, jobs, "r1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = (tmp_path / "fake" / "r1" / "journal.jsonl").stat().st_size
    assert written > 3_000_000
    assert peak < written / 3
