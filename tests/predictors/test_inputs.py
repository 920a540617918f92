from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors.inputs import check_measurements, check_units, checked_values, need_variation
from predictors.measured import Measurements
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.graph import Workload
from tests.contracts.simulated_target import TARGET, networks, simulated_table, true_model_ms

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measurements() -> Measurements:
    return Measurements.from_table(simulated_table(n_fit=6, n_held=1), TARGET.id)


@pytest.mark.parametrize("field", ["latency_ms", "sd_ms"])
@pytest.mark.parametrize("kind", ["kernels", "models"])
def test_a_figure_that_is_no_number_is_named(measurements: Measurements, kind: str, field: str) -> None:
    check_measurements(measurements)
    points = list(getattr(measurements, kind))
    points[1] = replace(points[1], **{field: math.nan})
    with pytest.raises(ConfigError, match="nothing is learned from such.*`edgecost profile`") as caught:
        check_measurements(replace(measurements, **{kind: tuple(points)}))
    assert points[1].label in str(caught.value)
    assert TARGET.id in str(caught.value)


def test_a_kernel_may_be_too_cheap_to_be_resolved_and_a_network_not(measurements: Measurements) -> None:
    first, *others = measurements.kernels
    check_measurements(replace(measurements, kernels=(replace(first, latency_ms=0.0), *others)))
    model, *rest = measurements.models
    with pytest.raises(ConfigError, match="the network"):
        check_measurements(replace(measurements, models=(replace(model, latency_ms=0.0), *rest)))


def test_two_units_show_by_a_gap_that_no_target_has() -> None:
    nets = networks(30)
    values = np.array([true_model_ms(w) for w in nets])
    check_units(nets, values)
    check_units(nets, 1e-6 * values)  # one unit, whichever
    for factor in (1e3, 1e-3, 1e6, 1e-6):
        for wrong in (1, 15, 29):
            mixed = values.copy()
            mixed[:wrong] *= factor
            with pytest.raises(ConfigError, match="of two units"):
                check_units(nets, mixed)
    # a slow network is no unit
    slow = values.copy()
    slow[0] *= 40.0
    check_units(nets, slow)
    tiny = _tiny()
    check_units([*nets, tiny], np.append(values, 0.05))  # all overhead, and no unit either
    check_units(nets[:1], values[:1])


def test_no_public_target_seems_to_be_of_two_units(data_dir: Path) -> None:
    """NAS-Bench-201 on every device of HW-NAS-Bench, networks that compute next to nothing included."""
    import pandas as pd

    from search.spaces.nasbench201 import NasBench201

    frame = pd.read_parquet(data_dir / "hwnasbench_nb201_cifar10.parquet")
    space = NasBench201()
    chosen = frame.iloc[[0, *range(7, len(frame), 157)]]
    workloads = [space.workload(space.parse(text)) for text in chosen["arch_str"]]
    columns = [name for name in frame.columns if name.endswith("_latency_ms")]
    assert len(columns) == 6
    for name in columns:
        values = chosen[name].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        check_units([w for w, k in zip(workloads, known, strict=True) if k], values[known])


def _tiny() -> Workload:
    b = WorkloadBuilder("tiny")
    return b.build(b.linear(b.flatten(b.global_avg_pool(b.input((1, 4, 2, 2)))), 2))


def test_values_come_as_numbers_of_the_right_length() -> None:
    nets = networks(3)
    assert checked_values(nets, [1, 2, 3], "ms").dtype == np.float64
    for bad in ([1.0, 2.0], [[1.0, 2.0, 3.0]]):
        with pytest.raises(ConfigError, match="give one each"):
            checked_values(nets, bad, "ms")


def test_constant_features_are_said_with_the_command() -> None:
    need_variation("macs", "multiply-accumulates", np.array([1.0, 2.0]), "b/torch-fp32-t1")
    with pytest.raises(UnknownWorkload, match="same multiply-accumulates .*--target b/torch-fp32-t1"):
        need_variation("macs", "multiply-accumulates", np.array([2.0, 2.0]), "b/torch-fp32-t1")


def test_nothing_is_pickled_anywhere() -> None:
    """No file of the two packages names a module that pickles, nor allows numpy to."""
    words = (
        "import pickle",
        "from pickle",
        "cPickle",
        "joblib.dump",
        "joblib.load",
        "allow_pickle=True",
        "torch.load(",
    )
    for folder in ("predictors", "profiler/tables", "profiler/measure"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in words if word in text], path
