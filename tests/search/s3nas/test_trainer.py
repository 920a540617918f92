"""The search: two phases, the budget met, interrupted to the same result, stopped where it diverges."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from profiler.errors import ConfigError, TrainingDiverged
from profiler.workloads.graph import Workload
from search.data import ImageSet
from search.s3nas.config import REDUCED, S3nasConfig
from search.s3nas.costs.blockcosts import BlockCosts, block_costs
from search.s3nas.running.asked import Asked
from search.s3nas.running.checkpoint import SearchState, read_state
from search.s3nas.running.result import SupernetResult, read_result
from search.s3nas.trainer import run_s3nas
from search.spaces.mixconv import MixConv
from search.spaces.network import read_network
from search.spaces.supernet import parse_supernet
from search.tasks import Images, Indices, Task, task_of

MINI = """
name: mini
resolution: 8
num_classes: 3
stem: {filters: 4, kernel: 3, stride: 1}
head: {filters: 8}
branches: [{kernel: 5, expansion: 2}, {kernel: 3, expansion: 2}]
stages: [{filters: 4, blocks: 1, stride: 1}, {filters: 8, blocks: 2, stride: 2}]
"""
SHORT = replace(
    REDUCED, phase1=6, phase2=6, batch_size=16, overtime=0, decay_every=3, record_every=1, checkpoint_every=100
)
SEARCH = replace(SHORT, phase2=30, learning_rate=0.064, threshold_rate=40.0)
"""Long enough to come under the budget."""


class Told:
    """A progress that remembers, and does something at a step."""

    def __init__(self, at: int = -1, do: Callable[[], None] = lambda: None) -> None:
        self.at, self.do = at, do
        self.starts: list[tuple[int, int]] = []
        self.labels: list[str] = []
        self.messages: list[str] = []

    def start(self, total: int, done: int = 0) -> None:
        self.starts.append((total, done))

    def advance(self, label: str) -> None:
        self.labels.append(label)
        if len(self.labels) == self.at:
            self.do()

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def space() -> MixConv:
    return MixConv(parse_supernet(MINI, "test"))


@pytest.fixture(scope="module")
def task(toy_images: ImageSet) -> Task:
    return task_of(toy_images)


def kilo_macs(workloads: Sequence[Workload]) -> NDArray[np.float64]:
    return np.array([w.macs / 1e3 for w in workloads])


@pytest.fixture(scope="module")
def table(space: MixConv) -> BlockCosts:
    return block_costs(space, kilo_macs, "toy", source="MACs")


@pytest.fixture(scope="module")
def search(space: MixConv, task: Task, table: BlockCosts) -> Callable[..., SupernetResult]:
    """`run_s3nas` on the toy with a budget of 30 of 12.2 to 61."""

    def run(folder: Path, config: S3nasConfig = SHORT, **others: Any) -> SupernetResult:
        given: dict[str, Any] = {"costs": [table], "budgets": [30.0], "seed": 0, "task": task} | others
        return run_s3nas(space, config=config, out_dir=folder, **given)

    return run


def state_of(folder: Path, space: MixConv, task: Task, table: BlockCosts, config: S3nasConfig = SHORT) -> SearchState:
    asked = Asked(space, task.at(8), (table,), (30.0,), config, 0)
    state = read_state(folder / "checkpoint.pt", asked.parts)
    assert state is not None
    return state


def assert_same(a: SearchState, b: SearchState) -> None:
    """Bit for bit."""
    assert (a.step, a.course) == (b.step, b.course)
    for one, other in ((a.supernet, b.supernet), (a.average, b.average)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    for index, slots in a.optimiser["state"].items():
        assert all(torch.equal(slots[name], b.optimiser["state"][index][name]) for name in slots)


def test_a_search_comes_under_its_budget(
    search: Callable[..., SupernetResult], tmp_path: Path, space: MixConv, table: BlockCosts
) -> None:
    told = Told()
    before = torch.random.get_rng_state()
    result = search(tmp_path, SEARCH, progress=told)
    assert result.feasible
    assert "found a network of" in result.sentence()
    t_hats = [point.t_hat[0] for point in result.course]
    assert t_hats[0] == table.largest  # [V] thresholds of zero leave everything on
    assert t_hats[-1] <= 30.0
    assert result.targets[0].t_hat == table.cost(result.architecture)
    assert [p.phase for p in result.course] == [1] * 6 + [2] * 30
    for point in result.course:
        above = max(point.t_hat[0] - 30.0, 0.0)
        wanted = point.cross_entropy + (15 * np.log(1 + 100 * above) if point.phase == 2 else 0.0)
        assert point.loss == pytest.approx(wanted, rel=1e-5)
    assert read_network(tmp_path / "network.yaml") == result.network == space.network(result.architecture)
    assert (result.params, result.macs) == (
        space.workload(result.architecture).params, space.workload(result.architecture).macs,
    )  # fmt: skip
    assert told.starts == [(36, 0)]
    assert len(told.labels) == 36
    assert told.labels[-1].startswith("phase 2: T_hat ")
    assert "/30 ms" in told.labels[-1]
    assert told.messages == ["phase 2 begins at step 6"]
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_complete_search_is_read_and_not_repeated(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    first = search(tmp_path)
    told = Told()
    again = search(tmp_path, replace(SHORT, record_every=5, name="called otherwise"), progress=told)
    assert told.starts == []
    assert again.to_dict() == read_result(tmp_path).to_dict() == first.to_dict()


def test_another_search_in_the_folder_is_refused(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    search(tmp_path)
    with pytest.raises(ConfigError, match="holds another search"):
        search(tmp_path, seed=1)
    (tmp_path / "result.json").unlink()
    with pytest.raises(ConfigError, match=r"the checkpoint of another search \(other settings, budgets, seed\)"):
        search(tmp_path, replace(SHORT, weight=3.0), seed=1, budgets=[31.0])


class Killed(Exception):
    """What stands for the process being ended."""


@pytest.mark.parametrize("at", [3, 6, 9])
def test_it_goes_on_where_it_was_ended_to_the_same_result(
    search: Callable[..., SupernetResult], tmp_path: Path, space: MixConv, task: Task, table: BlockCosts, at: int
) -> None:
    config = replace(SHORT, checkpoint_every=3)

    def end() -> None:
        raise Killed

    straight = search(tmp_path / "straight", config)
    with pytest.raises(Killed):
        search(tmp_path / "ended", config, progress=Told(at + 1, end))
    assert state_of(tmp_path / "ended", space, task, table, config).step == at
    told = Told()
    resumed = search(tmp_path / "ended", config, progress=told)
    assert told.starts == [(12, at)]
    assert_same(*(state_of(tmp_path / name, space, task, table, config) for name in ("straight", "ended")))
    assert replace(resumed, seconds=0.0) == replace(straight, seconds=0.0)


def test_an_interrupt_is_saved_first(
    search: Callable[..., SupernetResult], tmp_path: Path, space: MixConv, task: Task, table: BlockCosts
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "a", progress=Told(4, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert signal.getsignal(signal.SIGINT) is handler
    assert state_of(tmp_path / "a", space, task, table).step == 5
    search(tmp_path / "a")
    search(tmp_path / "b")
    assert_same(*(state_of(tmp_path / name, space, task, table) for name in "ab"))


def test_the_seed_makes_the_search(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    losses = [[p.loss for p in search(tmp_path / str(n), seed=n // 2).course] for n in range(3)]
    assert losses[0] == losses[1] != losses[2]


class Spoilt:
    """A split of which some batches hold what is no number."""

    def __init__(self, split: Any, good: int) -> None:
        self.split, self.left = split, good
        self.labels = split.labels

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Indices) -> Images:
        self.left -= 1
        images: Images = self.split.batch(indices)
        return images if self.left >= 0 else images * np.float32("nan")


@pytest.mark.parametrize(
    ("good", "words", "kept"),
    [
        (8, r"the loss became nan in step 2 of phase 2 \(6 steps\): the checkpoint of step 6 is kept", 6),
        (1, r"the loss became nan in step 1 of phase 1 \(6 steps\): nothing was saved before", None),
    ],
)
def test_a_loss_that_is_no_number_ends_it(
    search: Callable[..., SupernetResult], tmp_path: Path, task: Task, space: MixConv, table: BlockCosts,
    good: int, words: str, kept: int | None,
) -> None:  # fmt: skip
    spoilt = replace(task.at(8), train=Spoilt(task.at(8).train, good))
    with pytest.raises(TrainingDiverged, match=words):
        search(tmp_path, task=spoilt)
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "checkpoint.pt").exists() == (kept is not None)
    if kept is not None:
        state = state_of(tmp_path, space, task, table)
        assert state.step == kept
        assert all(t.isfinite().all() for t in state.supernet.values())


def test_weights_that_are_no_numbers_are_not_saved(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="learning rate than 1e\\+38"):
        search(tmp_path, replace(SHORT, learning_rate=1e38, checkpoint_every=1))


def test_a_budget_that_is_not_met_is_said_plainly(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    result = search(tmp_path, replace(SHORT, phase2=0))
    assert not result.feasible
    assert not read_result(tmp_path).feasible
    assert "INFEASIBLE: the network at the end costs 60.95 of 30 ms on toy, 103.2 % over" in result.sentence()


def test_overtime_ends_as_soon_as_the_budget_is_met(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    told = Told()
    result = search(tmp_path, replace(SEARCH, phase2=6, overtime=40), progress=told)
    assert result.feasible
    assert 12 < result.steps < 52
    assert told.starts == [(12, 0), (52, 12)]
    assert [p.t_hat[0] > 30.0 for p in result.course[12:]] == [True] * (result.steps - 12)


def test_budgets_are_judged_before_anything_is_trained(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no network meets 5 ms on toy"):
        search(tmp_path / "new", budgets=[5.0])
    assert not (tmp_path / "new").exists()


def test_several_targets_are_all_met(
    search: Callable[..., SupernetResult], tmp_path: Path, space: MixConv, table: BlockCosts
) -> None:
    params = block_costs(space, lambda ws: np.array([w.params / 100 for w in ws]), "other", unit="mj")
    result = search(tmp_path, SEARCH, costs=[table, params], budgets=[40.0, 12.0])
    assert [t.met for t in result.targets] == [True, True]
    assert [t.unit for t in result.targets] == ["ms", "mj"]
    assert result.targets[1].text.endswith("of 12 mJ on other")
    first = result.course[6]
    above = [t - b for t, b in zip(first.t_hat, (40.0, 12.0), strict=True)]
    latency = 15 * sum(np.log(1 + 100 * max(x, 0.0)) for x in above)
    assert first.loss == pytest.approx(first.cross_entropy + latency, rel=1e-5)


def test_the_log_form_knows_no_budget(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    result = search(tmp_path, replace(SEARCH, form="log", weight=3.0, overtime=9))
    point = result.course[6]
    assert point.loss == pytest.approx(point.cross_entropy + 3.0 * np.log(point.t_hat[0]), rel=1e-5)
    assert result.course[-1].t_hat[0] < result.course[0].t_hat[0]
    assert result.steps == 36


@pytest.mark.parametrize("moves", [False, True])
def test_the_latency_term_may_spare_the_weights(space: MixConv, table: BlockCosts, moves: bool) -> None:
    from search.s3nas.running.objective import Objective
    from search.s3nas.supernet import SupernetModule

    supernet = SupernetModule(space, dropout=0.0)
    supernet.reset(torch.Generator().manual_seed(0))
    config = replace(SHORT, latency_moves_weights=moves)
    gradients = []
    for budget in (30.0, 60.9):  # above both, by much and by little: only the latency term differs
        objective = Objective(supernet, [table], [budget], config)
        objective.enter(2)
        objective.zero_grad()
        images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        objective(images, torch.arange(8) % 3).loss.backward()
        gradients.append([[p.grad.clone() for p in ps if p.grad is not None]
                          for ps in (supernet.depthwise, supernet.thresholds)])  # fmt: skip
    same = [[torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(*gradients, strict=True)]
    assert all(same[0]) != moves
    assert not any(same[1])


def test_mixed_precision_searches_too(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    full = search(tmp_path / "a")
    half = search(tmp_path / "b", replace(SHORT, precision="bf16"))
    assert half.course[0].cross_entropy != full.course[0].cross_entropy
    assert half.course[0].cross_entropy == pytest.approx(full.course[0].cross_entropy, rel=0.05)


def test_a_device_that_is_not_there(search: Callable[..., SupernetResult], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="torch cannot compute on 'warp' here"):
        search(tmp_path, device="warp")
