"""Runs of networks and their kernels on a board whose costs are known, as `edgecost profile --suite` leaves them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from profiler.measure.jobs import kernel_plan_jobs, model_jobs
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.cuts import kernels_of_cuts
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import kernel_jobs

FAKES = Path(__file__).parents[1] / "profiler" / "measure" / "fakes.py"
TARGET_ID = "fake/onnxruntime-fp32-t1"
FIT = ("NB201 a", "MBConv b", "classic c", "classic d")
HELD_OUT = ("NB201 e", "NB201 f", "MBConv g", "classic h", "classic i")


def fakes() -> ModuleType:
    """The board of tests/profiler/measure."""
    if "measure_fakes" not in sys.modules:
        spec = importlib.util.spec_from_file_location("measure_fakes", FAKES)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return sys.modules["measure_fakes"]


def network(depth: int, name: str) -> Workload:
    """Convolutions and ReLUs, `depth` of each."""
    b = WorkloadBuilder(name)
    x = b.input((1, 8, 8, 8))
    for _ in range(depth):
        x = b.relu(b.conv2d(x, 8, kernel=3, bias=True))
    return b.build(x)


def networks(names: tuple[str, ...], start: int) -> list[Workload]:
    """One network a name, each deeper than the one before it."""
    return [network(start + place, name) for place, name in enumerate(names)]


def measure(folder: Path, run_id: str, level: float = 1.0, kernels: bool = True, **changes: Any) -> None:
    """One run on a board that is `level` times as slow as the known costs say."""
    fake = fakes()
    fit, held = networks(FIT, 1), networks(HELD_OUT, 10)
    jobs = [*model_jobs(fit, "fit"), *model_jobs(held, "held_out")]
    if kernels:
        found = kernels_of_cuts([*fit, *held], fake.TARGET.runtime, fake.TARGET.precision)
        jobs = [*kernel_plan_jobs(kernel_jobs(found, fake.TARGET.runtime, fake.TARGET.precision)), *jobs]
    world = fake.World()
    world.level = lambda: level
    config = replace(fake.CONFIG, **changes)
    fake.campaign(world, folder, config=config).run(fake.DEVICE, fake.TARGET, jobs, run_id)
