from dataclasses import replace
from types import ModuleType

import pytest

from profiler.measure.blocks import Block, Pace
from profiler.measure.config import MeasureConfig
from profiler.measure.limits import CampaignLimits
from profiler.measure.preparation import Prepared

LIMITS = CampaignLimits(block_jobs=10, block_bytes=1000, block_s=60.0)


def group(fakes: ModuleType, size: int = 3, artefact_bytes: int = 1) -> list[Prepared]:
    job = fakes.some_jobs()[0]
    return [Prepared(job, fakes.Artefact("0" * 64, job.workload), artefact_bytes) for _ in range(size)]


def pace(job_s: float) -> Pace:
    found = Pace(MeasureConfig())
    found.saw(job_s)
    return found


def filled(fakes: ModuleType, block: Block, **size: int) -> int:
    while block.takes(group(fakes, **size)):
        block.add(group(fakes, **size))
        assert len(block.items) < 1000
    return len(block.items)


@pytest.mark.parametrize(
    ("job_s", "artefact_bytes", "jobs"), [(0.1, 1, 9), (0.1, 150, 6), (9.0, 1, 6), (100.0, 1, 3), (0.1, 9999, 3)]
)
def test_a_block_is_bounded_in_number_bytes_and_time(fakes: ModuleType, job_s: float, artefact_bytes: int, jobs: int):
    assert filled(fakes, Block(LIMITS, pace(job_s)), artefact_bytes=artefact_bytes) == jobs


def test_a_group_is_never_torn_apart(fakes: ModuleType):
    block = Block(replace(LIMITS, block_jobs=2), pace(0.1))
    assert block.takes(group(fakes, size=5))
    block.add(group(fakes, size=5))
    assert not block.takes(group(fakes, size=1))


def test_blocks_for_the_record_are_short_from_the_start(fakes: ModuleType):
    """Boards that share a machine are not to wait minutes for each other, before any duration is known."""
    assert 6 <= filled(fakes, Block(CampaignLimits(), Pace(MeasureConfig()))) <= 30
    quick = MeasureConfig(min_batch_s=0.002, warmup_s=0.02, min_batches=12, cap_s=0.12)
    assert filled(fakes, Block(CampaignLimits(), Pace(quick))) > 150


def test_the_pace_is_what_was_seen_lately():
    found = Pace(MeasureConfig())
    for _ in range(200):
        found.saw(1.0)
    assert found.job_s == pytest.approx(1.0)
    for _ in range(300):
        found.saw(3.0)
    assert found.job_s == pytest.approx(3.0, rel=0.02)
