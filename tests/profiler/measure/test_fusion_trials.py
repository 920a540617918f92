"""Fusion experiments against a board whose fusions are known: journals written with realistic noise, read, judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from profiler.measure.fusion_trials import Trial, default_pairs, pair_trials, read_findings, trial_jobs
from profiler.measure.fusion_verdicts import ShapeFinding, Slopes, judge, judge_shape
from profiler.measure.journal import encode, iter_journal
from profiler.measure.record import Measurement
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.fusion import cut
from profiler.workloads.fusion_pairs import REPEATABLE, TRIAL_SHAPES, Pair, Unit, pairs_of, parse_pairs, trial
from profiler.workloads.ops import Shape
from profiler.workloads.optimised_graph import optimised_graph

NS_A_VALUE = {
    "conv2d": 0.6, "depthwise": 0.9, "grouped": 1.5, "linear": 0.7, "batch_norm": 0.2, "relu": 0.15, "relu6": 0.16,
    "hswish": 0.3, "hsigmoid": 0.25, "sigmoid": 0.8, "softmax": 2.0, "add": 0.2, "mul": 0.2, "avg_pool": 1.2,
    "max_pool": 1.0,
}  # fmt: skip
DISPATCH_NS = 1500.0
RUN_NS = 20_000.0

Truth = Mapping[Pair, float]
"""The share of the second operator's cost that is saved behind the first."""


def true_ns(unit: Unit, shape: Shape, saved: Truth) -> float:
    """What one repetition costs, scaffold and all."""

    def op(kind: str) -> float:
        return DISPATCH_NS + NS_A_VALUE[kind] * prod(shape)

    mixer = op("conv2d" if len(shape) == 4 else "linear")
    total = mixer + 2 * op("add") + sum(op(kind) for kind in unit)
    return total - (saved.get((unit[0], unit[1]), 0.0) * op(unit[1]) if len(unit) == 2 else 0.0)


def write_journal(
    run: Path, trials: tuple[Trial, ...], saved: Truth, rng: np.random.Generator, noise: float, rounds: int = 3
) -> Path:
    """Every process has an offset of its own, every file another one in it, and samples scatter with outliers.

    Args:
        noise: relative standard deviation of what one file is off by in one process.
    """
    run.mkdir(parents=True)
    lines: list[bytes] = []
    both = trial_jobs(trials)
    jobs = [(one, job.role, job.workload.key) for i, one in enumerate(trials) for job in both[2 * i : 2 * i + 2]]
    for round_ in range(rounds):
        process = 1 + 0.02 * rng.standard_normal()
        for one, role, key in jobs:
            ns = RUN_NS + role.repeats * true_ns(one.unit, one.shape, saved)
            ns *= process * (1 + noise * rng.standard_normal())
            samples = ns * 10 * (1 + 0.01 * np.abs(rng.standard_normal(30)))
            samples[rng.integers(30)] *= 1.5
            record = Measurement(
                f"{len(lines)}", key, "", "d", "d/t", role, round_, "ok",
                samples_ns=tuple(int(s) for s in samples), runs_per_batch=10,
            )  # fmt: skip
            lines.append(encode(record))
    (run / "journal.jsonl").write_bytes(b"".join(lines))
    return run


def truth_of(pairs: tuple[Pair, ...], rng: np.random.Generator) -> dict[Pair, float]:
    """Half of the pairs fused, the others not; neither exactly: a rest remains, and caches help or hurt."""
    fused = rng.random(len(pairs)) < 0.5
    return {
        pair: float(rng.uniform(0.8, 1.1) if is_fused else rng.uniform(-0.15, 0.2))
        for pair, is_fused in zip(pairs, fused, strict=True)
    }


