"""Scaling, post-processing and training as stages: from files to files, resumed by identity, one budget or several."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mixconv_tables
import numpy as np
import pytest
from mixconv_tables import OVERHEAD_MS, true_ms

from edgecost.stages.s3nas import costs as s3nas_costs
from edgecost.stages.s3nas import train as s3nas_train
from edgecost.stages.s3nas.costs import Pricing, measured_networks, network_costs, supernet_costs
from edgecost.stages.s3nas.demand import Budgets, Demand, Gauge
from edgecost.stages.s3nas.files import done, read_stage
from edgecost.stages.s3nas.post import PostOptions, post_process_file
from edgecost.stages.s3nas.scale import ScaleOptions, scale_file
from edgecost.stages.s3nas.train import TrainOptions, schedule_of, train_file, train_final
from edgecost.stages.spaces import mixconv_of
from profiler.errors import ConfigError, MeasurementError
from profiler.tables.row import Row
from profiler.tables.table import CostTable
from search.data import ImageSet
from search.s3nas.post.transforms import with_activation
from search.spaces.network import network_workload, read_network, write_network
from search.tasks import task_of

TARGET = mixconv_tables.TARGET.id


@pytest.fixture(scope="module")
def space():
    return mixconv_tables.tiny_space()


@pytest.fixture(scope="module")
def full_table(space) -> CostTable:
    return mixconv_tables.block_table(space)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch, full_table):
    """The table stands in for that of any results folder; `use` puts another one in its place."""

    def use(found: CostTable) -> None:
        monkeypatch.setattr(s3nas_costs, "load_table", lambda results: found)

    use(full_table)
    return use


@pytest.fixture
def pricing(tmp_path: Path) -> Pricing:
    return Pricing(tmp_path, supernet="tiny")


@pytest.fixture
def network(space):
    return space.network(space.sample(np.random.default_rng(3)))


@pytest.fixture
def file(network, tmp_path: Path) -> Path:
    path = tmp_path / "run" / "network.yaml"
    write_network(network, path)
    return path


class Board:
    """Measures by the truth, dearer by a factor, and counts."""

    def __init__(self, factor: float = 1.0, energy: bool = True) -> None:
        self.factor, self.energy, self.seen = factor, energy, []

    def __call__(self, target: str, network: Any) -> Row:
        self.seen.append(network)
        ns = 1e6 * self.factor * (OVERHEAD_MS + true_ms(network_workload(network)))
        mj = 2e-6 * ns if self.energy else None
        return Row(target, "key", "model", "net", ns, 0.99 * ns, 1.01 * ns, None, energy_mj=mj)


def cost_of(network: Any) -> float:
    return OVERHEAD_MS + true_ms(network_workload(network))


# -------------------------------------------------------------------- costs


def test_blocks_add_up_to_measured_networks(space, pricing):
    costs, facts = supernet_costs(space, pricing, "sim")
    assert costs.target == TARGET
    for arch in (space.minimal, space.maximal):
        assert costs.cost(arch) == pytest.approx(cost_of(space.network(arch)), rel=0.02)
    assert facts["calibration"]["n_networks"] == 4
    assert facts["calibration"]["constant"] == pytest.approx(OVERHEAD_MS, rel=0.1)
    assert facts["held_out"]["n"] == 4
    assert facts["held_out"]["mape"] < 0.02
    json.dumps(facts, allow_nan=False)


def test_costs_of_networks_agree_with_the_blocks(space, pricing):
    costs, _ = supernet_costs(space, pricing, TARGET)
    arch = space.sample(np.random.default_rng(8))
    priced = network_costs(space.network(arch), pricing, TARGET)
    assert priced.cost_of([space.network(arch)])[0] == pytest.approx(costs.cost(arch), rel=1e-9)


def test_sums_are_fitted_to_measured_networks(space, table, pricing):
    table(mixconv_tables.block_table(space, scale=1.4))
    costs, facts = supernet_costs(space, pricing, TARGET)
    network = space.network(space.maximal)
    expected = OVERHEAD_MS + 1.4 * true_ms(network_workload(network))
    assert facts["calibration"]["scale"] == pytest.approx(1.4, rel=0.02)
    assert costs.cost(space.maximal) == pytest.approx(expected, rel=0.02)
    assert network_costs(network, pricing, TARGET).cost_of([network])[0] == pytest.approx(expected, rel=0.02)


def test_energy_is_a_cost_of_its_own(space, tmp_path: Path):
    costs, _ = supernet_costs(space, Pricing(tmp_path, unit="mj"), TARGET)
    latency, _ = supernet_costs(space, Pricing(tmp_path), TARGET)
    assert costs.unit == "mj"
    assert costs.cost(space.maximal) == pytest.approx(2 * latency.cost(space.maximal), rel=0.01)


def without_rows(table: CostTable, unwanted) -> CostTable:
    return CostTable([r for r in table.all_rows if not unwanted(r)], table.workloads, table.targets)


def test_missing_blocks_are_named_with_the_command(space, full_table, table, pricing, tmp_path: Path):
    gone = {w.key for w in space.block_workloads()[3:10]}
    table(without_rows(full_table, lambda r: r.key in gone))
    command = f"`edgecost profile --target {TARGET} --space mixconv --supernet tiny --blocks --results {tmp_path}`"
    with pytest.raises(ConfigError, match=r"7 of 77 blocks of tiny have no cost on sim.*k3.* and 2 others") as found:
        supernet_costs(space, pricing, TARGET)
    assert command in str(found.value)
    table(without_rows(full_table, lambda r: r.kind == "block"))
    with pytest.raises(ConfigError, match="no block was measured on sim") as found:
        supernet_costs(space, pricing, TARGET)
    assert command in str(found.value)


def test_targets_and_folders_without_measurements_are_named_with_the_command(space, monkeypatch, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing was measured on pixel in .*--target pixel --space mixconv"):
        supernet_costs(space, Pricing(tmp_path), "pixel")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"nothing was measured on sim in results; measure with .*--blocks`"):
        monkeypatch.chdir(tmp_path)
        supernet_costs(space, Pricing(Path("results")), "sim")


def test_another_number_of_classes_needs_no_new_measurement(space, pricing):
    ours, _ = supernet_costs(space, pricing, TARGET)
    other, _ = supernet_costs(space, pricing, TARGET, num_classes=7)
    assert other.fixed == pytest.approx(ours.fixed, rel=0.1)
    assert other.fixed != ours.fixed


def test_networks_are_known_by_their_key_and_not_by_their_label(space, full_table):
    like = space.network(space.maximal)
    found, costs = measured_networks(full_table, TARGET, like, "fit")
    assert len(found) == len(costs) == 4
    assert costs[0] == pytest.approx(cost_of(found[0]))
    wider = replace(like, head=replace(like.head, filters=65))
    assert measured_networks(full_table, TARGET, wider, "fit") == ([], [])


def test_a_source_of_costs_has_a_name(tmp_path: Path):
    with pytest.raises(ConfigError, match="--costs is table, model, hwnasbench, not 'magic'"):
        Pricing(tmp_path, source="magic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="energy is known of measured blocks only"):
        Pricing(tmp_path, source="model", unit="mj")


def test_the_public_table_needs_its_folder(space, network, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("EDGECOST_DATA", raising=False)
    with pytest.raises(ConfigError, match="EDGECOST_DATA"):
        supernet_costs(space, Pricing(tmp_path, "hwnasbench"), "pixel3")
    with pytest.raises(ConfigError, match="fbnet32 only"):
        network_costs(network, Pricing(tmp_path, "hwnasbench"), "pixel3")


# -------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("targets", "values", "words"),
    [
        (("a",), (1.0, 2.0), "1 targets and 2 budgets"),
        ((), (), "0 targets"),
        (("a", "a"), (1.0, 2.0), "a target stands twice"),
        (("a",), (0.0,), "--budget-ms must be a positive number, not 0"),
        (("a",), (float("nan"),), "not nan"),
    ],
)
def test_budgets_that_cannot_be(targets, values, words: str):
    with pytest.raises(ConfigError, match=words):
        Budgets(targets, values)


def test_several_targets_count_as_shares_of_their_budgets(network, pricing):
    one = network_costs(network, pricing, TARGET)
    demand = Demand((one, one), Budgets(("a", "b"), (1.0, 0.25)))
    (cost,) = one.cost_of([network])
    assert demand.budget == 1.0
    assert demand.costs([network, network]).tolist() == pytest.approx([cost / 0.25] * 2)
    assert Gauge(demand, Board())(network) == pytest.approx(cost_of(network) / 0.25)


def test_a_network_is_measured_once(network, pricing):
    board = Board()
    gauge = Gauge(Demand.of(network, pricing, Budgets((TARGET,), (1.0,))), board)
    assert gauge(network) == gauge(network) == pytest.approx(cost_of(network))
    assert len(board.seen) == 1


def test_energy_without_a_sensor_is_an_error(network, tmp_path: Path):
    demand = Demand.of(network, Pricing(tmp_path, unit="mj"), Budgets((TARGET,), (1.0,), "mj"))
    assert Gauge(demand, Board())(network) == pytest.approx(2 * cost_of(network))
    with pytest.raises(MeasurementError, match="no power sensor"):
        Gauge(demand, Board(energy=False))(network)


# -------------------------------------------------------------------- scaling


def test_a_network_is_scaled_up_to_its_budget(file: Path, pricing):
    options = ScaleOptions(Budgets(("sim",), (0.6,)), pricing)
    answer = scale_file(file, options)
    scaled = read_network(file.parent / "scaled.yaml")
    (row,) = answer["targets"]
    assert (row["target"], row["budget"], row["measured"]) == (TARGET, 0.6, None)
    assert 0.85 * 0.6 < row["predicted"] <= 0.6
    assert row["predicted"] == pytest.approx(cost_of(scaled), rel=0.15)
    assert answer["params"] == network_workload(scaled).params > network_workload(read_network(file)).params
    assert read_stage(file.parent / "scaling.json") == answer
    assert "phi " in answer["sentence"]


def test_a_stage_that_is_done_is_not_done_again(file: Path, pricing):
    options = ScaleOptions(Budgets((TARGET,), (0.6,)), pricing)
    board = Board()
    first = scale_file(file, options, measure=board)
    seen = len(board.seen)
    assert scale_file(file, options, measure=board) == first
    assert len(board.seen) == seen
    (file.parent / "scaled.yaml").unlink()
    assert scale_file(file, options, measure=board)["phi"] == first["phi"]
    other = scale_file(file, ScaleOptions(Budgets((TARGET,), (0.5,)), pricing), measure=board)
    assert other["identity"] != first["identity"]


def test_measurements_correct_phi(file: Path, pricing):
    options = ScaleOptions(Budgets((TARGET,), (1.0,)), pricing)
    blind, seen = scale_file(file, options), scale_file(file, options, measure=Board(1.3))
    assert seen["phi"] < blind["phi"]
    assert seen["targets"][0]["measured"] <= 1.0
    assert seen["rounds"][0]["measured"] > 1.1 * seen["rounds"][0]["predicted"]


def test_room_is_left_for_what_is_to_come(file: Path, pricing, tmp_path: Path):
    budgets = Budgets((TARGET,), (0.6,))
    plain = scale_file(file, ScaleOptions(budgets, pricing), tmp_path / "plain")
    roomy = scale_file(file, ScaleOptions(budgets, pricing, post="se+hswish"), tmp_path / "roomy")
    assert roomy["phi"] < plain["phi"]
    assert not any(b.se for s in read_network(tmp_path / "roomy" / "scaled.yaml").stages for b in s.blocks)
    with pytest.raises(ConfigError, match="--post is none, hswish, se, se"):
        scale_file(file, ScaleOptions(budgets, pricing, post="more"))


def test_scaling_says_what_cannot_be(file: Path, pricing):
    with pytest.raises(ConfigError, match="no network fits 0.01 ms"):
        scale_file(file, ScaleOptions(Budgets((TARGET,), (0.01,)), pricing))
    scale_file(file, ScaleOptions(Budgets((TARGET,), (0.6,)), pricing))
    with pytest.raises(ConfigError, match="is the file that scaling writes"):
        scale_file(file.parent / "scaled.yaml", ScaleOptions(Budgets((TARGET,), (0.6,)), pricing))


# -------------------------------------------------------------------- training and post-processing


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ImageSet:
    """Ten classes of 16 x 16 pixels, two images of each and split."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    images = rng.normal(0, 0.3, (40, 3, 16, 16)).astype(np.float32)
    images[np.arange(40), labels % 3, labels] += 2.0
    found = ImageSet(images[:20], labels[:20], images[20:], labels[20:], 10, "toy", "made up")
    monkeypatch.setattr(TrainOptions, "task", lambda self: task_of(found))
    return found


