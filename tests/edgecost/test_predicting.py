"""`edgecost predict`: shapes as people write them, what was never measured, the predictor that is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import predictors.models  # noqa: F401 - whole before tests put others in its classes' places
from edgecost.stages import fitted as stage
from edgecost.stages.fitted import Fitted, fitted_predictor, keep_predictors
from edgecost.stages.predicting import parse_shapes, predict_file, with_measurement
from predictors.base import PartCost, Prediction
from profiler.errors import ConfigError, UnknownWorkload
from profiler.workloads.build import WorkloadBuilder
from profiler.workloads.importer import Imported, UnsupportedNode


def test_shapes_as_people_write_them() -> None:
    assert parse_shapes([]) == {}
    assert parse_shapes(["1,3,224,224"]) == {"": (1, 3, 224, 224)}
    assert parse_shapes(["a/x:0=1,3", "b=2"]) == {"a/x:0": (1, 3), "b": (2,)}


@pytest.mark.parametrize("text", [["1x3x224"], [""], ["x="], ["0,3"], ["1,3", "1,4"], ["x=1", "x=2"]])
def test_what_is_no_shape_is_refused(text: list[str]) -> None:
    with pytest.raises(ConfigError, match="--input-shape .* is no shape"):
        parse_shapes(text)


class Model:
    """Says what it was told to."""

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction

    def estimate(self, workload: object) -> Prediction:
        return self.prediction


def read(*unsupported: UnsupportedNode) -> Imported:
    b = WorkloadBuilder("net")
    return Imported(b.build(b.relu(b.input((1, 4, 8, 8)))), {}, unsupported)


PARTS = (
    PartCost("conv2d 3x3", "conv2d 3x3", 2.0, "table"),
    PartCost("conv2d 3x3", "conv2d 3x3", 1.0, "regressor"),
    PartCost("gelu", "gelu", 0.5, "regressor"),
    PartCost("gelu", "gelu", 0.25, "regressor"),
    PartCost("overhead", "overhead", 0.25, "overhead"),
)


def answer_of(prediction: Prediction, imported: Imported) -> dict:
    fitted = Fitted("board/target", Model(prediction), frozenset({"conv2d 3x3"}))
    return predict_file(fitted, imported, Path("net.onnx"))


def test_kinds_that_were_never_measured_are_listed_with_the_command_that_measures_them() -> None:
    answer = answer_of(Prediction(4.0, 3.0, 5.0, PARTS), read())
    assert answer["complete"]
    assert answer["never_measured"] == [{"kind": "gelu", "kernels": 2, "latency_ms": 0.75}]
    assert answer["measure_with"] == "edgecost profile --target board/target --model net.onnx"
    assert "4.000 ms (3.000 to 5.000" in answer["sentence"]


def test_what_is_read_otherwise_than_it_is_written_is_said() -> None:
    imported = replace(read(), notes=("the file's numbers are float16",))
    assert answer_of(Prediction(4.0, 3.0, 5.0, PARTS), imported)["notes"] == ["the file's numbers are float16"]


def test_what_could_not_be_read_makes_the_total_a_lower_bound() -> None:
    answer = answer_of(Prediction(4.0, 3.0, 5.0, PARTS[:2]), read(UnsupportedNode("n", "Sin", "no operator")))
    assert not answer["complete"]
    assert answer["high_ms"] is None
    assert answer["not_covered"] == ["n: no operator"]
    assert "lower bound" in answer["sentence"]
    assert answer["never_measured"] == []


class Row:
    """A measurement as tables have it, as far as it is looked at."""

    latency_ns, low_ns, high_ns, issues = 5e6, 4.9e6, 5.1e6, ()


def test_a_measurement_stands_beside_the_prediction() -> None:
    answer = with_measurement(answer_of(Prediction(4.0, 3.0, 5.0, PARTS), read()), Row(), "the file itself")
    assert answer["measured"]["off_by"] == pytest.approx(-0.2)
    assert "measured 5.000 ms (4.900 to 5.100) of the file itself" in answer["measured"]["sentence"]
    assert "off by -20.0 %" in answer["measured"]["sentence"]


class Kept:
    """A predictor that is its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def to_dict(self) -> dict:
        return {"model": "kept", "name": self.name}

    @classmethod
    def from_dict(cls, data: dict) -> "Kept":
        return cls(data["name"])


def test_a_predictor_is_fitted_once_and_again_when_its_runs_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = tmp_path / "results" / "board" / "run" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("one\n")
    fits: list[str] = []

    def fit(results: Path, target: str) -> Fitted:
        fits.append(target)
        return Fitted(f"{target}/t", Kept(f"fit {len(fits)}"), frozenset({"relu"}), ("a note",))

    monkeypatch.setattr(stage, "_fit", fit)
    monkeypatch.setattr("predictors.additive.AdditiveModel", Kept)
    monkeypatch.setattr("predictors.models.find_model", {"kept": Kept}.__getitem__)
    first = fitted_predictor(Path("results"), "board")
    again = fitted_predictor(Path("results"), "board")
    assert (again.target_id, again.model.name, again.kinds, again.notes) == (
        "board/t",
        first.model.name,
        first.kinds,
        ("a note",),
    )
    assert len(fits) == 1
    fitted_predictor(Path("results"), "other")
    journal.write_text("one\ntwo\n")
    assert fitted_predictor(Path("results"), "board").model.name == "fit 3"
    kept = [p for p in Path(".edgecost/predictors").iterdir() if json.loads(p.read_text())["target_id"] == "board/t"]
    assert len(kept) == 2  # by the name that was asked for, and by the target's id
    for path in kept:
        path.write_text("{ broken")
    assert fitted_predictor(Path("results"), "board").model.name == "fit 4"


def test_a_target_that_was_measured_is_answered_for_by_either_name_without_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    fits: list[str] = []

    def fit(results: Path, target: str) -> Fitted:
        fits.append(target)
        if target.startswith("poor"):
            raise UnknownWorkload("too few rows")
        return Fitted("board/t", Kept("it"), frozenset())

    monkeypatch.setattr(stage, "_fit", fit)
    monkeypatch.setattr("predictors.additive.AdditiveModel", Kept)
    monkeypatch.setattr("predictors.models.find_model", {"kept": Kept}.__getitem__)
    keep_predictors(Path("results"), ["poor/t", "board/t", "board/t"])
    assert fits == ["poor", "poor/t", "board"]
    for name in ("board", "board/t"):
        assert fitted_predictor(Path("results"), name).model.name == "it"
    assert len(fits) == 3
