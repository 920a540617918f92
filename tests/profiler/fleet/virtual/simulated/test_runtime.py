"""The simulated runtime keeps what every runtime has to keep."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import profiler.agent.plugins
from profiler.agent import leaf, outputs, runtimes
from profiler.errors import ConfigError
from profiler.fleet import plugins
from profiler.fleet.virtual.simulated.presets import IDEAL, PRESETS
from profiler.fleet.virtual.simulated.runtime import SPEC, lower
from profiler.fleet.virtual.simulated.spec import Noise
from profiler.fleet.virtual.simulated.truth import Truth, read_log
from profiler.workloads.artefacts import ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from tests.contracts.runtime import RuntimeContract, job_of, small_workload
from tests.plugins.agent_side import agent_side


@pytest.fixture(autouse=True)
def agent_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = agent_side(SPEC)
    monkeypatch.setitem(profiler.agent.plugins.DISTRIBUTIONS, SPEC.name, SPEC.distributions)
    monkeypatch.setattr(profiler.agent.plugins, SPEC.name, module, raising=False)


class SimulatedContract(RuntimeContract):
    spec = SPEC

    @pytest.fixture(autouse=True)
    def known(self, as_leaf: Callable[..., Any]) -> None:  # type: ignore[override]
        """The host knows it without being told; the agent's process is that of a board without hard-swish."""
        as_leaf(replace(IDEAL, lacks=("hswish",)))

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        b = WorkloadBuilder()
        workload = b.build(b.hswish(b.input((1, 4, 4, 4))))
        path = folder / "hswish.simulated"
        path.write_bytes(lower(workload, self.precision))
        return path, [[1, 4, 4, 4]]


class TestFp32(SimulatedContract):
    pass


class TestInt8(SimulatedContract):
    precision = "int8"


def test_the_host_knows_it_and_it_needs_no_entry_point() -> None:
    assert plugins.runtime_spec("simulated") is SPEC
    assert plugins.is_known("simulated")
    assert "simulated" not in plugins.known_names(), "nobody can choose it for a real board"
    with pytest.raises(ConfigError, match="there already"), plugins.using(SPEC):
        pass


def test_a_board_that_is_real_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "_leaf", leaf.Leaf())
    with pytest.raises(runtimes.RuntimeMissing, match="this board is not simulated"):
        runtimes.import_runtime("simulated")


def test_an_environment_without_a_board_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(leaf, "_leaf", None)
    monkeypatch.setenv(leaf.VARIABLE, "simulated")
    monkeypatch.setenv("EDGECOST_SIMULATED", str(tmp_path / "none.json"))
    with pytest.raises(ImportError, match="names no simulated board"):
        leaf.current()


def test_its_time_is_virtual_and_many_runs_are_one_step(as_leaf: Callable[..., Any], tmp_path: Path) -> None:
    here = as_leaf(IDEAL)
    artefact = ArtefactCache(tmp_path).get(small_workload(), "simulated", "fp32")
    model = runtimes.load("simulated", runtimes.import_runtime("simulated")[0], job_of(artefact))
    model.run()
    start = here.clock_ns()
    model.run.many(10**7)  # type: ignore[attr-defined]  # minutes of a board's time
    truth = Truth(IDEAL, small_workload(), "fp32").latency_ns
    assert (here.clock_ns() - start) / 10**7 == pytest.approx(truth, rel=1e-6)
    model.close()
    (told,) = read_log(tmp_path / "board")
    assert told.runs == 10**7 + 1
    assert told.run_s * 1e9 == pytest.approx(truth)
    assert told.net_w * told.run_s * 1e3 == pytest.approx(Truth(IDEAL, small_workload(), "fp32").net_mj)


def loaded(spec: Any, as_leaf: Callable[..., Any], folder: Path) -> Any:
    as_leaf(spec)
    artefact = ArtefactCache(folder).get(small_workload(), "simulated", "fp32")
    return runtimes.load("simulated", runtimes.import_runtime("simulated")[0], job_of(artefact))


