import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from profiler.errors import ConfigError, StorageError, UnknownWorkload
from profiler.fleet.targets import Target
from profiler.measure.journal import encode, read_journal
from profiler.measure.record import Measurement
from profiler.tables.row import GATE_CODES
from profiler.tables.table import CostTable, Gates, Row

Measure = Callable[..., Path]


@pytest.fixture
def measure(tmp_path: Path, fakes: ModuleType) -> Measure:
    """Runs a fake campaign and returns its run folder."""

    def run(jobs: Iterable[Any], run_id: str = "r1", noise: float = 0.0, config: Any = None, **world: Any) -> Path:
        setup = fakes.World(noise=noise, round_noise=world.pop("round_noise", 0.0))
        for name, value in world.items():
            setattr(setup, name, value)
        campaign = fakes.campaign(setup, tmp_path, config=config or fakes.CONFIG)
        return campaign.run(fakes.DEVICE, fakes.TARGET, list(jobs), run_id).run_dir

    return run


def rewrite(run: Path, change: Callable[[Measurement], Measurement | None]) -> None:
    """Write a run's journal anew with every record changed, or left out where the change gives None."""
    path = run / "journal.jsonl"
    changed = [change(m) for m in read_journal(path).measurements]
    path.write_bytes(b"".join(encode(m) for m in changed if m is not None))


def slowed(factors: dict[int, float]) -> Callable[[Measurement], Measurement]:
    """Every sample of a round times the factor of that round."""
    return lambda m: replace(m, samples_ns=tuple(int(s * factors.get(m.round, 1.0)) for s in m.samples_ns))


# -------------------------------------------------------------------- figures


def test_a_kernel_costs_its_slope_and_stands_beside_its_isolated_figure(fakes: ModuleType, measure: Measure):
    table = CostTable.from_runs([measure(fakes.kernel_jobs("conv2d"))])
    (row,) = table.rows(fakes.TARGET.id, "kernel")
    assert row.latency_ns == pytest.approx(fakes.OP_NS["conv2d"], rel=1e-4)
    assert row.isolated_ns == pytest.approx(fakes.OP_NS["conv2d"] + fakes.RUN_OVERHEAD_NS, rel=1e-4)
    assert row.key == fakes.chain("conv2d", 1).key
    assert (row.label, row.n_rounds, row.status, row.emulation) == ("conv2d 8", 3, "ok", "simulated")
    assert row.load_ns == 5_000_000
    assert row.run_id == "r1"
    assert row.energy_mj is None
    assert row.issues == ("sensor_missing", "simulated")
    assert row.low_ns <= row.latency_ns <= row.high_ns


def test_a_model_costs_its_median_and_keeps_its_split(fakes: ModuleType, measure: Measure):
    jobs = fakes.model_jobs([fakes.network(2)], "fit") + fakes.model_jobs([fakes.network(3)], "held_out")
    table = CostTable.from_runs([measure(jobs)])
    rows = {row.label: row for row in table.rows(kind="model")}
    assert rows["net2"].latency_ns == pytest.approx(fakes.true_cost_ns(fakes.network(2)))
    assert (rows["net2"].split, rows["net3"].split) == ("fit", "held_out")
    assert rows["net3"].isolated_ns is None
    assert table.rows(kind="kernel") == ()


def test_companions_are_taken_off_as_often_as_they_occur(fakes: ModuleType, measure: Measure):
    add = fakes.chain("add", 1).key
    jobs = fakes.kernel_jobs("add") + fakes.kernel_jobs("conv2d", companions=(add, add))
    table = CostTable.from_runs([measure(jobs)])
    row = table.lookup(fakes.TARGET.id, fakes.chain("conv2d", 1).key)
    assert row.latency_ns == pytest.approx(fakes.OP_NS["conv2d"] - 2 * fakes.OP_NS["add"], rel=1e-4)
    assert table.lookup(fakes.TARGET.id, add).latency_ns == pytest.approx(fakes.OP_NS["add"], rel=1e-3)


def test_companions_of_companions_and_their_doubt(fakes: ModuleType, measure: Measure):
    add, small = fakes.chain("add", 1).key, fakes.chain("conv2d", 1, 4).key
    jobs = fakes.kernel_jobs("add") + fakes.kernel_jobs("conv2d", channels=4, companions=(add,))
    run = measure(jobs + fakes.kernel_jobs("conv2d", channels=16, companions=(small,)), noise=0.002)
    table = CostTable.from_runs([run])
    conv, addition = fakes.OP_NS["conv2d"], fakes.OP_NS["add"]
    big = table.lookup(fakes.TARGET.id, fakes.chain("conv2d", 1, 16).key)
    assert big.latency_ns == pytest.approx(conv - (conv - addition), abs=1500)
    companion = table.lookup(fakes.TARGET.id, small)
    assert big.high_ns - big.low_ns > companion.high_ns - companion.low_ns, "its companion's error is part of it"


