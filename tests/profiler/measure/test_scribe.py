"""What of a reply enters the journal as it is, and what the host makes of it."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from power_traces import Truth, record

from profiler.measure.energy import energy_of
from profiler.measure.journal import read_journal
from profiler.measure.record import Measurement, Power


class Reading:
    """A power record as a board's message has it."""

    def __init__(self, power: Power) -> None:
        self.power = power

    def record(self) -> Power:
        return self.power


def journaled(fakes: ModuleType, folder: Path, power: Power, *issues: str) -> Measurement:
    world = fakes.World()
    reply = fakes.Reply(issues=issues, samples_ns=(1000,) * 5, power=Reading(power), energy_mj=99.0)
    world.faults = lambda artefact, n: reply
    config = replace(fakes.CONFIG, rounds=1)
    fakes.campaign(world, folder, config=config).run(fakes.DEVICE, fakes.TARGET, fakes.some_jobs()[-1:], "r1")
    (found,) = read_journal(folder / "fake" / "r1" / "journal.jsonl").measurements
    return found


def test_the_host_makes_the_energy_out_of_the_record(tmp_path: Path, fakes: ModuleType):
    power = record(Truth(), np.random.default_rng(1))
    found = journaled(fakes, tmp_path, power)
    judged = energy_of(power)
    assert judged.net_mj is not None
    assert found.power == power
    assert found.energy_mj == judged.net_mj
    assert found.env["energy_scope"] == power.scope
    assert found.env["energy_u_mj"] == judged.u_net_mj
    assert found.issues == (*judged.issues, "simulated") or set(found.issues) == {*judged.issues, "simulated"}


def test_a_sensor_that_was_lost_leaves_a_record_and_no_figure(tmp_path: Path, fakes: ModuleType):
    found = journaled(fakes, tmp_path, record(Truth(), np.random.default_rng(1)), "sensor_lost")
    assert found.energy_mj is None
    assert "sensor_lost" in found.issues
    assert found.power is not None