def test_a_network_is_trained_exported_and_measured(file: Path, toy):
    board = Board()
    options = TrainOptions(steps=2)
    boards = [mixconv_tables.TARGET, replace(mixconv_tables.TARGET, precision="int8")]
    answer = train_file(file, options, targets=boards, measure=board)
    folder = file.parent / "final"
    assert {e["file"] for e in answer["exports"]} == {
        "final.onnx", "final-int8.onnx", "final.tflite", "final-int8.tflite"
    }  # fmt: skip
    assert all((folder / e["file"]).stat().st_size == e["bytes"] for e in answer["exports"])
    row, other = answer["targets"]
    assert (row["target"], row["file"]) == (TARGET, "final.onnx")
    assert other["file"] == "final-int8.onnx"
    assert other["accuracy"] == next(e["accuracy"] for e in answer["exports"] if e["file"] == other["file"])
    assert row["measured_ms"] == pytest.approx(cost_of(read_network(file)))
    assert (folder / "training.json").exists()
    assert train_file(file, options, targets=boards, measure=board) == answer
    assert len(board.seen) == 2
    with pytest.raises(ConfigError, match="holds another training"):
        train_file(file, TrainOptions(steps=3))


def test_a_schedule_may_be_shortened():
    assert schedule_of(TrainOptions()).name == "reduced"
    short = schedule_of(TrainOptions(steps=1))
    assert (short.length, short.unit, short.warmup) == (1, "steps", 0)
    assert schedule_of(TrainOptions(schedule="published")).unit == "epochs"
    with pytest.raises(ConfigError, match="--steps must be at least 1"):
        schedule_of(TrainOptions(steps=0))
    with pytest.raises(ConfigError, match="no final schedule"):
        schedule_of(TrainOptions(schedule="mine"))


