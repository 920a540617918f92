"""A campaign says how many of its figures are known well enough, and how many rounds the others would take."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from profiler.measure.config import MeasureConfig
from profiler.measure.record import Measurement, Role
from profiler.measure.rounds import combine_rounds, rounds_needed
from profiler.measure.sufficiency import SHARE, Sufficiency, Tally

CONFIG = MeasureConfig(target_half_width=0.02)


def measured(role: Role, round_: int, ns: float, status: str = "ok") -> Measurement:
    samples = tuple(int(100 * ns) + step for step in (-2, -1, 0, 1, 2, 0, 1, -1))
    return Measurement(
        f"{role}{round_}", "w", "a", "d", "d/t", role, round_, status,  # type: ignore[arg-type]
        samples_ns=samples if status == "ok" else (), runs_per_batch=100,
    )  # fmt: skip


def model(name: str) -> Role:
    return Role("model", name)


def tally(values: dict[str, list[float]]) -> Tally:
    found = Tally(CONFIG)
    for name, rounds in values.items():
        for round_, ns in enumerate(rounds):
            found.saw(measured(model(name), round_, ns))
    return found


def test_figures_are_narrow_where_their_rounds_agree():
    worth = tally({"a": [1e4, 1.0001e4, 0.9999e4], "b": [1e4, 1.1e4, 0.9e4]}).sufficiency()
    assert (worth.figures, worth.narrow, worth.is_enough) == (2, 1, False)
    # all but a tenth of two figures are two
    wide = combine_rounds([1e4, 1.1e4, 0.9e4], [0.0] * 3)
    assert worth.rounds_more == rounds_needed(wide, CONFIG.half_width_of("model"))
    assert "of 2 figures 1 are known" in worth.sentence()
    assert f"it takes {worth.rounds_more} rounds more" in worth.sentence()


def test_so_many_rounds_more_really_do_it_for_nine_tenths_of_the_figures():
    rng = np.random.default_rng(5)
    spreads = rng.uniform(0.002, 0.03, 200)

    def worth(rounds: int) -> Sufficiency:
        drawn = np.random.default_rng(6)
        return tally(
            {str(n): list(1e6 * (1 + s * drawn.normal(size=rounds))) for n, s in enumerate(spreads)}
        ).sufficiency()

    first = worth(8)
    assert first.rounds_more is not None
    assert first.narrow < SHARE * first.figures
    assert worth(8 + first.rounds_more).narrow / 200 == pytest.approx(SHARE, abs=0.06)


def test_models_are_asked_for_half_the_width_and_kernels_for_their_slope():
    found = Tally(CONFIG)
    # rounds differ by an offset of both chains, which their difference is free of
    for round_, offset in enumerate((0.0, 3000.0, -3000.0)):
        for repeats in (1, 4, 8):
            found.saw(measured(Role("kernel", "k", "chain", repeats), round_, 20_000 + offset + 1000 * repeats))
    assert found.sufficiency() == Sufficiency(1, 1, 0)
    spread = [1e6, 1.005e6, 0.995e6]  # an interval of 1.3 %
    assert tally({"m": spread}).sufficiency().narrow == 0
    block = Tally(CONFIG)
    for round_, ns in enumerate(spread):
        block.saw(measured(Role("block", "b", "chain", 2), round_, 2 * ns))
        block.saw(measured(Role("block", "b", "chain", 1), round_, ns))
    assert block.sufficiency().narrow == 1


def test_nothing_is_said_of_what_rounds_cannot_tell():
    assert tally({"a": [1e4]}).sufficiency() == Sufficiency(0, 0, None)
    assert Tally(CONFIG).sufficiency().is_enough
    failed = Tally(CONFIG)
    failed.saw(measured(model("a"), 0, 1.0, status="crashed"))
    assert failed.sufficiency().figures == 0
    # a chain whose other half failed, and a kernel that was only run alone
    torn = Tally(CONFIG)
    for round_ in range(3):
        torn.saw(measured(Role("kernel", "k", "chain", 8), round_, 1e4))
        torn.saw(measured(Role("kernel", "l"), round_, 1e4))
    assert torn.sufficiency().figures == 0


def test_a_figure_that_no_number_of_rounds_brings_there_is_told():
    negative = Tally(CONFIG)
    for round_ in range(3):
        negative.saw(measured(Role("kernel", "k", "chain", 4), round_, 2e4))
        negative.saw(measured(Role("kernel", "k", "chain", 8), round_, 1e4))
    worth = negative.sufficiency()
    assert worth == Sufficiency(1, 0, None)
    assert "no number of rounds" in worth.sentence()


def test_a_figure_measured_again_counts_once():
    found = tally({"a": [1e4, 2e4, 1e4]})
    found.saw(measured(model("a"), 1, 1e4))
    assert found.sufficiency() == Sufficiency(1, 1, 0)


# A whole campaign


def test_a_campaign_says_what_its_figures_lack(tmp_path: Path, fakes: ModuleType):
    for name, noise, enough in (("quiet", 0.0, True), ("restless", 0.05, False)):
        progress = fakes.Recorder()
        world = fakes.World(noise=0.001, round_noise=noise)
        campaign = fakes.campaign(world, tmp_path / name, progress=progress)
        worth = campaign.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1").sufficiency
        assert (worth.figures, worth.is_enough) == (5, enough), "three kernels and two models"
        assert any("figures" in text for text in progress.messages) is not enough
        again = fakes.campaign(fakes.World(), tmp_path / name)
        assert again.run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1").sufficiency == worth, "from the journal"


def test_every_job_is_told_how_narrow_its_interval_has_to_be(tmp_path: Path, fakes: ModuleType):
    world = fakes.World()
    config = replace(fakes.WATCHED, target_half_width=0.03)
    fakes.campaign(world, tmp_path, config=config).run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs(), "r1")
    wanted = {job.workload.key: 0.015 if job.role.kind == "model" else 0.03 for job in fakes.some_jobs()}
    sentinel = world.half_widths.keys() - wanted.keys()
    assert len(sentinel) == 1
    assert world.half_widths == {**wanted, sentinel.pop(): 0.015}
