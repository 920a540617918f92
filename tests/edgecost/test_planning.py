"""What a campaign is asked to measure: kernels or blocks of a space, whole networks, and how the run is named."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edgecost.stages import planning
from edgecost.stages.planning import EFFORTS, PlanOptions, campaign_limits, default_run_id, measure_config, plan_jobs
from edgecost.stages.profiling import Run
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.tables.provenance import EFFORT
from profiler.workloads.fusion import kernels_of
from search.spaces import find_space
from search.spaces.mixconv import MixConv
from search.spaces.supernet import read_supernet

TARGET = Target("b", "onnxruntime", "fp32")
BLOCKS = PlanOptions("mixconv", (), 3, 2, supernet="tiny", blocks=True)
CONFIG = measure_config("quick")

NARROW = """\
name: narrow
resolution: 8
num_classes: 2
stem: {filters: 4, kernel: 3, stride: 2}
head: {filters: 8}
branches: [{kernel: 3, expansion: 2}]
stages: [{filters: 8, blocks: 2}]
"""


@pytest.fixture(scope="module")
def tiny() -> MixConv:
    return MixConv(read_supernet("tiny"))


def test_every_distinct_block_is_planned_once_beside_its_companions_and_networks(tiny: MixConv):
    jobs = plan_jobs(BLOCKS, TARGET)
    wanted = {work.key: work.name for work in tiny.block_workloads()}
    blocks = Counter(job.role.subject_key for job in jobs if job.role.kind == "block")
    assert blocks == dict.fromkeys(wanted, 3)
    assert {job.label for job in jobs if job.role.kind == "block"} == set(wanted.values())
    assert any(name.startswith("stem") for name in wanted.values())
    assert any(name.startswith("head") for name in wanted.values())
    companions = {key for job in jobs for key in job.companions}
    assert {job.role.subject_key for job in jobs if job.role.kind == "kernel"} == companions
    assert Counter(job.role.split for job in jobs if job.role.kind == "model") == {"fit": 3, "held_out": 2}


def test_every_block_of_a_random_network_is_planned(tiny: MixConv):
    import numpy as np

    from search.spaces.network import places_of

    planned = {job.role.subject_key for job in plan_jobs(BLOCKS, TARGET)}
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = places_of(tiny.network(tiny.sample(rng)))
        assert places
        assert {place.workload.key for place in places} <= planned


def test_the_default_supernet_has_152_blocks():
    """Five stages with 15 choices for the first block and 15 for the others, which may be skipped; stem and head."""
    assert len(find_space("mixconv").block_workloads()) == 2 + 5 * (15 + 15)


def test_blocks_are_measured_beside_ballast_on_processors_and_without_it_on_accelerators():
    def inputs(target: Target) -> set[int]:
        jobs = plan_jobs(BLOCKS, target)
        return {len(job.workload.inputs) for job in jobs if job.role.kind == "block" and job.role.repeats > 1}

    assert inputs(TARGET) == {2}
    assert inputs(replace(TARGET, accelerator="cuda")) == {1}

    def blocks(seed: int) -> list[str]:
        jobs = plan_jobs(replace(BLOCKS, seed=seed), TARGET)
        return [job.workload.key for job in jobs if job.role.kind == "block"]

    assert blocks(0) == blocks(5), "the stretches of a space are the same for every run"


def test_blocks_take_the_place_of_kernels_but_not_those_of_files(tmp_path: Path, tiny: MixConv):
    from profiler.workloads.builders.onnx import build_onnx

    network = tiny.workload(tiny.maximal)
    file = tmp_path / "net.onnx"
    file.write_bytes(build_onnx(network))
    jobs = plan_jobs(replace(BLOCKS, models=(file,)), TARGET)
    kernels = {job.role.subject_key for job in jobs if job.role.kind == "kernel"}
    assert {kernel.key for kernel in kernels_of([network], TARGET.runtime, TARGET.precision)} <= kernels
    assert sum(job.role.kind == "model" for job in jobs) == 6


def test_without_blocks_the_kernels_of_the_space_are_planned(monkeypatch: pytest.MonkeyPatch, tiny: MixConv):
    monkeypatch.setattr(planning, "COVERING_ARCHITECTURES", 30)
    jobs = plan_jobs(replace(BLOCKS, blocks=False), TARGET)
    assert {job.role.kind for job in jobs} == {"kernel", "model"}
    networks = [job.workload for job in jobs if job.role.kind == "model"]
    assert len({net.key for net in networks}) == 5
    kernels = {job.role.subject_key for job in jobs if job.role.kind == "kernel"}
    assert {kernel.key for kernel in kernels_of(networks, TARGET.runtime, TARGET.precision)} <= kernels


def test_kernels_come_from_what_the_space_covers_itself_with(monkeypatch: pytest.MonkeyPatch):
    """NAS-Bench-201's cells repeat: two a stage hold all kernels."""
    from search.spaces.nasbench201 import NasBench201

    asked: list[int] = []
    compact = NasBench201.compact

    def seen(space: NasBench201, arch):
        work = compact(space, arch)
        asked.append(len(work.ops))
        return work

    monkeypatch.setattr(NasBench201, "compact", seen)
    monkeypatch.setattr(planning, "COVERING_ARCHITECTURES", 5)
    jobs = plan_jobs(PlanOptions("nasbench201", fit_models=1, held_out=0), TARGET)
    assert len(asked) == 5
    (network,) = (job.workload for job in jobs if job.role.kind == "model")
    assert max(asked) < len(network.ops)


