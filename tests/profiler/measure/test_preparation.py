"""Artefacts made ahead of the board, and the campaign that does not wait for all of them."""

import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from profiler.errors import ArtefactError, StorageError, UnsupportedOperator
from profiler.measure.journal import read_journal
from profiler.measure.link import CampaignStopped
from profiler.measure.plan import RoundPlan
from profiler.measure.preparation import Preparation


class SlowCache:
    """A cache of which every artefact waits for permission."""

    def __init__(self, cache, held: set[str]) -> None:
        self.cache = cache
        self.held = held
        self.asked: list[str] = []
        self.go = threading.Event()

    def get(self, workload, runtime: str, precision: str):
        self.asked.append(workload.key)
        if workload.key in self.held:
            assert self.go.wait(60)
        return self.cache.get(workload, runtime, precision)


def test_failures_are_typed_and_the_disk_is_nobodys_fault(fakes: ModuleType):
    jobs = fakes.some_jobs()[:4]
    keys = [job.workload.key for job in jobs]
    cache = fakes.Cache(
        {keys[0]: UnsupportedOperator("no"), keys[1]: ArtefactError("bad"), keys[2]: StorageError("full")}
    )
    with Preparation(cache, fakes.TARGET, jobs, threading.Event()) as preparation:
        found = [preparation.take(job) for job in (jobs[0], jobs[1], jobs[3])]
        with pytest.raises(StorageError, match="full"):
            preparation.take(jobs[2])
    assert [(p.failure, p.error) for p in found[:2]] == [("unsupported_operator", "no"), ("conversion_failed", "bad")]
    assert [p.artefact_sha256 == "" for p in found] == [True, True, False]


def test_waiting_ends_when_the_campaign_is_stopped(fakes: ModuleType):
    jobs = fakes.some_jobs()
    stop = threading.Event()
    slow = SlowCache(fakes.Cache(), {jobs[0].workload.key})
    with Preparation(slow, fakes.TARGET, jobs, stop) as preparation:
        assert not preparation.ready([jobs[0]])
        stop.set()
        with pytest.raises(CampaignStopped):
            preparation.take(jobs[0])
        slow.go.set()


def test_the_board_starts_while_the_rest_is_still_being_made(tmp_path: Path, fakes: ModuleType):
    """All artefacts but those of the first group come only once the first group is journaled."""
    world = fakes.World()
    jobs = fakes.some_jobs()
    order = [[job.workload.key for job in group] for group in RoundPlan(jobs, fakes.CONFIG.seed).groups(0)]
    slow = SlowCache(fakes.Cache(), {key for group in order[1:] for key in group})
    progress = fakes.Recorder()
    real = progress.advance

    def advance(label: str) -> None:
        real(label)
        if len(progress.labels) == len(order[0]):
            slow.go.set()

    progress.advance = advance
    campaign = fakes.campaign(world, tmp_path, cache=slow, progress=progress)
    assert campaign.run(fakes.DEVICE, fakes.TARGET, jobs, "r1").measured == 33
    assert world.blocks[0] == len(order[0])
    assert slow.asked[0] == order[0][0], "what is wanted first is made first"
    assert sum(world.blocks) == 33


def test_a_board_that_is_this_machine_is_not_measured_while_anything_is_made(tmp_path: Path, fakes: ModuleType):
    """The last artefact comes when all others have been asked for, and a job has begun or had time to."""
    world = fakes.World()
    jobs = fakes.some_jobs()
    *_, last = (job.workload.key for group in RoundPlan(jobs, fakes.CONFIG.seed).groups(0) for job in group)
    slow = SlowCache(fakes.Cache(), {last})
    begun = threading.Event()
    seen: list[str] = []

    def release() -> None:
        begun.wait(0.3)
        seen.append("made")
        slow.go.set()

    def on_measure(key: str) -> None:
        begun.set()
        seen.append("measured")

    world.on_measure = on_measure
    releaser = threading.Thread(target=release)
    releaser.start()
    campaign = fakes.campaign(world, tmp_path, cache=slow, gate=lambda: seen.append("gate"))
    campaign.run(replace(fakes.DEVICE, emulation="loopback"), fakes.TARGET, jobs, "r1")
    releaser.join(60)
    assert seen == ["made", "gate", *["measured"] * 33]


@pytest.mark.parametrize(("emulation", "flagged"), [("qemu", True), ("loopback", False), ("", False)])
def test_figures_of_an_emulated_processor_say_so(tmp_path: Path, fakes: ModuleType, emulation: str, flagged: bool):
    world = fakes.World()
    victim = fakes.some_jobs()[0].workload.key
    crashed = fakes.Reply(status="crashed", issues=())
    world.faults = lambda artefact, n: crashed if artefact.workload.key == victim else None
    campaign = fakes.campaign(world, tmp_path)
    result = campaign.run(replace(fakes.DEVICE, emulation=emulation), fakes.TARGET, fakes.some_jobs(), "r1")
    found = read_journal(result.run_dir / "journal.jsonl").measurements
    assert {("emulated" in m.issues) for m in found} == {flagged}
    assert any("sensor_missing" in m.issues for m in found), "what the board said is kept beside it"
