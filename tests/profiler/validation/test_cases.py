"""Boards are drawn by seed, family and number alone; networks are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from profiler.errors import ConfigError
from profiler.fleet.virtual.simulated.spec import SimulatedSpec
from profiler.fleet.virtual.simulated.truth import Truth
from profiler.validation import drawn
from profiler.validation.cases import FAMILIES, cases_of
from profiler.validation.networks import jobs_of, kernel_names, network_names


def test_a_board_depends_on_seed_family_and_number_alone() -> None:
    few = {case.id: case.digest for case in cases_of(3, 16, ["hot"])}
    more = {case.id: case.digest for case in cases_of(3, 300, list(FAMILIES))}
    assert few
    assert few.items() <= more.items()
    assert len(set(more.values())) == len(more), "no board is measured twice"
    other = {case.id: case.digest for case in cases_of(4, 16, ["hot"])}
    assert not set(other.values()) & set(few.values())


def test_a_proof_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8"):
        list(cases_of(1, 0, ["quiet"]))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_descriptions_survive_the_way_to_a_board(family: str) -> None:
    for case in cases_of(1, 40, [family]):
        assert SimulatedSpec.from_dict(case.spec.to_dict()) == case.spec


def test_quiet_boards_do_not_drift_and_drifting_ones_do() -> None:
    rng = np.random.default_rng(0)
    quiet, moving = drawn.quiet(rng).noise, drawn.drifting(rng).noise
    assert quiet.drift_per_sqrt_h == quiet.drift_per_h == 0
    assert moving.drift_per_sqrt_h > 0


def test_names_stand_for_jobs() -> None:
    names = (*network_names(), *kernel_names())
    jobs = jobs_of(names)
    assert len({job.workload.key for job in jobs}) == len(jobs)
    kernels = jobs_of(("kernel3",))
    assert [job.role.repeats for job in kernels] == [4, 8]
    slope = np.diff([Truth(drawn.PRESETS["ideal"], job.workload, "fp32").latency_ns for job in kernels])
    assert slope > 0