def test_runs_of_other_supernets_or_of_blocks_have_other_names():
    names = [
        default_run_id(options, CONFIG)
        for options in (
            BLOCKS,
            replace(BLOCKS, scaled=5),
            replace(BLOCKS, blocks=False),
            replace(BLOCKS, supernet=None),
            replace(BLOCKS, supernet=None, blocks=False),
            replace(BLOCKS, supernet="some/where/net.yaml"),
            replace(BLOCKS, space="mixconv:graded", supernet=None),
        )
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"mixconv[a-z-]*-[0-9a-f]{8}", name) for name in names)
    assert names[0].startswith("mixconv-blocks-")


def test_runs_from_before_there_were_blocks_keep_their_names():
    assert default_run_id(PlanOptions("nasbench201", (), 10, 20, 0), CONFIG) == "nasbench201-1a6a0319"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PlanOptions(blocks=True, models=(Path("x.onnx"),)), "--space mixconv"),
        (PlanOptions(supernet="tiny", models=(Path("x.onnx"),)), "--space mixconv"),
        (PlanOptions("nasbench201", blocks=True), "not made of blocks"),
        (PlanOptions("nasbench201", supernet="tiny"), "belongs to the space mixconv"),
        (PlanOptions("mixconv", supernet="no-such", blocks=True), "no supernet 'no-such'"),
        (PlanOptions(scaled=3, models=(Path("x.onnx"),)), "--space mixconv"),
        (replace(BLOCKS, blocks=False, scaled=3), "--scaled belongs to --blocks"),
        (replace(BLOCKS, scaled=-1), "--scaled must be at least 0"),
        (PlanOptions(), "nothing to profile"),
    ],
)
def test_what_a_space_does_not_have_is_refused(options: PlanOptions, words: str):
    with pytest.raises(ConfigError, match=re.escape(words)):
        plan_jobs(options, TARGET)


def test_a_space_of_few_networks_does_not_keep_the_plan_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two networks: a block of k3 e2, once or twice."""
    monkeypatch.setattr(planning, "MOST_TRIES", 20)
    file = tmp_path / "narrow.yaml"
    file.write_text(NARROW)
    with pytest.raises(ConfigError, match="too few networks for 10"):
        plan_jobs(PlanOptions("mixconv", (), 5, 5, supernet=str(file), blocks=True), TARGET)


def test_the_sentence_says_how_many_blocks_and_how_long():
    run = Run("b/t", "results/b/r", 7, 30, 1521, 0, wall_s=312.4, blocks=152)
    assert run.sentence().startswith("b/t: 152 distinct blocks, 7 kernels, 30 networks; 1521 jobs measured in 312 s")
    assert "blocks" not in replace(run, blocks=0).sentence()
    assert run.to_dict()["blocks"] == 152


def test_blocks_of_scaled_networks_are_measured_beside_the_supernets_own():
    kinds = [Counter(j.role.subject_key for j in plan_jobs(replace(BLOCKS, scaled=n), TARGET) if j.role.kind == "block")
             for n in (0, 12)]  # fmt: skip
    assert kinds[0].keys() < kinds[1].keys()
    assert len(kinds[1]) == len(kinds[0]) + 12


def test_quick_and_shared_differ_in_effort_alone() -> None:
    quick, shared = (EFFORTS[name].to_dict() for name in ("quick", "shared"))
    differing = {name for name in quick if quick[name] != shared[name]}
    assert differing, "there would be no need for two"
    assert differing <= EFFORT, "or a table of both would be of two protocols"


def test_nobody_waits_less_than_no_time() -> None:
    assert campaign_limits("quick", 0.0).patience_s == 0.0
    with pytest.raises(ConfigError, match="--patience-s must be at least 0, not -1"):
        campaign_limits("quick", -1.0)
