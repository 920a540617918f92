"""What every runtime has to keep, as tests to inherit.

class TestMyRuntime(RuntimeContract):
    spec = MY_SPEC                     # of a plug-in, or that of a built-in runtime
    precision = "fp32"
    accelerator = ""

    def unsupported(self, folder): ...  # a file with an operator that the runtime does not have

A plug-in's board half is loaded into this process; tests/contracts/test_runtimes.py shows how it is taken through
the agent's zipapp and a real worker besides.
"""

from __future__ import annotations

import copy
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import profiler.agent.plugins
from profiler.agent import outputs, runtimes
from profiler.agent.worker import failures
from profiler.fleet import plugins
from profiler.fleet.runtime_spec import RuntimeSpec
from profiler.fleet.targets import Precision
from profiler.workloads.artefacts import Artefact, ArtefactCache
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.graph import Workload
from profiler.workloads.isolation import kernel_jobs
from tests.plugins.agent_side import agent_side

Job = dict[str, Any]
Load = Callable[..., runtimes.Model]


def small_workload() -> Workload:
    """Two inputs of one shape, one of them read twice and by a ReLU that could work in place; two outputs."""
    b = WorkloadBuilder("small")
    first, second = b.input((1, 8, 6, 10)), b.input((1, 8, 6, 10))
    image = b.add(b.add(b.conv2d(b.relu(first), 8, 3), first), second)
    return b.build(image, b.linear(b.flatten(b.global_avg_pool(b.relu(image))), 10))


def job_of(artefact: Artefact, **changes: Any) -> Job:
    """What a worker is asked to do with an artefact."""
    job = {
        "id": "job-1", "path": str(artefact.path), "format": artefact.format, "runtime": artefact.runtime,
        "precision": artefact.precision, "threads": 1, "inputs": artefact.inputs, "layout": artefact.layout,
        "expected": asdict(artefact.expected), "accelerator": "", "library": "", "allow_fallback": False,
    }  # fmt: skip
    return dict(json.loads(json.dumps(job | changes)))  # as it arrives on a board