def right_wrong_undecided(folder: Path, seed: int, noise: float, rounds: int = 3) -> tuple[int, int, int]:
    rng = np.random.default_rng(seed)
    pairs = default_pairs("litert", "fp32")
    saved = truth_of(pairs, rng)
    run = write_journal(folder / str(seed), pair_trials(pairs), saved, rng, noise, rounds)
    found = {f.pair: f.verdict for f in read_findings(run, pairs)}
    right = sum(found[pair] == ("fused" if share > 0.5 else "not") for pair, share in saved.items())
    undecided = sum(verdict == "undecided" for verdict in found.values())
    return right, len(pairs) - right - undecided, undecided


@pytest.mark.slow
def test_verdicts_are_right_at_realistic_noise(tmp_path: Path) -> None:
    counts = np.array([right_wrong_undecided(tmp_path, seed, noise=0.004) for seed in range(4)])
    right, wrong, undecided = counts.sum(axis=0)
    assert right / counts.sum() >= 0.95, (right, wrong, undecided)
    assert wrong / counts.sum() <= 0.01


@pytest.mark.slow
def test_where_noise_is_large_nothing_is_said_rather_than_something_wrong(tmp_path: Path) -> None:
    counts = np.array([right_wrong_undecided(tmp_path, seed, noise=0.05) for seed in range(4)])
    right, wrong, undecided = counts.sum(axis=0)
    assert undecided > 0.3 * counts.sum()
    assert wrong <= 0.05 * (right + wrong) + 1, (right, wrong, undecided)


def test_a_pair_with_nothing_measured_is_undecided_and_says_why(tmp_path: Path) -> None:
    pairs = parse_pairs(["conv2d+relu", "conv2d+add"])
    trials = pair_trials(pairs)
    without = tuple(t for t in trials if t.unit != ("conv2d", "add"))
    run = write_journal(tmp_path / "run", without, {("conv2d", "relu"): 1.0}, np.random.default_rng(0), 0.002)
    relu, add = read_findings(run, pairs)
    assert relu.verdict == "fused"
    assert relu.share_low < 1.0 < relu.share_high
    assert (add.verdict, add.p != add.p) == ("undecided", True)
    assert "add alone could be resolved at 0 of 6 shapes" in add.reason
    assert add.to_dict()["share"] is None


def test_figures_of_a_board_that_slowed_itself_down_are_left_out(tmp_path: Path) -> None:
    pairs = parse_pairs(["conv2d+relu"])
    run = write_journal(
        tmp_path / "run", pair_trials(pairs), {pairs[0]: 1.0}, np.random.default_rng(0), 0.002, rounds=4
    )
    (before,) = read_findings(run, pairs)
    journal = run / "journal.jsonl"
    first = [item for item in iter_journal(journal) if isinstance(item, Measurement) and item.round == 0]
    slow = [replace(m, samples_ns=tuple(3 * s for s in m.samples_ns), issues=("throttled",), round=4) for m in first]
    with journal.open("ab") as file:
        file.write(b"".join(encode(m) for m in slow))
    assert read_findings(run, pairs) == (before,)
    assert before.shapes[0].rounds == 4


def test_one_round_says_nothing(tmp_path: Path) -> None:
    pairs = parse_pairs(["conv2d+relu"])
    run = write_journal(tmp_path / "run", pair_trials(pairs), {}, np.random.default_rng(0), 0.0, rounds=1)
    assert read_findings(run, pairs)[0].verdict == "undecided"


def drawn_shape(share: float, rng: np.random.Generator, rounds: int = 4, noise_ns: float = 300.0) -> ShapeFinding:
    """A shape at which the first operator takes 10 us and the second 5, behind a scaffold of 20."""
    truth = (20e3, 30e3, 25e3, 35e3 - share * 5e3)
    return judge_shape(
        (1, 8, 8, 8),
        *(
            Slopes(
                {r: ns + noise_ns * rng.standard_normal() for r in range(rounds)}, dict.fromkeys(range(rounds), 100.0)
            )
            for ns in truth
        ),
    )