def test_the_log_tells_the_drift_and_the_mode_that_its_work_has_met(
    as_leaf: Callable[..., Any], tmp_path: Path
) -> None:
    noise = Noise(drift_per_h=0.36, step_at_s=20.0, step=0.1, mode_ratio=1.05, mode_share=1.0, process_spread=0.01)
    model = loaded(replace(IDEAL, noise=noise), as_leaf, tmp_path)
    model.run()
    model.machine.rest(9.0)  # what passes at rest counts for nothing
    runs = round(1.0 / model.cost.run_s())
    model.run.many(runs)
    model.machine.rest(20.0)
    model.run.many(runs)
    model.close()
    (told,) = read_log(tmp_path / "board")
    # at 9.5 s the line has come to 0.00095, at 30.6 s to 0.00306; then the step is there too
    first, second = 1.05 * told.own * math.exp(0.00095), 1.1 * 1.05 * told.own * math.exp(0.00306)
    expected = (0.00095 * first + (0.00306 + math.log(1.1)) * second) / (first + second)
    assert told.drift == pytest.approx(expected, abs=1e-4)
    assert told.second_mode == pytest.approx(1)
    assert told.level == pytest.approx(told.own * math.exp(told.drift))
    assert told.own != 1
    assert told.busy_s == pytest.approx(runs * told.run_s * (first + second), rel=1e-4)
    assert told.throttled == ()


def test_the_log_tells_when_the_clock_was_held_down(as_leaf: Callable[..., Any], tmp_path: Path) -> None:
    hot = replace(IDEAL.thermal, r_k_per_w=16.0, c_j_per_k=1.0, hysteresis_k=6.0)
    model = loaded(replace(IDEAL, thermal=hot), as_leaf, tmp_path)
    machine = model.machine
    while not machine.heat.throttled:
        model.run.many(1000)
    began = machine.now_s
    machine.rest(200.0)
    while not machine.heat.throttled:
        model.run.many(1000)
    again = machine.now_s
    model.close()
    model = runtimes.load("simulated", runtimes.import_runtime("simulated")[0], model._job)
    model.run()
    model.close()
    first, second = read_log(tmp_path / "board")
    assert [since for since, _ in first.throttled] == pytest.approx([began, again], abs=0.3)
    assert 0.2 < first.throttled[0][1] - began < 60
    assert first.throttled[1][1] == pytest.approx(first.ended_s)
    assert 0 <= first.throttled_s < first.busy_s
    ((since, until),) = second.throttled
    assert (since, until) == pytest.approx((second.began_s, second.ended_s), abs=0.1), "it went on from the one before"


def test_emptied_caches_cost_the_next_run_only(as_leaf: Callable[..., Any], tmp_path: Path) -> None:
    here = as_leaf(IDEAL)
    artefact = ArtefactCache(tmp_path).get(small_workload(), "simulated", "fp32")
    model = runtimes.load("simulated", runtimes.import_runtime("simulated")[0], job_of(artefact))
    model.run()
    truth = Truth(IDEAL, small_workload(), "fp32")
    evict = here.evictor(4 << 20)
    for expected in (truth.cold_latency_ns, truth.latency_ns):
        if expected == truth.cold_latency_ns:
            evict()
        start = here.clock_ns()
        model.run()
        assert here.clock_ns() - start == pytest.approx(expected, abs=100)


def test_another_files_output_is_found_out(as_leaf: Callable[..., Any], tmp_path: Path) -> None:
    """The outputs are carried in the files: comparing them still tells one file from another."""
    as_leaf(IDEAL)
    job = job_of(ArtefactCache(tmp_path).get(small_workload(), "simulated", "fp32"))
    text = json.loads(Path(job["path"]).read_text())
    text["expected"]["values"][0] += 1e3
    Path(job["path"]).chmod(0o600)
    Path(job["path"]).write_text(json.dumps(text))
    model = runtimes.load("simulated", runtimes.import_runtime("simulated")[0], job)
    model.run()
    assert outputs.compare(model.output(), job["expected"], "fp32").problem


def test_a_later_process_draws_other_noise(board: Any, machine: Any) -> None:
    spec = PRESETS["rpi5"]
    found = []
    for _ in range(2):
        here = machine(spec)
        here.join()
        found.append([here.rng.random() for _ in range(5)])
    assert not np.array_equal(*found)


BOARD = sorted(Path(SPEC.agent_module).rglob("*.py")) if isinstance(SPEC.agent_module, Path) else []


@pytest.mark.parametrize("path", BOARD, ids=lambda path: path.name)
def test_the_boards_half_is_of_python_37_and_stands_on_nothing(path: Path) -> None:
    import ast
    import sys

    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    assert isinstance(tree.body[1], ast.ImportFrom)
    assert tree.body[1].module == "__future__"
    guarded = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) for child in node.body for inner in [child]
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and id(node) not in guarded:
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= {*sys.stdlib_module_names, "numpy"}