class RuntimeContract:
    """Inherit, set the attributes, implement `unsupported`, and name the class Test..."""

    spec: ClassVar[RuntimeSpec]
    precision: ClassVar[Precision] = "fp32"
    accelerator: ClassVar[str] = ""

    knows_shapes: ClassVar[bool] = True
    """Whether its files hold the shapes of their inputs; else only their number can be checked."""

    refuses_at: ClassVar[str] = "load"
    """The stage in which an unsupported operator comes to light."""

    most_error: ClassVar[float] = 1e-3
    """Of the output, relative to the rms of the host's reference."""

    most_spread: ClassVar[float] = 0.0
    """Between runs of one file, relative to the output's rms: only accelerators may differ from run to run."""

    def unsupported(self, folder: Path) -> tuple[Path, list[list[int]]]:
        """A file with an operator that the runtime does not have, and the shapes of its inputs."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def known(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A plug-in is known to the host and to the agent's code for as long as a test runs."""
        if self.spec.agent_module is None:
            yield
            return
        module = agent_side(self.spec)
        monkeypatch.setitem(profiler.agent.plugins.DISTRIBUTIONS, self.spec.name, self.spec.distributions)
        monkeypatch.setattr(profiler.agent.plugins, self.spec.name, module, raising=False)
        with plugins.using(self.spec):
            yield

    @pytest.fixture
    def artefact(self, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
        key = (self.spec.name, self.precision)
        if key not in _MADE:
            cache = ArtefactCache(tmp_path_factory.mktemp("contract"))
            _MADE[key] = cache.get(small_workload(), self.spec.name, self.precision)
        return _MADE[key]

    @pytest.fixture
    def job(self, artefact: Artefact) -> Job:
        return job_of(artefact, accelerator=self.accelerator)

    @pytest.fixture
    def load(self) -> Iterator[Load]:
        """Loads jobs, and closes the models after the test."""
        opened: list[runtimes.Model] = []

        def begin(job: Job) -> runtimes.Model:
            module, _ = runtimes.import_runtime(self.spec.name)
            opened.append(runtimes.load(self.spec.name, module, job))
            return opened[-1]

        yield begin
        while opened:
            opened.pop().close()

    def same(self, found: Any, before: Any) -> None:
        rms = float(np.sqrt(np.mean(before**2)))
        np.testing.assert_allclose(found, before, rtol=0, atol=self.most_spread * rms)

    # ---------------------------------------------------------------- the host's half

    def test_the_artefact_is_of_the_kind_that_the_spec_says(self, artefact: Artefact) -> None:
        assert (artefact.format, artefact.layout) == (self.spec.suffix, self.spec.layout)
        assert artefact.path.suffix == f".{self.spec.suffix}"
        assert artefact.expected.size == 8 * 6 * 10

    def test_a_workload_is_cut_into_kernels_and_every_one_gets_its_jobs(self) -> None:
        workload = small_workload()
        kernels = cut(workload, self.spec.name, self.precision)
        assert sorted(op for kernel in kernels for op in kernel.ops) == list(workload.compute_ops)
        planned = {plan.key for plan in kernel_jobs(kernels, self.spec.name, self.precision)}
        assert {kernel.key for kernel in kernels} <= planned

    # ---------------------------------------------------------------- loading

    def test_it_says_what_it_is(self, load: Load, job: Job) -> None:
        _, version = runtimes.import_runtime(self.spec.name)
        name, number = version.split(" ", 1)
        assert name in self.spec.distributions
        assert number[0].isdigit()
        assert self.spec.name in runtimes.names()
        assert load(job).interface

    def test_loading_leaves_the_job_alone(self, load: Load, job: Job) -> None:
        before = copy.deepcopy(job)
        load(job).run()
        assert job == before

    @pytest.mark.parametrize("change", ["one too few", "one too many", "another size"])
    def test_other_inputs_are_refused(self, load: Load, job: Job, change: str) -> None:
        if change == "another size" and not self.knows_shapes:
            pytest.skip("its files do not hold their inputs' shapes")
        shapes = job["inputs"]
        other = {
            "one too few": shapes[:1],
            "one too many": [*shapes, shapes[0]],
            "another size": [shapes[0], [1, 8, 6, 11]],
        }
        with pytest.raises(runtimes.ArtefactMismatch) as caught:
            load(job | {"inputs": other[change]})
        assert failures.classify("load", caught.value) == "conversion_failed"

    def test_an_operator_that_it_lacks_is_typed(self, load: Load, job: Job, tmp_path: Path) -> None:
        path, shapes = self.unsupported(tmp_path)
        stage = "load"
        with pytest.raises(Exception) as caught:  # runtimes share no class of errors
            model = load(job | {"path": str(path), "inputs": shapes})
            stage = "first run"
            model.run()
        assert (stage, failures.classify(stage, caught.value)) == (self.refuses_at, "unsupported_operator")

    def test_a_file_that_is_gone_is_told(self, load: Load, job: Job, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="is not on the board"):
            load(job | {"path": str(tmp_path / "gone")})

    def test_a_file_of_nonsense_is_an_error_and_no_death(self, load: Load, job: Job, tmp_path: Path) -> None:
        path = tmp_path / "nonsense"
        path.write_bytes(b"this is no model of any kind, and long enough to be looked at" * 10)
        with pytest.raises(Exception) as caught:  # runtimes share no class of errors
            load(job | {"path": str(path)})
        assert failures.classify("load", caught.value) == "conversion_failed"

    def test_an_accelerator_that_it_lacks_is_refused_and_nothing_runs(self, load: Load, job: Job) -> None:
        with pytest.raises(runtimes.AcceleratorMissing, match="flux"):
            load(job | {"accelerator": "flux"})

    # ---------------------------------------------------------------- running

    def test_the_output_is_the_hosts(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        model.run()
        verdict = outputs.compare(model.output(), job["expected"], self.precision)
        assert verdict.problem == ""
        assert verdict.error is not None
        assert verdict.error <= self.most_error

    def test_the_output_is_there_before_settling_too(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        before = model.output()
        model.settle()
        model.run()
        self.same(model.output(), before)

    def test_repeated_runs_give_the_same_so_no_run_changes_inputs_or_weights(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        model.run()
        first = model.output()
        assert first.dtype == np.float64
        assert first.ndim == 1
        for _ in range(5):
            model.run()
        self.same(model.output(), first)

    def test_an_output_that_was_read_is_not_written_to_later(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        model.run()
        read = model.output()
        kept = read.copy()
        model.run()
        np.testing.assert_array_equal(read, kept)

    def test_several_threads_give_the_same_but_for_rounding(self, load: Load, job: Job) -> None:
        model = load(job | {"threads": 2})
        model.run()
        assert outputs.compare(model.output(), job["expected"], self.precision).problem == ""

    # ---------------------------------------------------------------- what else it tells

    def test_coverage_is_two_counts(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        coverage = model.coverage()
        if not self.accelerator and coverage is None:
            return
        assert coverage is not None
        assert set(coverage) == {"delegate_operators", "fallback_operators"}
        assert all(type(count) is int and count >= 0 for count in coverage.values())
        assert sum(coverage.values()) > 0

    def test_notes_are_few_and_can_be_sent(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        notes = model.notes()
        assert json.loads(json.dumps(notes, allow_nan=False)) == notes
        assert len(notes) <= 10
        if not self.accelerator:
            assert notes == {}

    def test_asking_does_not_change_what_runs(self, load: Load, job: Job) -> None:
        model = load(job)
        model.run()
        model.settle()
        model.run()
        before = model.output()
        model.coverage()
        model.notes()
        model.run()
        self.same(model.output(), before)

    # ---------------------------------------------------------------- the end

    def test_closing_frees_it(self, job: Job) -> None:
        module, _ = runtimes.import_runtime(self.spec.name)
        model = runtimes.load(self.spec.name, module, job)
        model.run()
        model.settle()
        model.close()
        alive = weakref.ref(model)
        del model
        gc.collect()
        assert alive() is None

    def test_the_next_model_is_independent_of_the_one_before(self, load: Load, job: Job) -> None:
        module, _ = runtimes.import_runtime(self.spec.name)
        found = []
        for _ in range(2):
            model = runtimes.load(self.spec.name, module, job)
            model.run()
            model.settle()
            model.run()
            found.append(model.output())
            model.close()
        self.same(found[0], found[1])


_MADE: dict[tuple[str, str], Artefact] = {}
"""Artefacts by runtime and precision, made once in a test process."""