@pytest.mark.parametrize("measured", [False, True])
def test_a_companion_without_a_figure_leaves_the_kernel_without_one(
    fakes: ModuleType, measure: Measure, measured: bool
):
    add = fakes.chain("add", 1).key
    jobs = fakes.kernel_jobs("conv2d", companions=(add,)) + (fakes.kernel_jobs("add") if measured else [])
    keys = {job.workload.key for job in fakes.kernel_jobs("add")}
    run = measure(jobs, faults=lambda a, n: fakes.Reply("timed_out") if a.workload.key in keys else None)
    table = CostTable.from_runs([run])
    rows = {row.key: row for row in table.rows(with_failed=True)}
    row = rows[fakes.chain("conv2d", 1).key]
    assert row.status == ("timed_out" if measured else "incomplete")
    assert math.isnan(row.latency_ns)
    assert "companion" in row.error
    assert row.isolated_ns is not None
    assert table.rows() == ()
    with pytest.raises(UnknownWorkload, match="companion"):
        table.lookup(fakes.TARGET.id, row.key)


def test_companions_in_a_circle_have_no_figure(fakes: ModuleType, measure: Measure):
    add, conv = fakes.chain("add", 1).key, fakes.chain("conv2d", 1).key
    run = measure(fakes.kernel_jobs("add", companions=(conv,)) + fakes.kernel_jobs("conv2d", companions=(add,)))
    assert CostTable.from_runs([run]).rows() == ()


def test_drift_between_rounds_does_not_reach_the_slope(fakes: ModuleType, measure: Measure):
    """What a round adds to every job of a group cancels in the slope: that is why they run side by side."""
    run = measure(fakes.kernel_jobs("conv2d"))
    extra = {0: 0, 1: 3_000_000, 2: 9_000_000}
    rewrite(run, lambda m: replace(m, samples_ns=tuple(s + extra[m.round] for s in m.samples_ns)))
    (row,) = CostTable.from_runs([run]).rows()
    assert row.latency_ns == pytest.approx(fakes.OP_NS["conv2d"], rel=1e-4)
    assert row.spread < 1e-3


def test_the_interval_covers_the_truth(fakes: ModuleType, measure: Measure):
    jobs = [job for channels in range(1, 31) for job in fakes.kernel_jobs("conv2d", channels=channels)]
    table = CostTable.from_runs([measure(jobs, noise=0.01)])
    truth = fakes.OP_NS["conv2d"]
    rows = table.rows()
    assert len(rows) == 30
    assert sum(row.low_ns <= truth <= row.high_ns for row in rows) >= 27
    assert all(row.high_ns - row.low_ns < truth for row in rows), "an interval of any width would cover"


# -------------------------------------------------------------------- gates