def test_every_option_fills_the_budget_and_one_is_kept(file: Path, toy, pricing, monkeypatch):
    board = Board(1.05)
    options = PostOptions(Budgets((TARGET,), (0.4,)), pricing, TrainOptions(steps=1))
    answer = post_process_file(file, options, measure=board)
    final = read_network(file.parent / "final.yaml")
    names = {"plain", "hswish", "se", "se -50%", "se + hswish", "se -50% + hswish"}
    assert {o["option"] for o in answer["options"]} == names
    assert sum(o["kept"] for o in answer["options"]) == 1
    assert all(o["measured"] <= 0.4 for o in answer["options"])
    assert answer["targets"][0]["measured"] <= 0.4
    assert answer["key"] == network_workload(final).key
    costs = {row["option"]: row for row in answer["option_costs"]}
    assert costs["plain"]["measured_extra"] == 0.0
    assert costs["se + hswish"]["measured_extra"] > 0
    assert read_stage(file.parent / "postprocess.json") == answer

    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("nothing is trained twice")

    monkeypatch.setattr(s3nas_train, "run_training", refuse)
    assert post_process_file(file, options, measure=board) == answer


def test_the_kept_option_is_not_trained_again(file: Path, toy, pricing, monkeypatch):
    training = TrainOptions(steps=1)
    answer = post_process_file(file, PostOptions(Budgets((TARGET,), (0.4,)), pricing, training, removed=(1.0,)))
    from search.s3nas.final import training as final

    monkeypatch.setattr(final, "_Training", None)
    trained = train_final(
        read_network(file.parent / "final.yaml"), training, file.parent / "final", kept_in=file.parent / "trainings"
    )
    assert trained["accuracy"] == answer["accuracy"]


