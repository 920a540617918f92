"""Which columns are costs, keys and devices, by their names or by what is said."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from profiler.errors import ConfigError
from profiler.tables.formats.columns import ColumnOptions, divide, find_costs, find_keys, make_numbers, read_frame

HERE = Path("t.csv")


def costs(options: ColumnOptions | None = None, **columns: list[object]):
    return find_costs(pd.DataFrame(columns), options or ColumnOptions(), HERE)


@pytest.mark.parametrize(
    ("name", "device", "factor"),
    [
        ("latency_ms", "", 1.0),
        ("latency", "", 1.0),
        ("Latency (us)", "", 1e-3),
        ("raspi4_latency_ms", "raspi4", 1.0),
        ("my.board.latency_ns", "my.board", 1e-6),
        ("inference_time_s", "", 1e3),
        ("time [ms]", "", 1.0),
    ],
)
def test_latencies_are_told_by_name_with_device_and_unit(name: str, device: str, factor: float):
    (found,) = costs(**{name: [1.0]})
    assert (found.device, found.latency, found.latency_factor) == (device, name, factor)
    assert bool(found.comments) == (name == "latency")


def test_energies_go_with_the_latency_of_their_device():
    found = costs(a_latency_ms=[1.0], b_latency_ms=[1.0], b_energy_j=[1.0], accuracy=[1.0])
    assert [(c.device, c.latency, c.energy) for c in found] == [
        ("a", "a_latency_ms", ""),
        ("b", "b_latency_ms", "b_energy_j"),
    ]
    assert found[1].energy_factor == 1e3


def test_what_is_said_goes_before_names():
    (found,) = costs(ColumnOptions(latency="x", unit="s"), x=[1.0], latency_ms=[1.0])
    assert (found.latency, found.latency_factor) == ("x", 1e3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ColumnOptions(latency="y"), "'y' is not there"),
        (ColumnOptions(latency="name"), "holds no numbers"),
        (ColumnOptions(latency="x", unit="hours"), "no unit"),
        (ColumnOptions(), "--latency-column"),
    ],
)
def test_what_does_not_fit_is_said(options: ColumnOptions, words: str):
    with pytest.raises(ConfigError, match=words):
        costs(options, x=[1.0], name=["a"])


def test_rows_are_named_by_key_columns():
    frame = pd.DataFrame({"arch": ["a", "b"], "batch": [1, 1], "latency": [1.0, 2.0]})
    assert find_keys(frame, ColumnOptions(), HERE) == (["a", "b"], ("arch",))
    frame["batch"] = [1, 2]
    assert find_keys(frame, ColumnOptions(), HERE) == (["a 1", "b 2"], ("arch", "batch"))
    assert find_keys(frame, ColumnOptions(keys=("arch",)), HERE)[0] == ["a", "b"]
    assert find_keys(frame, ColumnOptions(keys=("arch", "batch")), HERE)[0] == ["a 1", "b 2"]
    assert find_keys(frame[["latency"]], ColumnOptions(), HERE) == (["row 0", "row 1"], ())
    with pytest.raises(ConfigError, match="'net'"):
        find_keys(frame, ColumnOptions(keys=("net",)), HERE)


def test_rows_are_divided_by_device_and_dataset():
    frame = pd.DataFrame({"device": ["a", "b", "a"], "dataset": ["x", "x", "y"], "latency": [1.0, 2.0, 3.0]})
    assert {name: len(part) for name, part in divide(frame, ColumnOptions())} == {"a x": 1, "b x": 1, "a y": 1}


def test_files_that_are_no_tables_are_refused(tmp_path: Path):
    for name, content, words in (
        ("t.txt", b"", r"\.csv or \.parquet"),
        ("t.parquet", b"not parquet", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("u.csv", b"a,b\n", "no rows"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=words):
            read_frame(tmp_path / name)
    with pytest.raises(ConfigError, match="there is no"):
        read_frame(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "content", ["name;latency_ms\na;1,5\n", "name\tlatency_ms\na\t1.5\n", "\ufeffname,latency_ms\na,1.5\n"]
)
def test_separators_and_marks_of_other_programs_are_understood(tmp_path: Path, content: str):
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    frame = read_frame(tmp_path / "t.csv")
    assert frame.to_dict("records") == [{"name": "a", "latency_ms": 1.5}]


def test_an_index_that_names_rows_becomes_columns(tmp_path: Path):
    frame = pd.DataFrame({"latency_ms": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="arch"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert find_keys(read_frame(tmp_path / "t.parquet"), ColumnOptions(), HERE) == (["a", "b"], ("arch",))
    frame.set_axis(pd.MultiIndex.from_tuples([(1, 2), (3, 4)])).to_parquet(tmp_path / "u.parquet")
    assert list(read_frame(tmp_path / "u.parquet").index) == [0, 1]


def test_texts_that_are_numbers_become_numbers():
    frame = pd.DataFrame(
        {"name": ["1", "2"], "latency": ["1.5", "-"], "note": ["x", "1"], "energy": [Decimal("2"), None]}
    )
    found, others = make_numbers(frame, ColumnOptions())
    assert found["latency"].tolist()[0] == 1.5
    assert found["energy"].tolist()[0] == 2.0
    assert found["name"].tolist() == ["1", "2"], "keys stay as they are"
    assert others == {"latency": {1: "-"}, "note": {0: "x"}}
    assert frame["latency"].tolist() == ["1.5", "-"]
    assert make_numbers(frame, ColumnOptions(keys=("latency",)))[1] == {"note": {0: "x"}}