def test_gates_flag_and_keep(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    rewrite(run, slowed({0: 1.0, 1: 1.05, 2: 0.95}))
    (row,) = CostTable.from_runs([run]).rows()
    assert row.issues == ("sensor_missing", "spread_high", "simulated")
    assert row.spread == pytest.approx(0.05, rel=1e-3)
    assert row.gated
    (row,) = CostTable.from_runs([run], Gates(spread=0.06)).rows()
    assert not row.gated


def test_noisy_samples_are_flagged_by_the_width_given(fakes: ModuleType, measure: Measure):
    config = replace(fakes.CONFIG, min_batches=200)
    run = measure(fakes.model_jobs([fakes.network(2)]), noise=0.08, config=config)
    assert "noisy" in CostTable.from_runs([run]).rows()[0].issues
    assert "noisy" not in CostTable.from_runs([run], Gates(noise=0.12)).rows()[0].issues


def test_few_rounds_are_flagged_and_have_no_spread(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    rewrite(run, lambda m: m if m.round == 0 or m.role.repeats == 8 else None)
    (row,) = CostTable.from_runs([run]).rows()
    assert row.n_rounds == 1, "a round counts where both chains of it are there"
    assert "few_rounds" in row.issues
    assert math.isnan(row.spread)
    assert "few_rounds" not in CostTable.from_runs([run], Gates(rounds=1)).rows()[0].issues


def test_a_slope_below_zero_is_said_and_not_made_up(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    rewrite(run, lambda m: replace(m, samples_ns=(1_000_000 if m.role.repeats == 8 else 1_004_000,) * 5))
    (row,) = CostTable.from_runs([run]).rows()
    assert row.latency_ns == pytest.approx(-4_000 / 10 / 4)
    assert "negative_slope" in row.issues
    assert row.gated


def test_what_failed_a_gate_is_left_out_of_the_view_on_demand(fakes: ModuleType, measure: Measure):
    run = measure(fakes.model_jobs([fakes.network(2), fakes.network(3)], "fit"))
    hot = fakes.network(2).key
    rewrite(run, lambda m: replace(m, issues=("throttled",)) if m.workload_key == hot and m.round == 1 else m)
    table = CostTable.from_runs([run])
    assert [row.gated for row in table.rows()] == [True, False]
    assert [row.label for row in table.rows(with_gated=False)] == ["net3"]
    assert table.lookup(fakes.TARGET.id, hot).has_figure, "who asks for it by name gets it, with its code"


def test_every_gate_code_is_an_issue_of_the_record():
    from profiler.measure.record import ISSUES

    assert set(ISSUES) >= GATE_CODES


# -------------------------------------------------------------------- failures and gaps


def test_a_failed_kernel_is_a_row_that_says_why(fakes: ModuleType, measure: Measure):
    long = fakes.chain("conv2d", 8).key
    broken = lambda a, n: fakes.Reply("crashed", error="signal 11") if a.workload.key == long else None  # noqa: E731
    table = CostTable.from_runs([measure(fakes.kernel_jobs("conv2d"), faults=broken)])
    (row,) = table.rows(with_failed=True)
    assert (row.status, row.error) == ("crashed", "signal 11")
    assert not row.has_figure
    with pytest.raises(
        UnknownWorkload, match=r"'conv2d 8' \(crashed: signal 11\).*edgecost profile --target fake/onnx"
    ):
        table.lookup(fakes.TARGET.id, row.key)


def test_an_interrupted_run_is_incomplete_and_not_zero(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    rewrite(run, lambda m: m if m.role.repeats < 8 else None)
    table = CostTable.from_runs([run])
    (row,) = table.rows(with_failed=True)
    assert row.status == "incomplete"
    assert math.isnan(row.latency_ns)
    assert row.isolated_ns is not None, "what is known is kept"


def test_a_failed_isolated_run_leaves_the_slope(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    rewrite(run, lambda m: replace(m, status="timed_out", samples_ns=()) if m.role.repeats == 1 else m)
    (row,) = CostTable.from_runs([run]).rows()
    assert row.isolated_ns is None
    assert row.latency_ns == pytest.approx(fakes.OP_NS["conv2d"], rel=1e-4)


def test_a_lost_link_that_was_measured_later_counts_as_measured(fakes: ModuleType, measure: Measure):
    run = measure(fakes.model_jobs([fakes.network(2)]))
    good = read_journal(run / "journal.jsonl").measurements
    lost = [replace(m, status="link_lost", samples_ns=()) for m in good]
    (run / "journal.jsonl").write_bytes(b"".join(encode(m) for m in [lost[0], *good, lost[1]]))
    (row,) = CostTable.from_runs([run]).rows()
    assert row.n_rounds == 3


def test_corrupt_lines_are_counted_and_the_rest_kept(fakes: ModuleType, measure: Measure):
    run = measure(fakes.some_jobs())
    journal, workloads = run / "journal.jsonl", run / "workloads.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[3] = b"{}\n"
    journal.write_bytes(b"".join(lines))
    workloads.write_bytes(workloads.read_bytes() + b"nonsense\n")
    table = CostTable.from_runs([run])
    assert table.corrupt_lines == 2
    assert len(table.rows()) == 5


def test_a_kernel_whose_workload_line_is_lost_is_incomplete(fakes: ModuleType, measure: Measure):
    run = measure(fakes.kernel_jobs("conv2d"))
    key = fakes.chain("conv2d", 1).key
    lines = (run / "workloads.jsonl").read_bytes().splitlines(keepends=True)
    (run / "workloads.jsonl").write_bytes(b"".join(line for line in lines if b'"key":"%s"' % key.encode() not in line))
    (row,) = CostTable.from_runs([run]).rows(with_failed=True)
    assert row.status == "incomplete"
    assert "workloads.jsonl" in row.error


# -------------------------------------------------------------------- several runs


def test_the_newest_run_with_a_figure_counts(tmp_path: Path, fakes: ModuleType, measure: Measure):
    jobs = fakes.model_jobs([fakes.network(2)])
    runs = [measure(jobs, run_id) for run_id in ("a", "b", "c")]
    for number, run in enumerate(runs):
        header = json.loads((run / "run.json").read_text())
        header["started"] = f"2026-01-0{3 - number}T00:00:00+00:00"
        (run / "run.json").write_text(json.dumps(header))
    rewrite(runs[0], lambda m: replace(m, status="crashed", samples_ns=()))
    rewrite(runs[1], slowed(dict.fromkeys(range(3), 2.0)))
    table = CostTable.from_results(tmp_path)
    (row,) = table.rows()
    assert row.run_id == "b", "a is newer and has no figure, c is older"
    assert row.latency_ns == pytest.approx(2 * fakes.true_cost_ns(fakes.network(2)))
    assert len(table.sources) == 3


def test_a_held_out_model_stays_held_out(fakes: ModuleType, measure: Measure):
    net = [fakes.network(2)]
    runs = [measure(fakes.model_jobs(net, split), f"r{n}") for n, split in enumerate(["held_out", "fit", ""])]
    (row,) = CostTable.from_runs(runs).rows()
    assert row.split == "held_out"


def test_results_without_a_run_say_what_makes_one(tmp_path: Path):
    with pytest.raises(StorageError, match="no runs below .*edgecost profile"):
        CostTable.from_results(tmp_path)
    with pytest.raises(StorageError, match=r"is not a run: it holds no run.json"):
        CostTable.from_runs([tmp_path])


@pytest.mark.parametrize("missing", ["target", "device"])
def test_a_header_without_target_or_device_is_refused(fakes: ModuleType, measure: Measure, missing: str):
    run = measure(fakes.model_jobs([fakes.network(2)]))
    header = json.loads((run / "run.json").read_text())
    del header[missing]
    (run / "run.json").write_text(json.dumps(header))
    with pytest.raises(StorageError, match=r"run.json lacks"):
        CostTable.from_runs([run])


# -------------------------------------------------------------------- asking


def test_costs_in_ms_in_the_order_asked(fakes: ModuleType, measure: Measure):
    table = CostTable.from_runs([measure(fakes.kernel_jobs("conv2d") + fakes.kernel_jobs("add"))])
    conv, add = fakes.chain("conv2d", 1).key, fakes.chain("add", 1).key
    costs = table.costs_ms(fakes.TARGET.id, [add, conv, add])
    assert costs.dtype == np.float64
    np.testing.assert_allclose(costs, [0.003, 0.05, 0.003], rtol=1e-3)
    assert table.costs_ms(fakes.TARGET.id, []).shape == (0,)


def test_missing_rows_are_an_error_that_names_all_of_them(fakes: ModuleType, measure: Measure):
    table = CostTable.from_runs([measure(fakes.kernel_jobs("conv2d"))])
    conv = fakes.chain("conv2d", 1).key
    unknown = tuple(f"{i:032x}" for i in range(8))
    with pytest.raises(UnknownWorkload, match="lacks 8 costs .* and 3 more; measure it with") as caught:
        table.costs_ms(fakes.TARGET.id, [conv, *unknown, unknown[0]])
    assert caught.value.keys == unknown
    with pytest.raises(UnknownWorkload, match=r"'conv2d 8' \(never measured there\) on other/x; .*--target other/x"):
        table.lookup("other/x", conv)


def test_kernel_block_and_model_of_one_key_are_kept_apart():
    rows = [Row("t", "k", kind, "conv", ns) for kind, ns in (("model", 9.0), ("block", 7.0), ("kernel", 5.0))]
    table = CostTable(rows)
    assert table.lookup("t", "k").latency_ns == 5.0
    assert CostTable(rows[:2]).lookup("t", "k").latency_ns == 7.0
    assert table.lookup("t", "k", "model").latency_ns == 9.0
    assert table.lookup("t", "k", "block").latency_ns == 7.0
    assert table.costs_ms("t", ["k"], "block") == pytest.approx([7e-6])
    with pytest.raises(ConfigError, match="two rows"):
        CostTable([rows[0], rows[0]])


def test_workloads_and_targets_come_along(fakes: ModuleType, measure: Measure):
    table = CostTable.from_runs([measure(fakes.some_jobs())])
    assert table.targets == (fakes.TARGET,)
    assert set(table.workloads) == {row.key for row in table.all_rows}
    assert table.workloads[fakes.network(2).key] == fakes.network(2)


def test_noise_floor_is_the_spread_of_whole_models(fakes: ModuleType, measure: Measure):
    jobs = fakes.model_jobs([fakes.network(2)], "fit") + fakes.model_jobs([fakes.network(3)], "held_out")
    run = measure(jobs + fakes.kernel_jobs("conv2d"))
    rewrite(run, slowed({0: 1.0, 1: 1.04, 2: 0.96}))
    table = CostTable.from_runs([run])
    assert table.noise_floor(fakes.TARGET.id) == pytest.approx(0.04, rel=1e-3)
    assert table.noise_floor(fakes.TARGET.id, "held_out") == pytest.approx(0.04, rel=1e-3)
    assert math.isnan(table.noise_floor("nowhere"))


def test_an_empty_table_is_empty():
    table = CostTable()
    assert table.rows() == ()
    assert len(table.to_frame()) == 0
    assert CostTable(targets=[Target("b", "torch", "fp32"), Target("a", "torch", "fp32")]).targets[0].device_id == "a"
