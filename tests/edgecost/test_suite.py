"""The closure suite: enough networks of every family, none twice, few kernels, and what is planned of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from edgecost.stages.planning import PlanOptions, default_run_id, measure_config, plan_jobs
from edgecost.stages.suite import FAMILIES, Suite, closure_suite, family_of, find_suite
from profiler.errors import ConfigError
from profiler.fleet.targets import Target
from profiler.workloads.cuts import kernels_of_cuts
from profiler.workloads.fusion import cut, kernels_of

TARGET = Target("b", "litert", "fp32")
OPTIONS = PlanOptions(suite="closure")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return closure_suite(0)


def test_at_least_sixty_networks_of_four_families_are_held_out(suite: Suite):
    held, fit = (Counter(family_of(work.name) for work in works) for works in (suite.held_out, suite.fit))
    assert sum(held.values()) >= 60
    assert set(held) == set(fit) == set(FAMILIES)
    assert min(held.values()) >= 12
    assert len({work.key for work in (*suite.fit, *suite.held_out)}) == len(suite.fit) + len(suite.held_out)
    assert {work.name.split()[1] for work in suite.held_out if family_of(work.name) == "MixConv"} == {
        "x0.5", "x1", "x1.5",
    }  # fmt: skip


def test_no_two_of_nasbench201_are_the_same_function(suite: Suite):
    from search.spaces.nasbench201 import NasBench201

    space = NasBench201()
    names = [w.name.removeprefix("NB201 ") for w in (*suite.fit, *suite.held_out) if family_of(w.name) == "NB201"]
    classes = {space.canonical(space.parse(name)) for name in names}
    assert len(classes) == len(names) == 42


def test_the_seed_makes_other_networks_and_the_same_again(suite: Suite):
    again, other = closure_suite(0), closure_suite(1)
    assert [w.key for w in again.held_out] == [w.key for w in suite.held_out]
    classics = {w.key for w in suite.held_out if family_of(w.name) == "classic"}
    assert {w.key for w in other.held_out} & {w.key for w in suite.held_out} >= classics
    assert {w.key for w in other.held_out} != {w.key for w in suite.held_out}


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "fp32"), ("litert", "int8"), ("torch", "fp32")])
def test_kernels_are_few_and_those_fitted_on_have_few_others(suite: Suite, runtime: str, precision: str):
    held = {k.key for k in kernels_of(suite.held_out, runtime, precision)}
    every = {k.key for k in kernels_of([*suite.fit, *suite.held_out], runtime, precision)}
    assert len(every) < 750
    assert len(every) < 1.4 * len(held)


def test_all_kernels_of_all_networks_are_planned_and_the_networks(suite: Suite):
    jobs = plan_jobs(OPTIONS, TARGET)
    planned = {job.role.subject_key for job in jobs if job.role.kind == "kernel"}
    wanted = {k.key for w in (*suite.fit, *suite.held_out) for k in cut(w, TARGET.runtime, TARGET.precision)}
    assert wanted <= planned
    assert Counter(job.role.split for job in jobs if job.role.kind == "model") == {"fit": 52, "held_out": 66}
    assert all(job.role.repeats > 1 for job in jobs if job.role.kind == "kernel"), "two stretches suffice"
    stretches = Counter(job.role.subject_key for job in jobs if job.role.kind == "kernel")
    assert set(stretches.values()) == {2}


def test_with_cuts_the_compared_networks_are_planned_under_all_of_them(suite: Suite):
    jobs = plan_jobs(replace(OPTIONS, cuts="cuts"), TARGET)
    alone = {job.role.subject_key for job in jobs if job.role.kind == "kernel" and job.role.repeats == 1}
    wanted = {k.key for k in kernels_of_cuts(suite.compared, TARGET.runtime, TARGET.precision)}
    assert alone == wanted
    assert wanted <= {job.role.subject_key for job in jobs if job.role.kind == "kernel" and job.role.repeats > 1}
    share = len(suite.compared) / (len(suite.fit) + len(suite.held_out))
    assert 1 / 3 < share < 1
    pairs = plan_jobs(replace(OPTIONS, cuts="pairs"), TARGET)
    assert pairs
    assert {job.role.kind for job in pairs} == {"kernel"}


def test_once_more_means_the_networks_alone(suite: Suite):
    jobs = plan_jobs(replace(OPTIONS, part="networks"), TARGET)
    assert [job.workload.key for job in jobs] == [w.key for w in (*suite.fit, *suite.held_out)]
    config = measure_config("quick")
    names = {default_run_id(o, config) for o in (OPTIONS, replace(OPTIONS, part="networks"), replace(OPTIONS, seed=1))}
    assert len(names) == 3
    assert all(name.startswith("closure-") for name in names)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="no suite 'other'"):
        find_suite("other", 0)
    with pytest.raises(ConfigError, match="run of its own"):
        plan_jobs(replace(OPTIONS, space="nasbench201"), TARGET)
    with pytest.raises(ConfigError, match="measures none"):
        plan_jobs(replace(OPTIONS, part="networks", cuts="cuts"), TARGET)
    with pytest.raises(ConfigError, match="belongs to a suite"):
        plan_jobs(PlanOptions("nasbench201", part="networks"), TARGET)


def test_family_is_the_first_word_of_a_name():
    assert [family_of(name) for name in ("MBConv x1 k3", "classic resnet18", "net 3", "")] == [
        "MBConv", "classic", "", "",
    ]  # fmt: skip