def test_an_option_that_nobody_can_price_is_named(space, file: Path, toy, pricing, table):
    table(mixconv_tables.block_table(space, scaled=0))
    options = PostOptions(Budgets((TARGET,), (0.4,)), pricing, TrainOptions(steps=1), removed=(1.0, 0.0))
    words = r"the cost of 'hswish', 'se', .* on sim.* is not known.*edgecost profile.*--blocks --scaled 60"
    with pytest.raises(ConfigError, match=words):
        post_process_file(file, options)
    with pytest.raises(ConfigError, match="--seeds must be at least 1"):
        post_process_file(file, PostOptions(options.budgets, pricing, TrainOptions(), seeds=0))


# -------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "was written by no stage"),
        ('{"kind": "s3nas", "stage": "tea"}', "was written by no stage"),
        ('{"kind": "s3nas", "stage": "scale", "schema": 9}', "of a newer version"),
    ],
)
def test_files_of_no_stage(tmp_path: Path, text: str | None, words: str):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_stage(path)


def test_a_damaged_file_is_made_anew(tmp_path: Path):
    (tmp_path / "scaling.json").write_text('{"identity": "a"')
    assert done("scale", tmp_path, "a") is None
    (tmp_path / "scaling.json").write_text('{"identity": "b"}')
    assert done("scale", tmp_path, "a") is None
    assert done("scale", tmp_path, "b") == {"identity": "b"}


def test_a_network_with_hswish_has_a_price(network, pricing):
    priced = network_costs(network, pricing, TARGET)
    plain, other = priced.cost_of([network, with_activation(network, "hswish")])
    assert 0.8 * plain < other < 1.5 * plain, "the made-up board runs it inside the convolution, as ONNX Runtime does"


def test_costs_may_come_from_kernels(space, table, tmp_path: Path):
    table(mixconv_tables.block_table(space, kernels=True))
    pricing = Pricing(tmp_path, "model")
    costs, _ = supernet_costs(space, pricing, "sim")
    network = space.network(space.maximal)
    assert costs.cost(space.maximal) == pytest.approx(cost_of(network), rel=0.1)
    priced = network_costs(network, pricing, "sim")
    assert priced.target == TARGET
    assert priced.cost_of([network])[0] == pytest.approx(cost_of(network), rel=0.1)


def test_the_public_table_prices_its_supernet(data_dir: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("EDGECOST_DATA", str(data_dir))
    costs, _ = supernet_costs(mixconv_of("fbnet32"), Pricing(tmp_path, "hwnasbench"), "pixel3")
    assert (costs.target, costs.unit) == ("pixel3", "ms")
    assert costs.smallest < costs.largest
