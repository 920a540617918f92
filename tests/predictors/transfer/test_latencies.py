import numpy as np
import pandas as pd
import pytest

from predictors.transfer.latencies import read_latencies
from profiler.errors import ConfigError, StorageError

ROWS = [("a", "x", 1.0), ("b", "x", 2.0), ("b", "y", 4.0)]


def write(path, rows=ROWS, **more):
    frame = pd.DataFrame(rows, columns=["op_idx", "device", "latency_ms"]).assign(**more)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_is_read_with_gaps(tmp_path, suffix):
    table = read_latencies(write(tmp_path / f"t{suffix}"))
    assert (table.space, table.architectures, table.devices) == ("fbnet", ("a", "b"), ("x", "y"))
    assert table.of("x").tolist() == [1.0, 2.0]
    assert np.isnan(table.of("y")[0])


def test_tables_are_joined_and_later_ones_win(tmp_path):
    first = read_latencies(write(tmp_path / "1.csv"))
    second = read_latencies(write(tmp_path / "2.csv", [("c", "z", 5.0), ("a", "y", 7.0)]))
    joined = first.joined(second)
    assert joined.architectures == ("a", "b", "c")
    assert joined.of("y")[0] == 7.0
    assert np.isnan(joined.of("y")[1])  # the device is of the later table alone
    assert np.isnan(joined.of("x")[2])


def test_missing_devices_are_named_with_what_there_is(tmp_path):
    table = read_latencies(write(tmp_path / "t.csv"))
    with pytest.raises(
        ConfigError, match=r"nasflat:F1 needs the devices u, v, which .* lacks \(it holds x, y\).*--data"
    ):
        table.need(["u", "x", "v"], "nasflat:F1")


@pytest.mark.parametrize(
    ("rows", "more", "match"),
    [
        ([("a", "x", float("nan"))], {}, "row 0 .x. has the latency nan ms"),
        ([("a", "x", 1.0), ("b", "x", 0.0)], {}, "row 1 .x. has the latency 0.0 ms"),
        ([("a", "x", 1.0), ("a", "x", 2.0)], {}, "a stands there twice for x"),
        (ROWS, {"unit": ["ms", "us", "ms"]}, "units other than ms"),
        (ROWS, {"arch_str": "q"}, "one of arch_str, op_idx"),
        ([], {}, "holds no row"),
    ],
)
def test_bad_tables_are_refused(tmp_path, rows, more, match):
    with pytest.raises(ConfigError, match=match):
        read_latencies(write(tmp_path / "t.parquet", rows, **more))


def test_other_units_and_other_files_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"device": ["x"], "latency_us": [3.0]}).to_csv(path)
    with pytest.raises(ConfigError, match="latency_us is there: convert it"):
        read_latencies(path)
    with pytest.raises(StorageError, match="cannot read"):
        read_latencies(tmp_path / "absent.parquet")
    (tmp_path / "no.parquet").write_bytes(b"nothing of the sort")
    with pytest.raises(ConfigError, match="neither Parquet nor CSV"):
        read_latencies(tmp_path / "no.parquet")
