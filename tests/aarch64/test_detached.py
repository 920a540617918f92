"""The detached agent on a board of another architecture: it works on without its host, and a reboot is survived."""

from __future__ import annotations

import secrets

import pytest

from profiler.errors import DeviceError
from profiler.fleet.provisioning import Provisioned
from profiler.fleet.sessions.session import connect
from profiler.fleet.targets import Device
from profiler.fleet.virtual.aarch64.board import Aarch64Board
from profiler.measure.board import BoardJob
from profiler.measure.config import MeasureConfig
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder


@pytest.fixture
def block(artefacts: ArtefactCache, provisioned: list[Provisioned]) -> list[BoardJob]:
    b = WorkloadBuilder("conv")
    artefact = artefacts.get(b.build(b.conv2d(b.input((1, 8, 12, 12)), 16, 3)), "onnxruntime", "fp32")
    return [BoardJob(secrets.token_hex(16), artefact, False) for _ in range(4)]


def test_what_was_done_without_us_is_there_when_we_come_back(
    device: Device, block: list[BoardJob], quick: MeasureConfig
) -> None:
    target, name = device.targets[0], secrets.token_hex(16)
    with connect(device, name) as session:
        first = next(iter(session.run(block, target, quick)))
    with connect(device, name) as session:
        results = dict(session.run(block, target, quick))
        session.finish()
    assert list(results) == [job.key for job in block]
    assert results[first[0]] == first[1], "it was measured once"
    assert {reply.status for reply in results.values()} == {"ok"}


def test_a_reboot_loses_nothing_that_was_done(
    device: Device, board: Aarch64Board, block: list[BoardJob], quick: MeasureConfig
) -> None:
    target, name = device.targets[0], secrets.token_hex(16)
    with connect(device, name) as session:
        replies = iter(session.run(block, target, quick))
        first = next(replies)
        board.down()
        with pytest.raises(DeviceError):
            list(replies)
    assert board.up() == device
    with connect(device, name) as session:
        results = dict(session.run(block, target, quick))
        session.finish()
    assert set(results) == {job.key for job in block}
    assert results[first[0]] == first[1]