def test_intervals_of_a_shape_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    found = [drawn_shape(0.3, rng) for _ in range(400)]
    assert np.mean([f.share_low <= 0.3 <= f.share_high for f in found]) >= 0.93
    assert np.mean([f.benefit_low <= 0.1 <= f.benefit_high for f in found]) >= 0.93


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_intervals_over_shapes_cover_the_truth_and_are_no_wider_than_they_need(share: float) -> None:
    rng = np.random.default_rng(3)
    found = judge({("a", str(i)): [drawn_shape(share, rng, rounds=3) for _ in range(6)] for i in range(300)})
    inside = np.mean([f.share_low <= share <= f.share_high for f in found])
    assert 0.93 <= inside <= 0.995
    assert np.mean([f.benefit_low <= share / 3 <= f.benefit_high for f in found]) >= 0.93


def shape_finding(share: float, error: float = 0.02) -> ShapeFinding:
    benefit = share / 11
    return ShapeFinding(
        (1, 8, 8, 8), 5e4, 5e3, 5.5e4 - share * 5e3, share, -1, 1, benefit, -1, 1, error, error / 11, 3, True
    )


def test_a_runtime_that_fuses_at_some_shapes_only_is_not_called_either() -> None:
    (found,) = judge({("conv2d", "relu"): [shape_finding(s) for s in (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)]})
    assert found.verdict == "undecided"
    assert "either side of 0.5" in found.reason


def test_false_discoveries_are_bounded_over_all_pairs() -> None:
    rng = np.random.default_rng(5)
    doubtful = {("conv2d", str(i)): [shape_finding(0.5 + 0.05 * rng.standard_normal()) for _ in range(6)]
                for i in range(300)}  # fmt: skip
    found = judge(doubtful)
    assert sum(f.p < 0.05 for f in found) > 3, "by themselves some would be called"
    assert sum(f.verdict != "undecided" for f in found) <= 1


def test_equal_figures_do_not_divide_by_zero() -> None:
    (found,) = judge({("conv2d", "relu"): [shape_finding(1.0, 0.0)] * 6})
    assert found.verdict == "fused"


def test_inside_a_trial_nothing_is_fused_but_the_pair() -> None:
    """By the runtime's own graph: whatever the unit, the scaffold stays as it is."""
    for pair in (("conv2d", "relu"), ("conv2d", "add"), ("depthwise", "hswish"), ("add", "relu"), ("relu", "mul")):
        m = 2
        bare = len(optimised_graph(trial((), TRIAL_SHAPES["image"][0], m), "fp32").nodes)
        alone = [len(optimised_graph(trial((k,), TRIAL_SHAPES["image"][0], m), "fp32").nodes) for k in pair]
        extra = [int(any(kind in ("add", "mul") for kind in unit)) for unit in ((pair[0],), (pair[1],))]
        assert [n - bare - e for n, e in zip(alone, extra, strict=True)] == [m, m], pair


def test_pairs_are_read_as_people_write_them() -> None:
    assert parse_pairs(["conv2d+relu", " conv2d + relu "]) == (("conv2d", "relu"),)
    assert parse_pairs(["linear+*"]) == tuple(p for p in pairs_of(["linear"], REPEATABLE))
    for wrong in ("conv2d", "conv2d+flatten", "conv2d+softmax", "a+b+c"):
        with pytest.raises(Exception, match=r"no pair that can be tried|cannot be"):
            parse_pairs([wrong])


def test_each_trial_is_measured_once_and_is_a_stretch_of_what_it_says() -> None:
    trials = pair_trials(parse_pairs(["conv2d+relu", "depthwise+relu"]))
    jobs = trial_jobs(trials)
    assert len({(j.workload.key, j.role) for j in jobs}) == len(jobs) == 2 * len(trials) == 2 * 6 * 6
    b = WorkloadBuilder()
    assert {len(t.subject.inputs) for t in trials} == {1}, b.name
    relu = next(t for t in trials if t.unit == ("conv2d", "relu"))
    kinds = [k.kind for k in cut(relu.subject, "litert", "fp32")]
    assert kinds == ["conv2d 1x1", "conv2d 1x1", "conv2d 1x1+relu", "add", "add"]
